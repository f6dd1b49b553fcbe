"""The radio landscape and field: tables against exact formulas, compiled against plain, lazy against complete."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.one_site import block, one_site
from twin import kernels
from twin.entities import Site
from twin.kernels import numpy_radio
from twin.radio import antenna, path_loss, tables
from twin.radio.field import RadioField
from twin.radio.landscape import Landscape, Points, indoor_points, outdoor_points, sectors_of

HEIGHTS_M = {"UMa": 25.0, "UMi": 10.0, "RMa": 35.0, "InH": 3.0}


def _landscape(scenario, *, seed=1, **more):
    return Landscape(scenario, rng=np.random.default_rng(seed), **more)


def _silence(landscape, *, sight):
    """Make the maps constant: no shadowing, and the same value of the line-of-sight field everywhere."""
    landscape.air.shadow[:] = 0.0
    landscape.air.sight[:] = sight
    landscape.air.alike[:] = 1.0


def _around(count, *, near_m=1.0, far_m=6000.0, seed=5):
    rng = np.random.default_rng(seed)
    distance, angle = np.geomspace(near_m, far_m, count), rng.uniform(0, 2 * np.pi, count)
    return np.column_stack([distance * np.sin(angle), distance * np.cos(angle)]).astype(np.float32)


def _at_heights(points, height_m):
    points.height_m[:] = height_m
    return points


def _spread(scenario, count, *, seed=2, indoor=0.4):
    rng = np.random.default_rng(seed)
    west, south, east, north = scenario.extent_m
    place = rng.uniform((west, south), (east, north), (count, 2)).astype(np.float32)
    return indoor_points(place, rng.random(count) < indoor, rng=rng)


def _many_sites(count=5, **parts):
    """Return a scenario of some sites with two carriers and two kinds of surroundings."""
    base = one_site(**parts)
    rng = np.random.default_rng(11)
    sites, cells = [], []
    for number in range(count):
        east, north = rng.uniform(-250, 450, 2)
        site = Site(id=f"site-{number}", name="", dn="", position_m=(east, north, 0.0), height_m=20.0 + 2 * number)
        sites.append(site)
        cells += [
            replace(
                cell,
                id=f"cell-{number}-{cell.sector}",
                site_id=site.id,
                environment=("UMa", "UMi", "InH")[number % 3],
                carrier_hz=(3.5e9, 2.1e9)[cell.sector == 3],
                bandwidth_hz=(100e6, 20e6)[cell.sector == 3],
            )
            for cell in base.cells
        ]
    return replace(base, sites=tuple(sites), cells=tuple(cells))


def _paths(landscape, sectors, points):
    ways, way = landscape.ways(sectors.carrier_hz)
    used = np.unique(way)
    from twin.radio.landscape import listeners

    return numpy_radio._paths(listeners(points, landscape.mapped_db(points, ways)), landscape.air, ways, used)


@pytest.mark.parametrize("environment", ["UMa", "UMi", "RMa", "InH"])
@pytest.mark.parametrize("carrier_hz", [0.7e9, 3.5e9, 10e9, 28e9])
@pytest.mark.parametrize("sight", [-4.0, 0.0, 4.0])
def test_path_gain_from_tables_is_within_a_tenth_of_a_decibel_of_the_formulas(environment, carrier_hz, sight):
    scenario = one_site(environment=environment, carrier_hz=carrier_hz, height_m=HEIGHTS_M[environment])
    landscape, sectors = _landscape(scenario), sectors_of(scenario.cells)
    _silence(landscape, sight=sight)
    place_m = _around(3000)
    ground = np.hypot(*place_m.astype(np.float64).T).astype(np.float32)
    for height_m in (1.5, 4.5, 10.5, 13.5, 22.5):
        points = _at_heights(outdoor_points(place_m), height_m)
        points.indoor[:] = environment == "InH"
        found = _paths(landscape, sectors, points)[0][:, 0]
        los, nlos = tables.exact_loss_db(
            environment, ground, mast_height_m=HEIGHTS_M[environment], user_height_m=height_m, carrier_hz=carrier_hz
        )
        chance = path_loss.los_probability(environment, ground, user_height_m=height_m)
        seen = np.clip((tables.sight_bound(chance) - sight) / numpy_radio.LOS_SOFTNESS + 0.5, 0.0, 1.0)
        # The table rounds off where the LOS probability begins to fall, and the step of 0.002 in InH at 49 m.
        kinks_m = {"UMa": (18.0,), "UMi": (18.0,), "RMa": (10.0,), "InH": (5.0, 49.0)}[environment]
        plain = np.all([np.abs(ground / kink_m - 1.0) > 0.02 for kink_m in kinks_m], axis=0)
        np.testing.assert_allclose(found[plain], -(nlos + seen * (los - nlos))[plain], atol=0.1)


def test_high_users_in_uma_lose_the_mean_over_the_heights_that_the_standard_draws():
    rng = np.random.default_rng(1)
    ground = np.repeat(np.float32([60.0, 300.0, 700.0, 1500.0]), 4000)
    parts = {"mast_height_m": 25.0, "user_height_m": 19.5, "carrier_hz": 3.5e9}
    drawn_m = path_loss.environment_height_m(ground, 19.5, uniform=rng.random(len(ground)).astype(np.float32))
    assert len(np.unique(drawn_m)) == 4
    drawn, _ = path_loss.loss_db("UMa", ground, environment_height_m=drawn_m, **parts)
    mean, _ = tables.exact_loss_db("UMa", ground[::4000], **parts)
    np.testing.assert_allclose(drawn.reshape(4, -1).mean(axis=1), mean, atol=0.15)


@pytest.mark.parametrize("tilt_deg", [-3.0, 0.0, 6.0, 12.0, 20.0])
@pytest.mark.parametrize("shape", [0, 1, 2, 3])
def test_antenna_gain_from_tables_is_within_a_tenth_of_a_decibel_where_it_is_20_below_the_peak_at_most(tilt_deg, shape):
    scenario = one_site(azimuths_deg=(37.0,))
    landscape, sectors = _landscape(scenario), sectors_of(scenario.cells)
    sectors.tilt_deg[:], sectors.shape[:] = tilt_deg, shape
    place_m = _around(4000, near_m=10.0)
    points = outdoor_points(place_m)
    found = landscape.gain_db(points, sectors)[:, 0] - _paths(landscape, sectors, points)[0][:, 0]
    east, north = place_m.astype(np.float64).T
    zenith = 90.0 + np.degrees(np.arctan2(25.0 - 1.5, np.hypot(east, north)))
    width = float(antenna.beamwidth_deg(np.array([shape]))[0])
    exact = antenna.array_factor_db(zenith, tilt_deg)
    exact += antenna.element_gain_dbi(zenith, np.degrees(np.arctan2(east, north)) - 37.0, horizontal_deg=width)
    counts = exact > exact.max() - 20.0
    assert counts.sum() > 200
    assert np.abs(found - exact)[counts].max() <= 0.1
    assert np.abs(found - exact).max() <= 1.0  # in the nulls, too


def test_compiled_and_plain_kernel_agree_within_a_hundredth_of_a_decibel():
    pytest.importorskip("numba", reason="the compiled kernel needs numba")
    blocks = tuple(block(n, 60.0 * n, 20.0, 60.0 * n + 30.0, 50.0, height_m=10.0 + 6 * n) for n in range(5))
    for scenario in (_many_sites(), _many_sites(buildings=blocks)):
        points, landscape = _spread(scenario, 700), _landscape(scenario)
        points.position_m[:50] *= 20.0  # some far outside
        plain, compiled = (
            RadioField(landscape, sectors_of(scenario.cells), points, kernel=kernels.load(name))
            for name in ("numpy", "numba")
        )
        assert np.abs(plain.gain_db - compiled.gain_db).max() <= 0.01
        assert np.abs(plain.rsrp_dbm - compiled.rsrp_dbm).max() <= 0.01
        np.testing.assert_allclose(compiled.received_mw, plain.received_mw, rtol=1e-4, atol=1e-30)


class _Counting:
    """A kernel that notes how much it was asked to compute."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def hear(self, listeners: Any, air: Any, ways: Any, beams: Any, rows: Any, columns: Any, *results: Any) -> None:
        self.asked.append((len(rows), len(columns)))
        numpy_radio.hear(listeners, air, ways, beams, rows, columns, *results)

    radiate = staticmethod(numpy_radio.radiate)


@pytest.fixture
def world():
    scenario = _many_sites()
    landscape, sectors, points = _landscape(scenario), sectors_of(scenario.cells), _spread(scenario, 60)
    kernel = _Counting()
    field = RadioField(landscape, sectors, points, kernel=kernel)
    kernel.asked.clear()
    return landscape, sectors, field, kernel


def _fresh(world):
    landscape, sectors, field, _ = world
    return RadioField(landscape, sectors, field.points, kernel=numpy_radio)


def _same(field, other):
    np.testing.assert_array_equal(field.gain_db, other.gain_db)
    np.testing.assert_allclose(field.received_mw, other.received_mw, rtol=1e-5)
    np.testing.assert_allclose(field.rsrp_dbm, other.rsrp_dbm, atol=1e-4)


def test_who_moves_is_computed_alone(world):
    _, _, field, kernel = world
    rows = np.array([3, 41])
    moved = field.points.take(rows)
    moved.position_m[:] += 30.0
    before = field.gain_db.copy()
    field.place(rows, moved)
    assert kernel.asked == [(2, 15)]
    _same(field, _fresh(world))
    still = np.setdiff1d(np.arange(60), rows)
    np.testing.assert_array_equal(field.gain_db[still], before[still])
    assert (field.gain_db[rows] != before[rows]).all()


def test_nothing_changed_nothing_is_computed(world):
    _, _, field, kernel = world
    field.retune()
    assert kernel.asked == []


def test_power_and_state_need_no_new_geometry(world):
    _, sectors, field, kernel = world
    before = field.received_mw.copy()
    sectors.power_dbm[4] -= 10.0 * np.log10(2.0)
    sectors.on_air[7] = False
    field.retune()
    assert kernel.asked == []
    np.testing.assert_allclose(field.received_mw[:, 4], before[:, 4] / 2, rtol=1e-5)
    assert not field.received_mw[:, 7].any()
    assert (field.rsrp_dbm[:, 7] == -300.0).all()
    _same(field, _fresh(world))


@pytest.mark.parametrize(
    ("name", "value"), [("tilt_deg", 11.0), ("boresight_deg", 77.0), ("shape", 2), ("carrier_hz", 10e9)]
)
def test_a_reconfigured_cell_is_computed_alone(world, name, value):
    _, sectors, field, kernel = world
    before = field.gain_db.copy()
    getattr(sectors, name)[5] = value
    field.retune(np.array([5]))
    assert kernel.asked == [(60, 1)]
    assert np.abs(field.gain_db[:, 5] - before[:, 5]).max() > 0.5
    _same(field, _fresh(world))


def test_a_wider_carrier_spreads_its_power_over_more_resource_elements(world):
    _, sectors, field, _ = world
    before = field.rsrp_dbm.copy()
    sectors.bandwidth_hz[2] = 100e6
    field.retune()
    assert (sectors.num_prb[2], sectors.num_prb[5]) == (273, 51)
    np.testing.assert_allclose(before[:, 2] - field.rsrp_dbm[:, 2], 10 * np.log10(273 / 51), atol=1e-3)


def test_equal_carriers_disturb_each_other(world):
    _, sectors, field, _ = world
    assert (sectors.num_carriers, len(np.unique(sectors.carrier_number))) == (2, 2)
    rng = np.random.default_rng(3)
    activity = rng.random((4, 15)).astype(np.float32)
    serving = rng.integers(-1, 15, (4, 60))
    same = sectors.carrier_hz[np.maximum(serving, 0)][..., None] == sectors.carrier_hz
    expected = (field.received_mw.astype(np.float64) * activity[:, None] * same).sum(axis=-1)
    np.testing.assert_allclose(field.total_mw(activity, serving), expected, rtol=1e-5)
    sectors.carrier_hz[:] = 3.5e9
    expected = (field.received_mw.astype(np.float64) * activity[:, None]).sum(axis=-1)
    np.testing.assert_allclose(field.total_mw(activity, serving), expected, rtol=1e-5)


@pytest.mark.parametrize("kernel", ["numpy", "numba"])
def test_arrays_written_into_another_field_make_it_the_same_and_it_goes_on_alike(world, kernel):
    if kernel == "numba":
        pytest.importorskip("numba", reason="the compiled kernel needs numba")
    landscape, sectors, _, _ = world
    rng = np.random.default_rng(4)
    field, other = (
        RadioField(
            landscape,
            sectors,
            _spread(_many_sites(), 60, seed=seed),
            kernel=kernels.load(kernel),
            contributors=(_Mirror(),),
        )
        for seed in (2, 9)
    )
    discs = np.array([[0.0, 0.0, 200.0, 20.0]])
    sectors.power_dbm[:6] -= 3.0
    field.retune()
    for one in (field, other):
        one.set_obstacles(discs)
        one.retune()
    for name, array in field.arrays().items():
        other.arrays()[name][...] = array
    other.recompute()
    for _ in range(3):
        np.testing.assert_array_equal(field.received_mw, other.received_mw)
        np.testing.assert_array_equal(field.rsrp_dbm, other.rsrp_dbm)
        rows = rng.permutation(60)[:7]
        moved = field.points.take(rows)
        moved.position_m[:] += rng.normal(0, 20, (7, 2)).astype(np.float32)
        sectors.tilt_deg[3] += 1.0
        for one in (field, other):
            one.place(rows, moved)
            one.retune()
    for name, array in field.arrays().items():
        np.testing.assert_array_equal(array, other.arrays()[name], err_msg=name)


class _Mirror:
    """Adds a fixed power to one cell for some users."""

    def add(self, rows, columns, points, received_mw):
        assert received_mw.shape == (len(rows), len(columns))
        assert len(points) == len(rows)
        received_mw[np.ix_(rows < 10, columns == 4)] += 1e-6


def test_contributors_add_power_before_rsrp_is_derived(world):
    landscape, sectors, plain, _ = world
    field = RadioField(landscape, sectors, plain.points, kernel=numpy_radio, contributors=(_Mirror(),))
    expected = plain.received_mw.copy()
    expected[:10, 4] += 1e-6
    rows = np.array([2, 20])
    field.place(rows, field.points.take(rows))
    np.testing.assert_allclose(field.received_mw, expected, rtol=1e-5)
    level = 10 * np.log10(expected) - sectors.rsrp_offset_db
    np.testing.assert_allclose(field.rsrp_dbm, level, atol=1e-3)
    np.testing.assert_array_equal(field.gain_db, plain.gain_db)


def test_an_obstacle_takes_its_loss_inside_and_gives_it_back(world):
    _, _, field, kernel = world
    before = field.gain_db.copy()
    field.set_obstacles(np.array([[100.0, 100.0, 250.0, 25.0]]))
    inside = np.hypot(*(field.points.position_m - 100.0).T) <= 250.0
    assert 5 < inside.sum() < 55
    assert kernel.asked == [(inside.sum(), 15)]
    np.testing.assert_allclose(before[inside] - field.gain_db[inside], 25.0, atol=1e-3)
    np.testing.assert_array_equal(before[~inside], field.gain_db[~inside])
    # Whoever walks out of it is rid of it.
    row = np.flatnonzero(inside)[:1]
    out = field.points.take(row)
    out.position_m[:] = 2000.0
    field.place(row, out)
    field.set_obstacles(np.zeros((0, 4)))
    _same(field, _fresh(world))


def test_the_nearest_image_of_a_mast_counts_when_the_network_is_wrapped():
    scenario = one_site()
    shift = (900.0, 0.0)
    plain, wrapped = _landscape(scenario), _landscape(scenario, wrap_m=(shift, (-900.0, 0.0)))
    for one in (plain, wrapped):
        _silence(one, sight=0.0)
    sectors = sectors_of(scenario.cells)
    near, far = outdoor_points(_around(50, near_m=20, far_m=300)), outdoor_points(_around(50, near_m=20, far_m=300))
    far.position_m[:] += np.array(shift, dtype=np.float32)
    np.testing.assert_allclose(wrapped.gain_db(far, sectors), plain.gain_db(near, sectors), atol=0.02)
    np.testing.assert_allclose(wrapped.gain_db(near, sectors), plain.gain_db(near, sectors), atol=0.02)
    assert (plain.gain_db(far, sectors).max(axis=1) < wrapped.gain_db(far, sectors).max(axis=1)).mean() > 0.9


def test_the_same_seed_gives_the_same_landscape_and_another_one_another():
    scenario = _many_sites()
    points, sectors = _spread(scenario, 40), sectors_of(scenario.cells)
    first, second, third = (_landscape(scenario, seed=seed).gain_db(points, sectors) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - third).mean() > 1.0


@pytest.mark.parametrize("kernel", ["numpy", "numba"])
def test_nobody_and_no_cell_are_heard_without_complaint(kernel):
    if kernel == "numba":
        pytest.importorskip("numba", reason="the compiled kernel needs numba")
    scenario = _many_sites()
    landscape, sectors = _landscape(scenario), sectors_of(scenario.cells)
    hear = kernels.load(kernel).hear
    assert landscape.gain_db(_spread(scenario, 0), sectors, hear=hear).shape == (0, 15)
    assert landscape.gain_db(_spread(scenario, 3), sectors, np.zeros(0, np.int64), hear=hear).shape == (3, 0)


def test_chosen_cells_hear_as_all_do():
    scenario = _many_sites()
    landscape, points, sectors = _landscape(scenario), _spread(scenario, 40), sectors_of(scenario.cells)
    some = np.array([9, 2])
    every = landscape.gain_db(points, sectors)
    np.testing.assert_allclose(landscape.gain_db(points, sectors, some), every[:, some], atol=1e-4)


def test_the_share_in_sight_is_the_probability_of_line_of_sight():
    place_m = _around(60_000, near_m=150.0, far_m=151.0)
    place_m += np.random.default_rng(1).uniform(-1, 1, place_m.shape).astype(np.float32)
    shares = []
    for seed in range(40):
        scenario = one_site(environment="UMa")
        landscape, sectors = _landscape(scenario, seed=seed), sectors_of(scenario.cells)
        landscape.air.shadow[:] = 0.0
        gain = _paths(landscape, sectors, outdoor_points(place_m[::200]))[0][:, 0]
        los, nlos = path_loss.loss_db(
            "UMa", np.float32([150.5]), mast_height_m=25.0, user_height_m=1.5, carrier_hz=3.5e9
        )
        shares.append(np.clip((gain + nlos[0]) / (nlos[0] - los[0]), 0, 1).mean())
    expected = float(path_loss.los_probability("UMa", np.float32([150.5]))[0])
    assert np.mean(shares) == pytest.approx(expected, abs=float(3 * np.std(shares) / math.sqrt(len(shares)) + 0.01))


@pytest.mark.parametrize(("indoor", "memory_m", "sigma_db"), [(False, 50.0, 6.0), (True, 7.0, 7.0)])
def test_shadowing_has_the_spread_and_memory_of_the_tables(indoor, memory_m, sigma_db):
    rng = np.random.default_rng(8)
    here = rng.uniform(3000, 9000, (3000, 2)).astype(np.float32)  # out of sight

    def shadow(place_m, seed):
        scenario = one_site(environment="UMa")
        landscape, sectors = _landscape(scenario, seed=seed), sectors_of(scenario.cells)
        landscape.air.sight[:], landscape.air.alike[:, 0] = 4.0, 1.0
        points = outdoor_points(place_m)
        points.indoor[:] = indoor
        gain = _paths(landscape, sectors, points)[0][:, 0]
        landscape.air.shadow[:] = 0.0
        return gain - _paths(landscape, sectors, points)[0][:, 0]

    value = np.concatenate([shadow(here, seed) for seed in range(6)])
    step = np.float32([memory_m, 0.0])
    beside = np.concatenate([shadow(here + step, seed) for seed in range(6)])
    assert value.std() == pytest.approx(sigma_db, rel=0.05)
    assert np.corrcoef(value, beside)[0, 1] == pytest.approx(math.exp(-1), abs=0.06)


def test_masts_that_share_a_map_are_shadowed_independently_and_cells_of_a_mast_alike():
    scenario = _many_sites(12)
    landscape, sectors = _landscape(scenario), sectors_of(scenario.cells)
    points = outdoor_points(np.random.default_rng(1).uniform(3000, 60_000, (4000, 2)).astype(np.float32))
    landscape.air.sight[:], landscape.air.alike[:, 0] = 4.0, 1.0
    sectors.carrier_hz[:] = 3.5e9
    gain = _paths(landscape, sectors, points)[0]
    kept = landscape.air.shadow.copy()
    landscape.air.shadow[:] = 0.0
    shadow = gain - _paths(landscape, sectors, points)[0]
    landscape.air.shadow[:] = kept
    apart = np.corrcoef(shadow.T)[~np.eye(12, dtype=bool)]
    assert np.abs(apart).max() < 0.12
    assert np.abs(apart.mean()) < 0.02


def test_333_sites_take_no_more_memory_for_maps_than_one():
    air = _landscape(_many_sites(333)).air
    assert sum(array.nbytes for array in air) < 1e7


def test_users_stand_on_floors_of_buildings_of_four_to_eight_storeys():
    rng = np.random.default_rng(1)
    place = np.zeros((4000, 2), dtype=np.float32)
    points = indoor_points(place, np.arange(4000) < 3000, rng=rng)
    assert (points.height_m[3000:] == 1.5).all()
    floor = (points.height_m[:3000] - 1.5) / 3.0
    assert set(np.unique(floor)) == set(range(8))
    # E[floor] = E[(n - 1) / 2] for n uniform in 4..8
    assert floor.mean() == pytest.approx(2.5, abs=0.15)
    low = indoor_points(place, np.ones(4000, dtype=bool), rng=rng, storeys=np.full(4000, 2))
    assert set(np.unique(low.height_m)) == {1.5, 4.5}


def test_higher_users_in_sight_of_more_masts_hear_them_better():
    scenario = one_site(environment="UMa")
    place = _around(400, near_m=250, far_m=500)
    heard = []
    for height_m in (1.5, 22.5):
        gains = []
        for seed in range(8):
            landscape = _landscape(scenario, seed=seed)
            points = _at_heights(outdoor_points(place), height_m)
            gains.append(landscape.gain_db(points, sectors_of(scenario.cells)).max(axis=1).mean())
        heard.append(np.mean(gains))
    assert heard[1] > heard[0] + 5.0


def test_points_taken_are_copies():
    points = outdoor_points(np.zeros((3, 2), dtype=np.float32))
    taken = points.take(np.array([0, 1]))
    taken.position_m[:] = 5.0
    assert not points.position_m.any()
    points.put(np.array([2]), Points(**{name: getattr(taken, name)[:1] for name in Points.__slots__}))
    assert points.position_m[2].tolist() == [5.0, 5.0]


@pytest.mark.parametrize("kernel", ["numpy", "numba"])
@pytest.mark.parametrize("sight", [-6.0, 6.0])
def test_a_cell_in_an_office_has_no_wall_to_the_room_and_one_to_the_street(kernel, sight):
    """Free of walls, depth and footprints inside, TR 38.901 table 7.4.1-1; entry loss and footprints for who is out."""
    if kernel == "numba":
        pytest.importorskip("numba", reason="the compiled kernel needs numba")
    around = block(1, -40.0, -40.0, 40.0, 40.0, height_m=12.0)
    scenario = one_site(environment="InH", height_m=3.0, buildings=(around,))
    landscape, sectors = _landscape(scenario), sectors_of(scenario.cells)
    _silence(landscape, sight=sight)
    place_m = _around(60, near_m=7.0, far_m=30.0)
    rooms, street = outdoor_points(place_m), outdoor_points(place_m)
    rooms.indoor[:], rooms.coated[::2], rooms.depth_loss_db[:] = True, True, 9.0
    rooms_db, street_db = (
        landscape.gain_db(points, sectors, hear=kernels.load(kernel).hear) for points in (rooms, street)
    )
    wall_db = np.mean(path_loss.entry_loss_db(3.5e9))
    np.testing.assert_allclose(rooms_db - street_db, wall_db, atol=0.01)
    los, nlos = path_loss.loss_db("InH", np.hypot(*place_m.T), mast_height_m=3.0, user_height_m=1.5, carrier_hz=3.5e9)
    down = np.degrees(np.arctan2(1.5, np.hypot(*place_m.T)))
    turn = np.degrees(np.arctan2(*place_m.T))
    antenna_db = antenna.element_gain_dbi(90.0 + down, turn) + antenna.array_factor_db(90.0 + down, 6.0)
    # The field lies far below its bound everywhere: in sight; or far above it: not.
    expected = antenna_db - (los if sight < 0 else nlos)
    np.testing.assert_allclose(rooms_db[:, 0], expected, atol=0.3)
    # What somebody puts in the way is in the way inside, too.
    disc = np.array([[0.0, 0.0, 100.0, 20.0]], dtype=np.float32)
    shaded_db = landscape.gain_db(rooms, sectors, discs=disc, hear=kernels.load(kernel).hear)
    np.testing.assert_allclose(rooms_db - shaded_db, 20.0, atol=0.01)


def test_users_inside_with_an_office_cell_have_the_shadowing_of_the_office():
    scenario = one_site(environment="InH", height_m=3.0)
    spread = []
    for sight in (-6.0, 6.0):
        landscape, sectors = _landscape(scenario), sectors_of(scenario.cells)
        landscape.air.sight[:] = sight
        points = outdoor_points(np.random.default_rng(2).uniform(-60.0, 60.0, (6000, 2)).astype(np.float32))
        points.indoor[:] = True
        shadowed = landscape.gain_db(points, sectors)[:, 0]
        landscape.air.shadow[:] = 0.0
        spread.append(float((shadowed - landscape.gain_db(points, sectors)[:, 0]).std()))
    assert spread == [pytest.approx(3.0, rel=0.15), pytest.approx(8.03, rel=0.15)]


def test_houses_in_the_country_are_shallow_and_let_in_more():
    place_m, indoor = np.zeros((4000, 2), np.float32), np.ones(4000, dtype=bool)
    city, country = (
        indoor_points(place_m, indoor, rng=np.random.default_rng(1), rural=np.full(4000, rural))
        for rural in (False, True)
    )
    assert 0.45 < city.coated.mean() < 0.55
    assert not country.coated.any()
    # The mean of the smaller of two draws from U(0, d) is d / 3; half a decibel per metre.
    assert float(city.depth_loss_db.mean()) == pytest.approx(25.0 / 6.0, abs=0.3)
    assert float(country.depth_loss_db.mean()) == pytest.approx(10.0 / 6.0, abs=0.3)
    assert float(country.depth_loss_db.std()) == pytest.approx(np.hypot(4.4, 1.18), abs=0.3)
    scenario = one_site(environment="RMa", height_m=35.0)
    low, _ = path_loss.entry_loss_db(3.5e9)
    walls_db = _landscape(scenario).ways(sectors_of(scenario.cells).carrier_hz)[0].wall_db
    np.testing.assert_allclose(walls_db, [[0.0, low, low]], rtol=1e-6)

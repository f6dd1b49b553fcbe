"""Ways of vehicles from SUMO files, right and wrong ones."""

from __future__ import annotations

import gzip
import tracemalloc
from datetime import UTC, datetime

import numpy as np
import pytest

from twin.clock import CivilTime
from twin.entities import LandUse, UserEquipment
from twin.errors import ScenarioError
from twin.geo import enu_to_wgs84
from twin.mobility import RecordedMobility
from twin.network import Network
from twin.scenario import Origin
from twin.topology import topology_of
from twin_app.scenarios import build_scenario
from twin_app.scenarios.fcd import read_fcd
from twin_app.scenarios.spec import ScenarioSpec

ORIGIN = Origin(latitude_deg=49.61, longitude_deg=6.13)
EXTENT_M = (-1000.0, -1000.0, 1000.0, 1000.0)
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<fcd-export>\n'
TWO = (
    HEAD
    + '<timestep time="7.00">\n'
    + '  <vehicle id="a" x="0.0" y="0.0" angle="90" type="car" speed="10" pos="5" lane="e_0" slope="0"/>\n'
    + '</timestep>\n<timestep time="8.00">\n'
    + '  <vehicle id="a" x="10.0" y="0.0"/>\n  <person id="p" x="-3.5" y="4.0" speed="1.2"/>\n'
    + '</timestep>\n<timestep time="9.00">\n'
    + '  <vehicle id="a" x="10.0" y="20.0"/>\n  <person id="p" x="-3.5" y="5.0"/>\n'
    + "</timestep>\n</fcd-export>\n"
)


def _read(tmp_path, text, *, name="trace.xml", most=10):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return read_fcd(path, most=most, origin=ORIGIN, extent_m=EXTENT_M)


@pytest.mark.parametrize("name", ["trace.xml", "trace.xml.gz"])
def test_vehicles_and_persons_are_read_with_their_times(tmp_path, name):
    tracks = _read(tmp_path, TWO, name=name)
    assert len(tracks) == 2
    assert tracks.first.tolist() == [0, 3, 5]
    assert tracks.when_s.tolist() == [0.0, 1.0, 2.0, 1.0, 2.0]
    assert tracks.where_m.tolist() == [[0, 0], [10, 0], [10, 20], [-3.5, 4], [-3.5, 5]]
    assert tracks.length_s == 3.0


def test_degrees_are_projected_into_the_frame_of_the_scenario(tmp_path):
    want = np.array([[0.0, 0.0], [300.0, -200.0]])
    latitude, longitude, _ = enu_to_wgs84(np.column_stack([want, np.zeros(2)]), origin=ORIGIN)
    text = HEAD + "".join(
        f'<timestep time="{t}"><vehicle id="v" x="{longitude[t]:.8f}" y="{latitude[t]:.8f}"/></timestep>\n'
        for t in range(2)
    )
    tracks = _read(tmp_path, text + "</fcd-export>")
    assert tracks.where_m == pytest.approx(want, abs=0.02)


def test_ues_that_drive_follow_the_vehicles(tmp_path):
    ues = tuple(
        UserEquipment(id=f"ue-{n}", slice_id="s", mobility=how, land_use=LandUse.OFFICE, home_m=(500.0, 500.0))
        for n, how in enumerate(["walk", "drive"])
    )
    source = RecordedMobility(_read(tmp_path, TWO), ues)
    assert source.at(1.5).tolist() == [[500.0, 500.0], [10.0, 10.0]]


def test_points_on_a_straight_way_are_left_out(tmp_path):
    steps = "".join(
        f'<timestep time="{t}"><vehicle id="v" x="{5.0 * min(t, 60)}" y="0"/></timestep>\n' for t in range(100)
    )
    tracks = _read(tmp_path, HEAD + steps + "</fcd-export>")
    assert len(tracks.when_s) == 3
    assert np.interp(30.0, tracks.when_s, tracks.where_m[:, 0]) == pytest.approx(150.0)
    assert tracks.where_m[-1].tolist() == [300.0, 0.0]


def test_only_as_many_vehicles_are_kept_as_are_wanted_in_bounded_memory(tmp_path):
    """2,000 vehicles of 40 seconds make a file of 6 MB, of which 20 vehicles are wanted."""
    rng = np.random.default_rng(1)
    path = tmp_path / "big.xml"
    with path.open("w") as file:
        file.write(HEAD)
        for t in range(40):
            rows = "".join(
                f'<vehicle id="veh{n}" x="{x:.2f}" y="{y:.2f}" angle="0" speed="9.9"/>\n'
                for n, (x, y) in enumerate(rng.uniform(-900, 900, (2000, 2)))
            )
            file.write(f'<timestep time="{t}">\n{rows}</timestep>\n')
        file.write("</fcd-export>\n")
    assert path.stat().st_size > 4e6
    tracemalloc.start()
    tracks = read_fcd(path, most=20, origin=ORIGIN, extent_m=EXTENT_M)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(tracks) == 20
    assert peak < 2e6


def _step(body, time="1"):
    return f'{HEAD}<timestep time="{time}">\n{body}\n</timestep>\n</fcd-export>'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_step('<vehicle id="a" x="one" y="2"/>'), ["line 4", "vehicle `a`", "`x`", "`one`"]),
        (_step('<vehicle id="a" x="1"/>'), ["line 4", "vehicle `a`", "`y`"]),
        (_step('<vehicle id="a" x="nan" y="2"/>'), ["line 4", "finite"]),
        (_step('<vehicle x="1" y="2"/>'), ["line 4", "no `id`"]),
        (_step("", time="soon"), ["line 3", "`soon`"]),
        (HEAD + '<vehicle id="a" x="1" y="2"/></fcd-export>', ["line 3", "outside"]),
        (
            HEAD + '<timestep time="5"/>\n<timestep time="5"/></fcd-export>',
            ["line 4", "`5.0` follows `5.0`"],
        ),
        (_step('<vehicle id="a" x="5000" y="2"/>'), ["no vehicle passes", "--fcd-output.geo"]),
        (_step(""), ["holds no vehicle"]),
        ("<routes></routes>", ["line 1", "`routes`", "fcd-export"]),
        (HEAD + '<timestep time="1">', ["no well-formed XML"]),
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + HEAD, ["entities"]),
    ],
)
def test_a_wrong_file_is_refused_by_file_and_line(tmp_path, text, words):
    with pytest.raises(ScenarioError) as caught:
        _read(tmp_path, text)
    for word in ["trace.xml", *words]:
        assert word in str(caught.value)


def test_a_file_of_degrees_holds_no_metres(tmp_path):
    text = _step('<vehicle id="a" x="6.13" y="49.61"/>\n<vehicle id="b" x="612.0" y="49.6"/>')
    with pytest.raises(ScenarioError, match=r"line 5, vehicle `b`.*`612.0, 49.6`"):
        _read(tmp_path, text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ScenarioError, match=r"none\.xml"):
        read_fcd(tmp_path / "none.xml", most=5, origin=ORIGIN, extent_m=EXTENT_M)


def test_the_live_network_follows_the_file(tmp_path):
    """A car drives from west to east at 10 m/s; whoever follows it is where it is."""
    (tmp_path / "fcd.xml").write_text(
        HEAD
        + "".join(f'<timestep time="{t}"><vehicle id="v" x="{10.0 * t - 300}" y="50"/></timestep>' for t in range(60))
        + "</fcd-export>"
    )
    path = tmp_path / "city.yaml"
    path.write_text("ues: 40\nmobility: fcd\ntracks: fcd.xml\n")
    scenario = build_scenario(ScenarioSpec(scenario=path))
    civil = CivilTime(epoch=datetime(2026, 11, 17, 12, 0, tzinfo=UTC), timezone=scenario.timezone)
    network = Network(scenario, topology_of(scenario), civil, seed=1)
    for _ in range(50):
        network.step(0.1)
    place_m = network.telemetry(scene_id="s", epoch=1, seq=1).position_m[:, :2]
    drives = np.array([ue.mobility == "drive" for ue in scenario.ues])
    # One vehicle for all drivers: each follows it later by a share of the minute.
    assert place_m[drives][0] == pytest.approx([-250.0, 50.0], abs=0.01)
    assert (place_m[drives][:, 1] == 50.0).all()
    homes = np.array([ue.home_m for ue in scenario.ues], dtype=np.float32)
    np.testing.assert_array_equal(place_m[~drives], homes[~drives])

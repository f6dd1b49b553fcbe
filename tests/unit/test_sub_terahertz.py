"""Air, rain, walls and bodies above 100 GHz against the recommendations and the papers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.one_site import block, one_site
from twin.kernels import numpy_radio
from twin.radio import antenna, link
from twin.radio.field import RadioField
from twin.radio.landscape import Landscape, outdoor_points, sectors_of
from twin.sixg import sub_terahertz
from twin.sixg.absorption import Air, air_db_per_km, dry_air_db_per_km, rain_db_per_km, water_vapour_db_per_km
from twin.sixg.ways import Bodies

# Rows of the validation examples that ITU-R Study Group 3 publishes for P.676-13: 1013.25 hPa, 288.15 K, 7.5 g/m3.
ITU_EXAMPLES = [
    (10, 0.00822441670270988, 0.00597412524547672),
    (28, 0.0186963749523936, 0.0830595852543436),
    (60, 14.6234747964861, 0.154841840636247),
    (100, 0.033625442078135, 0.424433522672505),
    (119, 1.30637904078462, 0.617993479946656),
    (140, 0.0190600497251512, 0.904129349625579),
    (160, 0.0128628580319407, 1.45765496398371),
    (183, 0.0127339088358709, 27.6650083141665),
    (220, 0.0154436029076987, 2.47137074758504),
    (300, 0.0257595762819792, 5.22132904110494),
    (350, 0.0368056270504571, 10.1226731395126),
]


@pytest.mark.parametrize(("ghz", "dry_db", "wet_db"), ITU_EXAMPLES)
def test_the_air_takes_what_the_itu_example_says(ghz, dry_db, wet_db):
    assert (dry_air_db_per_km(ghz), water_vapour_db_per_km(ghz)) == pytest.approx((dry_db, wet_db), rel=1e-9)


def test_at_140_ghz_the_air_takes_next_to_nothing_when_dry_and_two_db_per_km_in_the_tropics():
    dry = air_db_per_km(140.0, Air(vapour_g_m3=0.0))
    humid = air_db_per_km(140.0, Air(vapour_g_m3=20.0, temperature_k=300.0))
    assert 0.01 < dry < 0.05
    assert 1.5 < humid < 3.0


@pytest.mark.parametrize(
    ("ghz", "k_h", "alpha_h", "k_v", "alpha_v"),
    [
        (10, 0.01217, 1.2571, 0.01129, 1.2156),
        (30, 0.2403, 0.9485, 0.2291, 0.9129),
        (100, 1.3671, 0.6815, 1.3680, 0.6765),
    ],
)
def test_rain_follows_the_table_of_p_838(ghz, k_h, alpha_h, k_v, alpha_v):
    """Table 5 of P.838-3, circular polarisation on a level path."""
    k = (k_h + k_v) / 2.0
    alpha = (k_h * alpha_h + k_v * alpha_v) / (2.0 * k)
    assert rain_db_per_km(ghz, 25.0) == pytest.approx(k * 25.0**alpha, rel=2e-3)


def test_rain_adds_to_the_gases():
    wet = Air(rain_mm_h=10.0)
    assert air_db_per_km(140.0, wet) - air_db_per_km(140.0) == pytest.approx(rain_db_per_km(140.0, 10.0))
    assert rain_db_per_km(140.0, 0.0) == 0.0


def test_loss_over_100_m_at_140_ghz_by_hand():
    # 20 log10(4 pi 140e9 / c) = 75.37 dB at a metre, 40 dB for 100 m, 0.0923 dB of air.
    found = sub_terahertz.loss_db(np.array([100.0], dtype=np.float32), carrier_hz=140e9)
    assert float(found[0]) == pytest.approx(75.37 + 40.0 + 0.0923, abs=0.01)


def test_loss_grows_with_distance_and_with_humidity():
    distance = np.geomspace(1.0, 2000.0, 200).astype(np.float32)
    mild = sub_terahertz.loss_db(distance, carrier_hz=140e9)
    humid = sub_terahertz.loss_db(distance, carrier_hz=140e9, air=Air(vapour_g_m3=20.0))
    assert (np.diff(mild) > 0.0).all()
    assert (humid > mild)[distance > 10.0].all()


def test_bodies_far_below_the_ray_do_not_count():
    """From 6 m down to 1.5 m a person of 1.7 m reaches the ray over the last 4.4 % of the way."""
    probability = sub_terahertz.body_probability(np.array([100.0], dtype=np.float32), mast_height_m=6.0)
    others = 1.0 - math.exp(-2.0 * 0.1 * 0.3 * (100.0 * 0.2 / 4.5 + 0.3))
    assert float(probability[0]) == pytest.approx(1.0 - (1.0 - 1.0 / 6.0) * (1.0 - others), rel=1e-6)


def test_a_higher_mast_sees_over_more_bodies():
    distance = np.array([80.0], dtype=np.float32)
    low, high = (float(sub_terahertz.body_probability(distance, mast_height_m=h)[0]) for h in (4.0, 12.0))
    assert low > high


def test_as_many_places_are_shadowed_as_the_probability_says_and_the_same_ones_each_time():
    rng = np.random.default_rng(5)
    place_m = rng.uniform(-500.0, 500.0, (20_000, 2)).astype(np.float32)
    probability = np.full(len(place_m), 0.25, dtype=np.float32)
    found = sub_terahertz.behind_body(place_m, probability, seed=3, mast=1)
    assert float(found.mean()) == pytest.approx(0.25, abs=0.01)
    assert (found == sub_terahertz.behind_body(place_m, probability, seed=3, mast=1)).all()
    other = sub_terahertz.behind_body(place_m, probability, seed=3, mast=2)
    assert float((found & other).mean()) == pytest.approx(0.0625, abs=0.01)


def test_shadows_of_neighbouring_squares_are_independent():
    east = np.arange(-200, 200, 2)
    grid = np.stack(np.meshgrid(east, east), axis=-1).reshape(-1, 2).astype(np.float32) + 0.5
    probability = np.full(len(grid), 0.5, dtype=np.float32)
    dark = sub_terahertz.behind_body(grid, probability, seed=9, mast=0).reshape(200, 200).astype(float)
    for shift in (1, 2, 7):
        for axis in (0, 1):
            pair = np.corrcoef(dark.ravel(), np.roll(dark, shift, axis=axis).ravel())[0, 1]
            assert abs(pair) < 0.02


def test_a_person_takes_nearly_50_db_at_140_ghz():
    assert sub_terahertz.body_loss_db(140e9) == pytest.approx(48.5)


def _hot_spot(place_m: np.ndarray, *, bodies: bool) -> tuple[RadioField, Landscape]:
    """Return a hot-spot of 140 GHz at 6 m that looks north, with a house in the north-east."""
    scenario = one_site(
        azimuths_deg=(0.0,),
        height_m=6.0,
        carrier_hz=140e9,
        bandwidth_hz=400e6,
        environment="SubTHz",
        buildings=(block(1, 20.0, 20.0, 60.0, 40.0, height_m=15.0),),
    )
    landscape, sectors = Landscape(scenario, rng=np.random.default_rng(2)), sectors_of(scenario.cells)
    contributors = (Bodies(landscape, sectors, seed=4),) if bodies else ()
    field = RadioField(landscape, sectors, outdoor_points(place_m), kernel=numpy_radio, contributors=contributors)
    return field, landscape


AHEAD_M = np.array([[0.0, float(north)] for north in (10, 40, 100, 200)], dtype=np.float32)


def test_a_hot_spot_reaches_100_m_with_a_good_signal():
    """23 dBm, 8 dBi, 24 dB of the array, 17 dBi of the user against 115.5 dB of loss: 36 dB over the noise."""
    field, _ = _hot_spot(AHEAD_M, bodies=False)
    beam_db = antenna.panel_of(140e9).beam_gain_db
    assert beam_db == pytest.approx(10.0 * math.log10(256.0) + 17.0)
    snr_db = 10.0 * np.log10(field.received_mw[:, 0]) + beam_db - 10.0 * math.log10(link.noise_mw(400e6))
    by_hand = 23.0 + 8.0 + beam_db - sub_terahertz.loss_db(np.hypot(AHEAD_M[:, 1], 4.5), carrier_hz=140e9)
    by_hand = by_hand - 10.0 * math.log10(link.noise_mw(400e6)) + 20.0  # 43 dBm in this scenario
    assert snr_db == pytest.approx(by_hand, abs=9.0)  # shadowing of 2.7 dB, the pattern near by
    assert 28.0 < snr_db[2] - 20.0 < 43.0


def test_the_rsrp_of_a_hot_spot_is_that_of_its_swept_beam():
    field, _ = _hot_spot(AHEAD_M, bodies=False)
    per_element = 10.0 * math.log10(12.0 * link.num_resource_blocks(400e6))
    expected = 10.0 * np.log10(field.received_mw[:, 0]) + antenna.panel_of(140e9).beam_gain_db - per_element
    assert field.rsrp_dbm[:, 0] == pytest.approx(expected, abs=0.01)


def test_behind_a_house_there_is_no_link():
    field, _ = _hot_spot(np.array([[60.0, 60.0], [30.0, 80.0]], dtype=np.float32), bodies=False)
    assert (field.rsrp_dbm[:, 0] < -200.0).tolist() == [True, False]


def test_bodies_hide_a_hot_spot_at_some_places_and_leave_it_at_others():
    place_m = np.random.default_rng(6).uniform((-60.0, 60.0), (0.0, 140.0), (4000, 2)).astype(np.float32)
    with_bodies, landscape = _hot_spot(place_m, bodies=True)
    without, _ = _hot_spot(place_m, bodies=False)
    drop_db = without.rsrp_dbm[:, 0] - with_bodies.rsrp_dbm[:, 0]
    hidden = drop_db > 1.0
    chance = sub_terahertz.body_probability(np.hypot(*place_m.T), mast_height_m=landscape.masts[0].height_m)
    assert drop_db[hidden] == pytest.approx(48.5, abs=0.01)
    assert drop_db[~hidden] == pytest.approx(0.0, abs=1e-3)
    assert float(hidden.mean()) == pytest.approx(float(chance.mean()), abs=0.03)

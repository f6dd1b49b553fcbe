"""Sites from OpenCelliD and ANFR-like tables."""

from __future__ import annotations

import pytest

from twin.errors import ScenarioError
from twin.geo import enu_to_wgs84
from twin_app.scenarios.citymap import SitePlan
from twin_app.scenarios.generated import generated_city
from twin_app.scenarios.radio_plan import sites_and_cells
from twin_app.scenarios.sites_csv import read_sites

OPENCELLID = "radio,mcc,net,area,cell,unit,lon,lat,range,samples,changeable,created,updated,averageSignal\n"


@pytest.fixture(scope="module")
def city():
    return generated_city(1)


@pytest.fixture
def read(tmp_path, city):
    def from_text(text, encoding="utf-8"):
        path = tmp_path / "sites.csv"
        path.write_bytes(text.encode(encoding))
        return read_sites(path, city=city)

    return from_text


def at(city, east, north):
    latitude, longitude, _ = enu_to_wgs84([east, north, 0.0], origin=city.origin)
    return f"{float(latitude):.7f}", f"{float(longitude):.7f}"


def celled(city, east, north, cell, radio="NR"):
    latitude, longitude = at(city, east, north)
    return f"{radio},270,1,4,{cell},0,{longitude},{latitude},1000,5,1,1600000000,1700000000,0\n"


@pytest.mark.parametrize("header", [OPENCELLID, ""])
def test_opencellid_cells_at_one_position_are_one_three_sector_site(read, city, header):
    rows = [celled(city, 100, 50, 1), celled(city, 100, 50, 2), celled(city, 110, 50, 3), celled(city, -700, 20, 4)]
    plans = read(header + "".join(rows))
    assert len(plans) == 2
    assert plans[0].position_m == pytest.approx((100.0, 50.0), abs=0.1)
    assert plans[0].azimuths_deg == (30.0, 150.0, 270.0)


def test_sites_outside_the_area_are_left_out(read, city):
    assert len(read(OPENCELLID + celled(city, 0, 0, 1) + celled(city, 5000, 0, 2))) == 1


def test_an_anfr_table_gives_height_azimuths_and_name(read, city):
    latitude, longitude = at(city, 200, -100)
    comma = (latitude.replace(".", ","), longitude.replace(".", ","))
    head = "sup_id;latitude;longitude;sup_nm_haut;azimuth\n"
    rows = "".join(f"9127;{comma[0]};{comma[1]};31,5;{azimuth}\n" for azimuth in (240, 0, 120, 125))
    plan = read(head + rows)[0]
    assert (plan.source, plan.height_m, plan.azimuths_deg) == ("9127", 31.5, (0.0, 120.0, 240.0))


def test_latin_1_tables_are_read(read, city):
    latitude, longitude = at(city, 0, 0)
    assert read(f"name;lat;lon\nChâteau d'eau;{latitude};{longitude}\n", "latin-1")[0].source == "Château d'eau"


def test_a_missing_height_comes_from_the_roof(read, city):
    tower = max(city.buildings, key=lambda building: building.height_m)
    latitude, longitude = at(city, *tower.footprint_m.mean(axis=0))
    assert read(f"lat,lon\n{latitude},{longitude}\n")[0].height_m == tower.height_m + 4.0


def test_six_sectors_of_one_site_have_six_identities():
    plan = SitePlan(
        position_m=(0.0, 0.0), height_m=25.0, isd_m=500.0, environment="UMa",
        azimuths_deg=tuple(60.0 * i for i in range(6)),
    )  # fmt: skip
    _, cells = sites_and_cells([plan], seed=1)
    assert len({cell.nr_pci for cell in cells}) == 6


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no site"),
        ("lat,lon\n", "holds no site"),
        ("a,b\n1,2\n", "line 1: no columns for the position"),
        ("lat,lon\n52,12\n52,\n", r"line 3: `longitude` must be a number from -180 to 180, not ``"),
        ("lat,lon\n95,12\n", r"line 2: `latitude` must be a number from -90 to 90, not `95`"),
        ("lat;lon;azimuth\n52,0;12,0;north\n", "line 2: `azimuth`"),
        ("lat,lon,height\n52,12,9000\n", "line 2: `height`"),
        ("lat,lon\n0,0\n", "none of the 1 sites"),
    ],
)
def test_a_wrong_table_names_the_line(read, text, words):
    with pytest.raises(ScenarioError, match=words):
        read(text)

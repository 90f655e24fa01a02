"""Known answers: the draw, the windows, altitude, climate, towns, the sea."""

from __future__ import annotations

import numpy as np
import pytest
from geobind_world import sources
from geobind_world.captions import altitude_words, captions
from geobind_world.climate import CLIMATES, OCEAN
from geobind_world.facts import Facts, bearing, country_name, gather
from geobind_world.maps import cell_at, cut_classes, cut_tiles
from geobind_world.places import MAX_ABS_LAT, SOUTH, draw_on_sphere, draw_places
from geobind_world.relief import survey
from scipy.stats import kstest

ALTITUDES = {
    "Amsterdam": (52.37, 4.9, 0),
    "Berlin": (52.5, 13.4, 40),
    "Manaus": (-3.1, -60.02, 60),
    "Paris": (48.85, 2.35, 70),
    "Multan": (30.2, 71.5, 122),
    "Moscow": (55.75, 37.6, 160),
    "Timbuktu": (16.8, -3.0, 262),
    "Kalgoorlie": (-30.7, 121.5, 370),
    "Alice Springs": (-23.9, 133.9, 590),
    "Madrid": (40.3, -3.7, 640),
    "Bangalore": (13.0, 77.6, 910),
    "Kimberley": (-28.7, 24.8, 1190),
    "Harare": (-17.85, 31.05, 1480),
    "Denver": (39.74, -104.9, 1610),
    "Johannesburg": (-26.2, 28.05, 1700),
    "Nairobi": (-1.29, 36.9, 1680),
    "Addis Ababa": (8.9, 38.8, 2300),
    "Mexico City": (19.4, -99.1, 2260),
    "Golmud": (36.5, 95.0, 2800),
    "Uyuni": (-20.2, -67.5, 3665),
    "La Paz": (-16.6, -68.3, 3950),
    "Lhasa": (29.65, 91.1, 3900),
    "Changtang": (33.0, 88.0, 4900),
}
"""Degrees, and metres of the country within 20 km (La Paz: of El Alto, on the plain above it)."""

TOWNS = {
    "Berlin": (52.5, 13.4, {"Cfb", "Dfb"}, "Germany"),
    "Manaus": (-3.1, -60.02, {"Af", "Am"}, "Brazil"),
    "Cairo": (30.05, 31.25, {"BWh"}, "Egypt"),
    "Moscow": (55.75, 37.6, {"Dfb"}, "Russia"),
    "Windhoek": (-22.57, 17.08, {"BSh", "BWh"}, "Namibia"),
    "Nuuk": (64.18, -51.7, {"ET"}, "Greenland"),
    "Kinshasa": (-4.4, 15.3, {"Aw"}, "Democratic Republic of the Congo"),
}


@pytest.fixture(scope="module")
def land():
    return sources.read_land_mask()


@pytest.fixture(scope="module")
def relief():
    return sources.read_map(sources.RELIEF)


@pytest.fixture(scope="module")
def blue_marble():
    return sources.read_map(sources.BLUE_MARBLE)


@pytest.fixture(scope="module")
def koppen():
    return sources.read_koppen()


def facts_of(lat_lon, relief, land, climate="Cfb") -> Facts:
    lat_lon = np.array(lat_lon, dtype=np.float64)
    return gather(lat_lon, np.full(len(lat_lon), climate), cut_tiles(relief, lat_lon, 48), land, sources.read_towns())


def test_the_draw_is_uniform_by_area():
    lat, lon = draw_on_sphere(np.random.default_rng(1), 20_000).T
    low, high = np.sin(np.radians([SOUTH, MAX_ABS_LAT]))
    assert kstest((np.sin(np.radians(lat)) - low) / (high - low), "uniform").pvalue > 0.01
    assert kstest((lon + 180) / 360, "uniform").pvalue > 0.01
    # and would not pass, were latitude itself uniform
    naive = np.random.default_rng(1).uniform(SOUTH, MAX_ABS_LAT, 20_000)
    assert kstest((np.sin(np.radians(naive)) - low) / (high - low), "uniform").pvalue < 1e-6


def test_the_places_are_on_land_as_often_as_land_is_there(land, koppen):
    lat_lon, climate = draw_places(5000, 0, land, *koppen)
    assert set(climate.tolist()) <= set(CLIMATES)
    assert OCEAN not in climate
    assert (land[cell_at(lat_lon, land.shape)] == 1).all()
    lat = 90 - (np.arange(land.shape[0]) + 0.5) / 12
    area = (land == 1).sum(axis=1) * np.cos(np.radians(lat)) * ((lat < MAX_ABS_LAT) & (lat > SOUTH))
    for low, high in ((-60, 0), (0, 23), (23, 50), (50, 70)):
        drawn = ((lat_lon[:, 0] >= low) & (lat_lon[:, 0] < high)).mean()
        assert drawn == pytest.approx(area[(lat >= low) & (lat < high)].sum() / area.sum(), abs=0.025)


def test_tiles_of_known_places(blue_marble):
    sahara, amazon, pacific, greenland = cut_tiles(
        blue_marble, np.array([(23.0, 10.0), (-4.0, -64.0), (0.0, -150.0), (69.9, -42.0)]), 48
    ).mean(axis=(1, 2))
    assert sahara[0] > sahara[1] > sahara[2] > 60
    assert sahara[0] > 150
    assert amazon[1] > amazon[0] > amazon[2]
    assert pacific[2] > 2 * pacific[0]
    assert greenland.min() > 200


def test_windows_go_on_across_the_date_line(blue_marble):
    """Fiji and Chukotka straddle it; a map turned by half a circle must give the same pictures."""
    turned = np.roll(blue_marble, blue_marble.shape[1] // 2, axis=1)
    places = np.array([(-17.8, 179.95), (-16.8, -179.97), (66.0, -179.9), (66.0, 180.0), (10.0, -180.0)])
    opposite = places - [0.0, 180.0] * np.sign(places)
    here, there = cut_tiles(blue_marble, places, 48), cut_tiles(turned, opposite, 48)
    # one grey level: the window's edge is another floating-point number half a world away
    np.testing.assert_allclose(here.astype(int), there.astype(int), rtol=0, atol=1)


def test_windows_are_square_on_the_ground():
    """A disc of 100 km radius, stretched as the map stretches it, comes out round at any latitude."""
    lat, lon = np.meshgrid(90 - (np.arange(900) + 0.5) / 5, (np.arange(1800) + 0.5) / 5 - 180, indexing="ij")
    for centre in (0.0, 30.0, 60.0):
        inside = np.hypot(lat - centre, lon * np.cos(np.radians(centre))) < 3.0
        world = np.repeat((inside * 255).astype(np.uint8)[..., None], 3, axis=2)
        disc = cut_tiles(world, np.array([(centre, 0.0)]), 48)[0, :, :, 0] > 127
        assert disc.any(axis=0).sum() == pytest.approx(disc.any(axis=1).sum(), abs=1)
        assert disc.any(axis=1).sum() == pytest.approx(30, abs=1)


def test_classes_lie_under_the_pixels_of_the_picture():
    """A map of classes and the picture of it, cut alike, agree; across the date line and far north too."""
    cells = np.random.default_rng(0).integers(0, 2, (45, 90), dtype=np.uint8).repeat(20, axis=0).repeat(20, axis=1)
    places = np.array([(0.0, 0.0), (60.0, 33.3), (-17.8, 179.95), (-33.0, -179.9)])
    classes = cut_classes(cells, places, 48, 180 / 900)
    picture = cut_tiles(cells[..., None].repeat(3, axis=2) * 255, places, 48)[..., 0]
    sure = (picture < 64) | (picture > 192)  # not mixed of two cells
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(classes[sure], picture[sure] > 128)


def test_altitude_of_known_places(relief):
    known = np.array(list(ALTITUDES.values()))
    found = survey(cut_tiles(relief, known[:, :2], 48))[0]
    print({name: (int(row[2]), round(float(m))) for (name, row), m in zip(ALTITUDES.items(), found, strict=True)})
    error = np.abs(found - known[:, 2])
    assert np.median(error) < 60
    assert (error < 0.15 * known[:, 2] + 60).all()


def test_altitude_is_unknown_on_ice_and_water(relief):
    greenland, pacific, lake_victoria = (69.9, -40.0), (0.0, -150.0), (-1.0, 33.0)
    assert np.isnan(survey(cut_tiles(relief, np.array([greenland, pacific, lake_victoria]), 48))[0]).all()


def test_ruggedness_orders_plains_hills_and_mountains(relief):
    places = [(-35.0, -62.0), (-31.0, 128.0), (48.0, 8.2), (46.5, 9.5)]
    pampa, nullarbor, black_forest, alps = survey(cut_tiles(relief, np.array(places), 48))[1]
    assert max(pampa, nullarbor) < 20 < black_forest < 400 < alps


def test_lake_country_is_not_mountainous(relief):
    """Land and lake mix to the greys of 5,000 m: by colour alone these had a ruggedness of 870 to 1,250 m."""
    manitoba, labrador, thunder_bay = (54.29, -94.52), (53.5, -66.5), (49.5, -89.5)
    altitude, rugged = survey(cut_tiles(relief, np.array([manitoba, labrador, thunder_bay]), 48))
    assert rugged.max() < 150
    np.testing.assert_allclose(altitude, [200, 560, 430], atol=100)


def test_mountain_fronts_keep_their_heights(relief):
    """What the surroundings say must not level ranges that rise from plains."""
    himalaya, andes, alps, tien_shan = (28.3, 84.0), (-33.0, -70.2), (46.5, 9.5), (42.0, 80.0)
    altitude, rugged = survey(cut_tiles(relief, np.array([himalaya, andes, alps, tien_shan]), 48))
    np.testing.assert_array_less([3000, 3000, 1500, 3500], altitude)
    assert rugged.min() > 450


def test_climate_and_country_of_known_towns(relief, land, koppen):
    raster, zones = koppen
    lat_lon = np.array([town[:2] for town in TOWNS.values()])
    climates = [zones[int(value)] for value in raster[cell_at(lat_lon, raster.shape)]]
    facts = facts_of(lat_lon, relief, land)
    for (name, (*_, expected, country)), climate, found in zip(TOWNS.items(), climates, facts.country, strict=True):
        assert climate in expected, name
        assert found == country, name
    for row in range(len(facts)):
        for caption in captions(facts[row], np.random.default_rng(0)):
            assert facts[row].country in caption
            assert facts[row].town in caption


def test_distance_to_the_sea(relief, land):
    porto, madrid, baku, alice, taveuni = facts_of(
        [(41.15, -8.6), (40.4, -3.7), (40.4, 49.5), (-23.7, 133.9), (-16.85, -179.97)], relief, land
    ).coast_km
    assert porto < 20
    assert taveuni < 20
    assert madrid == pytest.approx(300, abs=40)
    assert baku > 500  # the Caspian is a lake
    assert alice == pytest.approx(900, abs=150)


def test_bearings():
    start = np.zeros((4, 2))
    end = np.array([(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)])
    np.testing.assert_allclose(bearing(start, end), [0, 90, 180, 270], atol=1e-9)
    # the great circle from Berlin to Tokyo starts north-east
    assert bearing(np.array([(52.5, 13.4)]), np.array([(35.7, 139.7)]))[0] == pytest.approx(41.5, abs=1)


def test_country_names_are_the_usual_ones():
    assert [country_name(code) for code in ("NA", "IR", "CD", "XK", "KR")] == [
        "Namibia",
        "Iran",
        "Democratic Republic of the Congo",
        "Kosovo",
        "South Korea",
    ]


def test_captions_say_no_altitude_that_is_not_known(relief, land):
    facts = facts_of([(69.9, -40.0)], relief, land, "EF")
    written = captions(facts[0], np.random.default_rng(0))
    assert all(" m " not in caption and "country," not in caption for caption in written)
    assert any("ice cap" in caption for caption in written)
    assert any("km from the sea, with an ice cap climate" in caption for caption in written)


@pytest.mark.parametrize(
    ("metres", "words"),
    [
        (30, "lowland below 200 m"),
        (310, "land at about 300 m"),
        (620, "land at about 500 m"),
        (1210, "land at about 1,250 m"),
        (1900, "highland of roughly 1,400 to 2,700 m"),
        (3650, "high land at about 3,500 m"),
        (float("nan"), ""),
    ],
)
def test_altitude_in_words(metres, words):
    assert altitude_words(metres) == words


def test_few_places_share_a_caption(land, koppen, relief):
    """Only places a few kilometres apart, with the same town and wording, may: two pairs of 4,000 places did."""
    lat_lon, climate = draw_places(4000, 0, land, *koppen)
    facts = gather(lat_lon, climate, cut_tiles(relief, lat_lon, 48), land, sources.read_towns())
    written = [set(captions(facts[row], np.random.default_rng(row))) for row in range(len(facts))]
    texts, counts = np.unique([caption for place in written for caption in place], return_counts=True)
    assert (counts > 1).sum() / len(texts) < 1e-3

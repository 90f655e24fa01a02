"""The data set maptags: true tags of GeoNames around the places of world."""

import geobind
import numpy as np
import pytest
from geobind_world import WorldConfig

from geobind_maptags.dataset import RADIUS_KM, Places, geonames


@pytest.fixture(scope="module")
def places() -> Places:
    return Places(WorldConfig(n=60))


def test_geonames_are_all_there_with_true_tags() -> None:
    degrees, tags = geonames()
    assert len(degrees) == len(tags) == 144_563
    assert degrees[0].tolist() == [42.57952, 1.65362]
    assert tags[0] == ("place=populated", "country=AD", "admin1=AD/Canillo")


def test_tags_are_those_of_all_towns_within_the_radius(places: Places) -> None:
    degrees, tags = geonames()
    items = places.items("maptags", "train")
    assert len(items) > 20 and items.lat_lon is not None
    for bag, (lat, lon) in zip([*items][:5], items.lat_lon, strict=False):
        lats, lons = np.radians(degrees).T  # the haversine, another way than the data set's own
        dlat, dlon = (lats - np.radians(lat)) / 2, (lons - np.radians(lon)) / 2
        h = np.sin(dlat) ** 2 + np.cos(lats) * np.cos(np.radians(lat)) * np.sin(dlon) ** 2
        near = np.flatnonzero(2 * 6371.0 * np.arcsin(np.sqrt(h)) <= RADIUS_KM)
        assert bag["place=populated"] == len(near)
        assert sum(count for tag, count in bag.items() if tag.startswith("admin1=")) == len(near)
        assert {tag for tag in bag if tag.startswith("country=")} == {tags[row][1] for row in near}


def test_no_bag_is_empty_or_in_two_splits(places: Places) -> None:
    tables = [places.items("maptags", split) for split in geobind.SPLITS]
    keys = [set(table.key) for table in tables]
    assert all(bag for table in tables for bag in table)
    assert not (keys[0] & keys[1] or keys[0] & keys[2] or keys[1] & keys[2])


def test_it_says_how_pairs_came_about(places: Places) -> None:
    assert places.origin("satellite", "maptags") == "true location"
    assert places.origin("maptags", "text") == places.origin("satellite", "text")
    assert "synthesised" in places.origin("ground", "maptags")


def test_splits_may_be_empty() -> None:
    places = Places(WorldConfig(n=5, fractions=(1, 0, 0)))
    assert len(places.items("maptags", "test")) == 0

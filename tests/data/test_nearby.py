"""Pairs by distance, against a matrix of all distances."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

import geobind.data.nearby as nearby
from geobind.data.geo import EARTH_RADIUS_KM, great_circle_km
from geobind.data.items import Dataset, Items
from geobind.data.nearby import match_within, within_km
from geobind.errors import DataError, GeobindError

KM_PER_DEGREE = EARTH_RADIUS_KM * np.pi / 180


def brute(a, b, km):
    return np.argwhere(great_circle_km(a[:, None], b[None]) <= km)


def points(n):
    """Anywhere, and often in the corners of the map and on a coarse grid, where distances are equal."""
    latitude = st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, -89.9, 0.0, 45.0, 89.9, 90.0, np.nan]))
    longitude = st.one_of(st.floats(-180, 180), st.sampled_from([-180.0, -179.9, 0.0, 179.9, 180.0, np.nan]))
    return st.lists(st.tuples(latitude, longitude), min_size=0, max_size=n).map(
        lambda rows: np.array(rows, dtype=np.float64).reshape(-1, 2)
    )


@settings(deadline=None, max_examples=200)
@given(points(12), points(12), st.one_of(st.floats(0, 25_000), st.sampled_from([0.0, 1.0, 22.3, 20_015.2])))
def test_equals_all_distances(a, b, km):
    assert within_km(a, b, km).tolist() == brute(a, b, km).tolist()


@settings(deadline=None, max_examples=30)
@given(arrays(np.float64, (40, 2), elements=st.floats(-90, 90)), st.integers(1, 200))
def test_parts_change_nothing(lat_lon, candidates):
    whole = within_km(lat_lon, lat_lon[::-1], 3000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearby, "CANDIDATES", candidates)
        assert within_km(lat_lon, lat_lon[::-1], 3000).tolist() == whole.tolist()


def test_known_answers():
    a = np.array([[0.0, 179.95], [89.95, 0.0], [50.0, 10.0], [np.nan, 10.0]])
    b = np.array([[0.0, -179.95], [89.95, 180.0], [50.1, 10.0], [50.0, np.nan], [-50.0, 10.0]])
    tenth = 0.1 * KM_PER_DEGREE
    # Across the antimeridian, over the pole and along a meridian it is a tenth of a degree each time.
    assert within_km(a, b, tenth * 1.0001).tolist() == [[0, 0], [1, 1], [2, 2]]
    assert within_km(a, b, tenth * 0.9999).tolist() == []
    assert within_km(a, b, 30_000).tolist() == [[i, j] for i in range(3) for j in (0, 1, 2, 4)]


def test_many_points():
    rng = np.random.default_rng(0)
    a, b = (np.degrees([np.arcsin(rng.uniform(-1, 1, 1500)), rng.uniform(-np.pi, np.pi, 1500)]).T for _ in range(2))
    found = within_km(a, b, 300)
    assert found.tolist() == brute(a, b, 300).tolist()
    assert len(found) == pytest.approx(1500**2 * (1 - np.cos(300 / EARTH_RADIUS_KM)) / 2, rel=0.1)  # a cap of the globe


class Table(Dataset):
    def __init__(self, **lat_lon):
        self.modalities = tuple(lat_lon)
        self._lat_lon = lat_lon

    def items(self, modality, split):
        lat_lon = self._lat_lon[modality]
        name = np.arange(len(lat_lon) if lat_lon is not None else 3).astype(np.str_)
        return Items(modality, int, name, name, lat_lon=lat_lon)

    def origin(self, a, b):
        return "true location"

    @property
    def fingerprint(self):
        return "table"


def test_match_within_leaves_out_who_has_no_partner():
    a = np.array([[0.0, 0.0], [60.0, 0.0], [10.0, 0.0], [np.nan, np.nan]])
    b = np.array([[10.05, 0.0], [-60.0, 0.0], [0.0, 0.05], [10.0, 0.0]])
    pairs = match_within(Table(a=a, b=b), "a", "b", "test", 10)
    assert (pairs.rule, pairs.origin) == ("radius", "true location, within 10 km")
    assert pairs.a.place.tolist() == ["0", "2"]
    assert pairs.b.place.tolist() == ["0", "2", "3"]
    assert pairs.edges.tolist() == [[0, 1], [1, 0], [1, 2]]
    assert len(pairs.label_a) == 2 and len(pairs.label_b) == 3


def test_refusals():
    here, nowhere = np.array([[0.0, 0.0]]), np.array([[np.nan, 0.0]])
    with pytest.raises(DataError, match=r"none of the 1 b items of the split 'test' has coordinates"):
        match_within(Table(a=here, b=nowhere), "a", "b", "test", 10)
    with pytest.raises(DataError, match=r"none of the 3 a items"):
        match_within(Table(a=None, b=here), "a", "b", "test", 10)
    with pytest.raises(DataError, match=r"no a item of the split 'val' lies within 10 km of a b item"):
        match_within(Table(a=here, b=here + 1), "a", "b", "val", 10)
    for km in (-1, float("nan")):
        with pytest.raises(GeobindError, match="radius of"):
            within_km(here, here, km)

"""Coordinates and spatial splits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobind.data.geo import check_lat_lon, great_circle_km
from geobind.data.splits import spatial_blocks, split_by_blocks
from geobind.errors import DataError

degrees = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


def test_known_distances():
    zurich, berlin = (47.3769, 8.5417), (52.52, 13.405)
    assert great_circle_km(zurich, berlin) == pytest.approx(670, abs=3)
    assert great_circle_km((0, 0), (0, 180)) == pytest.approx(np.pi * 6371.0088)
    assert great_circle_km((10, 179.9), (10, -179.9)) < 25


@given(degrees, degrees)
def test_distance_is_symmetric_and_bounded(a, b):
    d = great_circle_km(a, b)
    assert d == pytest.approx(great_circle_km(b, a)) and 0 <= d <= np.pi * 6371.01


@pytest.mark.parametrize(
    ("lat", "lon", "match"),
    [(95, 0, "latitude 95"), (0, 181, "longitude 181"), ("x", 0, "not numbers"), (float("nan"), 0, "latitude nan")],
)
def test_impossible_coordinates(lat, lon, match):
    with pytest.raises(DataError, match=match):
        check_lat_lon(lat, lon, where="row 3")


@given(st.lists(degrees, min_size=1, max_size=50), st.integers(0, 3))
def test_no_block_is_shared_by_two_splits_and_order_does_not_matter(points, seed):
    array = np.array(points)
    splits = split_by_blocks(array, degrees=8, seed=seed)
    by_block = {}
    for block, split in zip(spatial_blocks(array, 8), splits, strict=True):
        assert by_block.setdefault(block, split) == split
    assert np.array_equal(split_by_blocks(array[::-1], degrees=8, seed=seed)[::-1], splits)


def test_fractions_are_nearly_met():
    rng = np.random.default_rng(0)
    points = np.stack([rng.uniform(-90, 90, 20000), rng.uniform(-180, 180, 20000)], axis=1)
    splits = split_by_blocks(points, degrees=2, fractions=(0.6, 0.1, 0.3))
    shares = [(splits == name).mean() for name in ("train", "val", "test")]
    assert shares == pytest.approx([0.6, 0.1, 0.3], abs=0.02)

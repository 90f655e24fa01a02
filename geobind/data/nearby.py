"""Positives by distance: items of two modalities that lie within a radius of each other.

Shapes: A items of the first modality, B of the second, P pairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geobind.data.geo import EARTH_RADIUS_KM, great_circle_km
from geobind.data.items import Dataset, Items
from geobind.data.pairs import Pairs
from geobind.errors import DataError, GeobindError

CANDIDATES = 1 << 18
"""Pairs of near latitude whose distance is computed at a time."""


def within_km(a_lat_lon: ArrayLike, b_lat_lon: ArrayLike, km: float) -> NDArray[np.int64]:
    """All pairs of points no farther apart than a great-circle distance.

    Latitudes choose the candidates, the haversine distance decides; memory grows with the pairs found, never with A×B.

    Args:
        a_lat_lon: ``[A, 2]`` degrees; a point with NaN pairs with nothing.
        b_lat_lon: ``[B, 2]`` degrees.
        km: The radius; 0 pairs equal points only.

    Returns:
        ``[P, 2]`` row numbers of both, in ascending order.

    Raises:
        GeobindError: A radius that is negative or not a number.
    """
    if not km >= 0:
        raise GeobindError(f"a radius of {km} km pairs nothing", fix="Give kilometres, such as 10.")
    a, b = (np.asarray(points, dtype=np.float64).reshape(-1, 2) for points in (a_lat_lon, b_lat_lon))
    rows_a, rows_b = (np.flatnonzero(np.isfinite(points).all(axis=1)) for points in (a, b))
    rows_b = rows_b[np.argsort(b[rows_b, 0])]
    # A great circle is never shorter than its difference in latitude; a metre more, for the rounding of either.
    reach = np.degrees(km / EARTH_RADIUS_KM) + 1e-5
    start = np.searchsorted(b[rows_b, 0], a[rows_a, 0] - reach, side="left")
    stop = np.searchsorted(b[rows_b, 0], a[rows_a, 0] + reach, side="right")
    count = stop - start
    # Of several points at a time, as many as have some number of candidates together, at least one.
    part = np.cumsum(count) // CANDIDATES
    found = [np.empty((0, 2), dtype=np.int64)]
    for points in np.split(np.arange(len(rows_a)), np.flatnonzero(np.diff(part)) + 1):
        n = count[points]
        candidate = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(start[points], n)
        pairs = np.stack([np.repeat(rows_a[points], n), rows_b[candidate]], axis=1)
        found.append(pairs[great_circle_km(a[pairs[:, 0]], b[pairs[:, 1]]) <= km])
    edges = np.concatenate(found)
    return edges[np.lexsort((edges[:, 1], edges[:, 0]))]


def match_within(dataset: Dataset, a: str, b: str, split: str, km: float) -> Pairs:
    """Pair two modalities of a dataset's split by distance alone; items with no partner in reach are left out.

    Raises:
        DataError: Items without coordinates, or none within the radius.
        GeobindError: A radius that is negative or not a number.
    """
    items_a, items_b = dataset.items(a, split), dataset.items(b, split)
    edges = within_km(_lat_lon(items_a, split), _lat_lon(items_b, split), km)
    if not len(edges):
        raise DataError(
            f"no {a} item of the split {split!r} lies within {km:g} km of a {b} item", fix="Choose a larger radius."
        )
    (rows_a, new_a), (rows_b, new_b) = (np.unique(column, return_inverse=True) for column in edges.T)
    unlabelled = np.full(len(rows_a), -1, dtype=np.int64), np.full(len(rows_b), -1, dtype=np.int64)
    return Pairs(
        items_a.take(rows_a),
        items_b.take(rows_b),
        "radius",
        f"{dataset.origin(a, b)}, within {km:g} km",
        *unlabelled,
        edges=np.stack([new_a, new_b], axis=1).astype(np.int64),
    )


def _lat_lon(items: Items, split: str) -> NDArray[np.float64]:
    if items.lat_lon is None or not np.isfinite(items.lat_lon).all(axis=1).any():
        raise DataError(
            f"none of the {len(items)} {items.modality} items of the split {split!r} has coordinates",
            fix="Give the manifest columns lat and lon, or pair by id or group.",
        )
    return items.lat_lon

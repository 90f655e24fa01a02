"""Similarities and ranks as published code has them: a chunk of queries at a time, ties only of what is exactly equal.

Shapes: N pairs, C queries of a chunk, D dimensions; row i of one side belongs to row i of the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from geobind.data.geo import EARTH_RADIUS_KM, great_circle_km

CHUNK = 256
"""Queries whose similarities exist at a time."""
RADIUS_KM = 6371.0
"""Of the Earth in SoundingEarth's code; ours is 9 m longer."""

Floats = NDArray[np.float32]
Values = NDArray[np.float64]
Blocks = Iterator[tuple[slice, NDArray[np.floating]]]
"""Queries a chunk at a time with their similarities ``[C, N]``, more being better."""


def cosines(queries: Floats, gallery: Floats) -> Blocks:
    """Cosines, rounded to float32 as the published code has them, from float64 so that equal items tie exactly."""
    other = gallery.astype(np.float64).T
    for rows in _chunks(len(queries)):
        yield rows, (queries[rows].astype(np.float64) @ other).astype(np.float32)


def distances(queries: Floats, gallery: Floats, scale: Values | float = 1.0) -> Blocks:
    """L2 distances, float32 as the published code has them, divided by ``scale [N]`` in float64; negated."""
    other = torch.from_numpy(gallery)
    for rows in _chunks(len(queries)):
        # Without the matrix product, which makes equal items differ.
        far = torch.cdist(torch.from_numpy(queries[rows]), other, compute_mode="donot_use_mm_for_euclid_dist")
        yield rows, -far.numpy().astype(np.float64) / scale


def _chunks(n: int) -> Iterator[slice]:
    for first in range(0, n, CHUNK):
        yield slice(first, min(first + CHUNK, n))


def _own(rows: slice, similarity: NDArray[np.floating]) -> NDArray[np.floating]:
    """``[C, 1]`` each query's similarity to its partner."""
    return similarity[np.arange(len(similarity)), np.arange(rows.start, rows.stop)][:, None]


def ranks(blocks: Blocks) -> Values:
    """Rank of each query's partner ``[N]``, from 1; exactly equal items share the mean of their ranks."""
    found = []
    for rows, similarity in blocks:
        own = _own(rows, similarity)
        found.append((similarity > own).sum(axis=1) + ((similarity == own).sum(axis=1) + 1) / 2)
    return np.concatenate(found)


def among_first(blocks: Blocks, k: int) -> Iterator[NDArray[np.bool_]]:
    """Whether each query's partner is among the first k, in torch's order among equals; never at similarity 0."""
    for rows, similarity in blocks:
        first = torch.topk(torch.from_numpy(similarity), min(k, similarity.shape[1])).indices.numpy()
        found = (first == np.arange(rows.start, rows.stop)[:, None]).any(axis=1)
        yield found & (_own(rows, similarity)[:, 0] != 0)


def nearest_km(blocks: Blocks, lat_lon: Values, ks: tuple[int, ...]) -> dict[int, Values]:
    """By k, the smallest distance in km ``[N]`` among the first k; equally similar items in their order."""
    result = {k: np.empty(len(lat_lon)) for k in ks}
    size = min(max(ks), len(lat_lon))
    for rows, similarity in blocks:
        for query, row in zip(range(rows.start, rows.stop), -similarity, strict=True):
            candidates = np.flatnonzero(row <= np.partition(row, size - 1)[size - 1])
            first = candidates[np.argsort(row[candidates], kind="stable")][:size]
            km = great_circle_km(lat_lon[query], lat_lon[first]) * (RADIUS_KM / EARTH_RADIUS_KM)
            for k in ks:
                result[k][query] = km[:k].min()
    return result

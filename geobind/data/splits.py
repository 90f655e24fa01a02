"""Splits by spatial blocks: near places share a block, and a block is never shared by two splits."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from geobind.data.items import SPLITS


def spatial_blocks(lat_lon: NDArray[np.float64], degrees: float) -> NDArray[np.str_]:
    """Name of the ``degrees`` × ``degrees`` block of each (lat, lon) row: ``[N]``."""
    cells = np.floor(lat_lon / degrees).astype(np.int64)
    return np.array([f"{row}:{column}" for row, column in cells.tolist()], dtype=np.str_)


def split_by_blocks(
    lat_lon: NDArray[np.float64],
    *,
    degrees: float,
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
    seed: int = 0,
) -> NDArray[np.str_]:
    """Assign each (lat, lon) row to ``train``, ``val`` or ``test`` by its block.

    A block's split depends on its name and the seed alone, so places added later never move the others.
    The fractions are those of the blocks, and only near those of the places. Rows with NaN, which lie in no block, are
    trained on.
    """
    located = ~np.isnan(lat_lon).any(axis=1)
    splits = np.full(len(lat_lon), SPLITS[0], dtype="<U5")
    blocks = spatial_blocks(lat_lon[located], degrees)
    edges = np.cumsum(fractions) / sum(fractions)
    names, inverse = np.unique(blocks, return_inverse=True)
    draws = np.array([_uniform(f"{seed}:{degrees:g}:{name}") for name in names])
    index = np.minimum(np.searchsorted(edges, draws, side="right"), len(SPLITS) - 1)
    splits[located] = np.array(SPLITS)[index][inverse]
    return splits


def _uniform(text: str) -> float:
    """A number in [0, 1) drawn from the hash of a text, the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64

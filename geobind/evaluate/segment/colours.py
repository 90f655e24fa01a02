"""Colours for the classes of a map: told apart side by side, two classes or forty."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from geobind.palette import SERIES, Colour

STEPS = 9
"""Candidates per channel."""
DARKEST, PALEST, BRIGHTEST = 0.3, 0.92, 0.2
"""Lightness in OKLab that candidates lie between, and chroma below which: paper and ink stay apart, nothing glares."""
NOTHING: Colour = (214, 218, 219)
"""Pixels that are not counted."""

_TO_CONES = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]]
)  # fmt: skip
_TO_LAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
     [0.0259040371, 0.7827717662, -0.8086757660]]
)  # fmt: skip


@cache
def distinct(number: int) -> tuple[Colour, ...]:
    """So many colours, the house's hues first, then always the one that lies farthest from all before it in OKLab.

    The first ones do not depend on how many are asked for. (OKLab: Ottosson 2020.)
    """
    grid = np.linspace(0, 255, STEPS).round().astype(int)
    candidates = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = oklab(candidates)
    fit = (lab[:, 0] >= DARKEST) & (lab[:, 0] <= PALEST) & (np.hypot(lab[:, 1], lab[:, 2]) <= BRIGHTEST)
    candidates, lab = candidates[fit], lab[fit]
    chosen: list[Colour] = list(SERIES[:number])
    distance = np.full(len(lab), np.inf)
    for taken in oklab(np.array([*chosen, NOTHING])):
        distance = np.minimum(distance, ((lab - taken) ** 2).sum(axis=1))
    while len(chosen) < number:
        farthest = int(distance.argmax())
        r, g, b = candidates[farthest].tolist()
        chosen.append((r, g, b))
        distance = np.minimum(distance, ((lab - lab[farthest]) ** 2).sum(axis=1))
    return tuple(chosen)


def oklab(colours: NDArray[np.int64]) -> NDArray[np.float64]:
    """``[n, 3]`` OKLab coordinates of sRGB colours ``[n, 3]`` of 0 to 255."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _TO_CONES.T) @ _TO_LAB.T)

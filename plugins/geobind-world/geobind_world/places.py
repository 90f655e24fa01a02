"""Places drawn over the land of the globe, uniformly by area."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from geobind_world.climate import OCEAN
from geobind_world.maps import cell_at

MAX_ABS_LAT = 70.0
"""Degrees: north of it a plate carrée window is mostly stretch; south of it lies Antarctica."""
SOUTH = -60.0
"""Degrees: the land south of it is Antarctica's."""
_BATCH = 4096


def draw_on_sphere(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Points ``[n, 2]`` in degrees, uniform by area between :data:`SOUTH` and :data:`MAX_ABS_LAT`.

    The area of a band of the sphere is proportional to the sine of its latitudes (Archimedes).
    """
    u = rng.random((n, 2))
    low, high = math.sin(math.radians(SOUTH)), math.sin(math.radians(MAX_ABS_LAT))
    return np.stack([np.degrees(np.arcsin(low + (high - low) * u[:, 0])), u[:, 1] * 360.0 - 180.0], axis=1)


def draw_places(
    n: int, seed: int, land: NDArray[np.uint8], koppen: NDArray[np.uint8], zones: dict[int, str]
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Draw n places on land.

    The first places do not depend on ``n``: a larger data set holds every smaller one of its seed.

    Args:
        n: How many.
        seed: Of the draw.
        land: Mask, 1 on land, as :func:`geobind_world.sources.read_land_mask` gives it.
        koppen: Climate raster.
        zones: Climate of each value of the raster.

    Returns:
        (lat, lon) ``[n, 2]`` in degrees and the Köppen class ``[n]``.
    """
    rng = np.random.default_rng([seed, 0])
    names = np.array([zones.get(value, OCEAN) for value in range(256)])
    found: list[NDArray[np.float64]] = []
    climates: list[NDArray[np.str_]] = []
    while sum(map(len, found)) < n:
        points = draw_on_sphere(rng, _BATCH).round(4)  # 1e-4 degrees, 11 m: what a caption or a file would keep
        climate = names[koppen[cell_at(points, koppen.shape)]]
        kept = (land[cell_at(points, land.shape)] == 1) & (climate != OCEAN)
        found.append(points[kept])
        climates.append(climate[kept])
    return np.concatenate(found)[:n], np.concatenate(climates)[:n]

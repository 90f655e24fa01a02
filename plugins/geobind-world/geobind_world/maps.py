"""Plate carrée maps: the cell under a place, and square windows around it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def cell_at(lat_lon: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column ``[N]`` of the cell that holds each place on a north-up global map ``[H, W, …]``."""
    height, width = shape[:2]
    row = np.floor((90.0 - lat_lon[:, 0]) * height / 180.0).astype(np.int64)
    column = np.floor((lat_lon[:, 1] + 180.0) * width / 360.0).astype(np.int64)
    return np.clip(row, 0, height - 1), column % width


def cut_tiles(world: NDArray[np.uint8], lat_lon: NDArray[np.float64], tile: int) -> NDArray[np.uint8]:
    """Square windows ``[N, tile, tile, 3]`` of ``tile`` map rows, centred on the places.

    A plate carrée map is stretched by 1/cos(lat) from west to east, so the window is ``tile / cos(lat)``
    columns wide and is squeezed (with antialiasing) back to ``tile``: its ground is square, ``tile`` × 7.4 km
    on the maps used here. Windows go on across the date line.

    Args:
        world: ``[H, W, 3]``, north up, from 180° W to 180° E.
        lat_lon: ``[N, 2]`` degrees, far enough from the poles that no window leaves the map.
        tile: Side of a window in map rows.
    """
    height, width = world.shape[:2]
    widths = tile / np.cos(np.radians(lat_lon[:, 0]))
    pad = math.ceil(widths.max(initial=tile)) // 2 + 2
    wrapped = Image.fromarray(np.concatenate([world[:, -pad:], world, world[:, :pad]], axis=1))
    tiles = np.empty((len(lat_lon), tile, tile, 3), dtype=np.uint8)
    for row, ((lat, lon), wide) in enumerate(zip(lat_lon.tolist(), widths.tolist(), strict=True)):
        x, y = (lon + 180.0) * width / 360.0 + pad, (90.0 - lat) * height / 180.0
        box = (x - wide / 2, y - tile / 2, x + wide / 2, y + tile / 2)
        tiles[row] = np.asarray(wrapped.resize((tile, tile), Image.Resampling.BILINEAR, box=box))
    return tiles


def cut_classes(codes: NDArray[np.uint8], lat_lon: NDArray[np.float64], tile: int, step: float) -> NDArray[np.uint8]:
    """Classes ``[N, tile, tile]`` under the centres of the pixels of windows as :func:`cut_tiles` cuts them.

    Args:
        codes: A class per cell ``[H, W]``, north up, from 180° W to 180° E; any resolution, for nothing is averaged.
        lat_lon: ``[N, 2]`` degrees.
        tile: Side of a window in pixels.
        step: Degrees of latitude from one pixel to the next.
    """
    offset = (np.arange(tile) + 0.5 - tile / 2) * step
    lat = lat_lon[:, :1] - offset
    lon = lat_lon[:, 1:] + offset / np.cos(np.radians(lat_lon[:, :1]))
    rows, columns = cell_at(np.stack([lat.ravel(), lon.ravel()], axis=1), codes.shape)
    return codes[rows.reshape(-1, tile, 1), columns.reshape(-1, 1, tile)]


def unit_vectors(lat_lon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points ``[N, 3]`` on the unit sphere, for neighbour searches that know no date line."""
    lat, lon = np.radians(lat_lon).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)

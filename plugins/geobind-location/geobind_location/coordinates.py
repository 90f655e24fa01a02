"""Read and show location items."""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np

from geobind.data.geo import check_lat_lon
from geobind.errors import DataError


def read_lat_lon(item: Any) -> tuple[float, float]:
    """Turn a location item into ``(lat, lon)`` degrees.

    Raises:
        DataError: Not two numbers, or outside of [-90, 90] and [-180, 180].
    """
    try:
        lat, lon = item
        single = np.ndim(lat) == np.ndim(lon) == 0
    except (TypeError, ValueError):
        single = False
    if not single:
        raise DataError(f"{reprlib.repr(item)} is not a location", fix="Give (lat, lon) in degrees.")
    return check_lat_lon(lat, lon, where=f"location {item!r}")


def preview(item: Any) -> str:
    """A location in words: ``47.37° N, 8.54° E``.

    Raises:
        DataError: Not a location.
    """
    lat, lon = read_lat_lon(item)
    return f"{abs(lat):.2f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.2f}° {'E' if lon >= 0 else 'W'}"

"""Coordinates: checks, distances, and blocks of the globe. Degrees are WGS84."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geobind.errors import DataError

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the Earth (IUGG)."""


def check_lat_lon(lat: float, lon: float, *, where: str = "") -> tuple[float, float]:
    """Return ``(lat, lon)`` as floats, or say what is wrong with them.

    Raises:
        DataError: Not numbers, latitude outside [-90, 90] or longitude outside [-180, 180].
    """
    try:
        lat, lon = float(lat), float(lon)
    except (TypeError, ValueError):
        raise DataError(f"coordinates {lat!r}, {lon!r} are not numbers", where=where, fix="Give degrees.") from None
    if not -90 <= lat <= 90:
        raise DataError(f"latitude {lat:g} is outside [-90, 90]", where=where, fix="Are lat and lon swapped?")
    if not -180 <= lon <= 180:
        raise DataError(f"longitude {lon:g} is outside [-180, 180]", where=where, fix="Subtract or add 360.")
    return lat, lon


def great_circle_km(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Great-circle distance in km between points ``[..., 2]`` of (lat, lon) degrees (haversine)."""
    (lat1, lon1), (lat2, lon2) = (np.moveaxis(np.radians(np.asarray(x, dtype=np.float64)), -1, 0) for x in (a, b))
    h = np.sin((lat2 - lat1) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    return np.asarray(2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(h, 0, 1))))

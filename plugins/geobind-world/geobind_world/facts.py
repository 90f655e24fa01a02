"""What is true of each place: climate, altitude, ruggedness, the sea, the nearest town."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from geobind.data.geo import EARTH_RADIUS_KM
from geobind_world.climate import CLIMATES, Climate
from geobind_world.maps import unit_vectors
from geobind_world.relief import survey
from geobind_world.sources import Towns

_USUAL = {
    "CD": "Democratic Republic of the Congo",
    "CG": "Republic of the Congo",
    "FM": "Micronesia",
    "PS": "Palestine",
    "RU": "Russia",
    "VG": "British Virgin Islands",
    "VI": "United States Virgin Islands",
    "XK": "Kosovo",
}
"""Where ISO 3166-1 inverts a name for sorting, or is formal; and Kosovo, which it lacks and GeoNames has."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What is true of one place."""

    lat: float
    lon: float
    climate: Climate
    altitude_m: float
    """NaN on ice sheets and where the place's pixels are water."""
    ruggedness_m: float
    coast_km: float
    town: str
    country: str
    """Of the nearest town."""
    town_km: float
    town_bearing: float
    """Degrees clockwise from north, from the town to the place."""

    @property
    def height_m(self) -> float:
        """The altitude, 0 where it is unknown: for drawing and sounding, never for words."""
        return 0.0 if math.isnan(self.altitude_m) else self.altitude_m


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """The same, as columns of N places."""

    lat_lon: NDArray[np.float64] = field(repr=False)
    koppen: NDArray[np.str_] = field(repr=False)
    altitude_m: NDArray[np.float64] = field(repr=False)
    ruggedness_m: NDArray[np.float64] = field(repr=False)
    coast_km: NDArray[np.float64] = field(repr=False)
    town: NDArray[np.str_] = field(repr=False)
    country: NDArray[np.str_] = field(repr=False)
    town_km: NDArray[np.float64] = field(repr=False)
    town_bearing: NDArray[np.float64] = field(repr=False)

    def __len__(self) -> int:
        return len(self.koppen)

    def __getitem__(self, row: int) -> Fact:
        return Fact(
            lat=float(self.lat_lon[row, 0]),
            lon=float(self.lat_lon[row, 1]),
            climate=CLIMATES[str(self.koppen[row])],
            altitude_m=float(self.altitude_m[row]),
            ruggedness_m=float(self.ruggedness_m[row]),
            coast_km=float(self.coast_km[row]),
            town=str(self.town[row]),
            country=str(self.country[row]),
            town_km=float(self.town_km[row]),
            town_bearing=float(self.town_bearing[row]),
        )


def gather(
    lat_lon: NDArray[np.float64],
    koppen: NDArray[np.str_],
    elevation: NDArray[np.uint8],
    land: NDArray[np.uint8],
    towns: Towns,
) -> Facts:
    """Look every fact up.

    Args:
        lat_lon: ``[N, 2]`` degrees.
        koppen: ``[N]`` Köppen classes.
        elevation: ``[N, t, t, 3]`` relief tiles of the places.
        land: Mask of the world, 0 on the sea.
        towns: Settlements of the world.
    """
    points = unit_vectors(lat_lon)
    altitude_m, ruggedness_m = survey(elevation)
    chord, nearest = cKDTree(unit_vectors(towns.lat_lon)).query(points)
    return Facts(
        lat_lon=lat_lon,
        koppen=koppen,
        altitude_m=np.where(koppen == "EF", np.nan, altitude_m),
        ruggedness_m=ruggedness_m,
        coast_km=_chord_to_km(cKDTree(unit_vectors(shore(land))).query(points)[0]),
        town=towns.name[nearest],
        country=np.array([country_name(code) for code in towns.country[nearest].tolist()], dtype=np.str_),
        town_km=_chord_to_km(chord),
        town_bearing=bearing(towns.lat_lon[nearest], lat_lon),
    )


def shore(land: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Centres ``[S, 2]`` in degrees of the sea cells that touch land or a lake."""
    sea = land == 0
    dry = ~sea
    beside = np.roll(dry, 1, axis=1) | np.roll(dry, -1, axis=1)
    beside[1:] |= dry[:-1]
    beside[:-1] |= dry[1:]
    row, column = np.nonzero(sea & beside)
    height, width = land.shape
    return np.stack([90.0 - (row + 0.5) * 180.0 / height, (column + 0.5) * 360.0 / width - 180.0], axis=1)


def bearing(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Initial great-circle bearing ``[N]`` from ``start [N, 2]`` to ``end [N, 2]``, degrees clockwise from north."""
    (lat1, lon1), (lat2, lon2) = np.radians(start).T, np.radians(end).T
    east = np.sin(lon2 - lon1) * np.cos(lat2)
    north = np.cos(lat1) * np.sin(lat2) - np.sin(lat1) * np.cos(lat2) * np.cos(lon2 - lon1)
    return np.asarray(np.degrees(np.arctan2(east, north)) % 360.0)


@cache
def country_name(code: str) -> str:
    """The usual English name of an ISO 3166-1 alpha-2 code, by pycountry; the code itself where it knows none."""
    import pycountry

    country = pycountry.countries.get(alpha_2=code)
    if code in _USUAL or country is None:
        return _USUAL.get(code, code)
    return str(getattr(country, "common_name", country.name))


def _chord_to_km(chord: NDArray[np.float64]) -> NDArray[np.float64]:
    """Great-circle distance of points on the unit sphere whose straight distance is known."""
    return np.asarray(2 * EARTH_RADIUS_KM * np.arcsin(np.clip(chord / 2, 0, 1)))

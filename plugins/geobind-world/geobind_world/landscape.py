"""Drawn landscapes: what the ground may look like, synthesised from a place's climate and relief.

The view is towards the equator at noon of an equinox, when the sun stands 90° - |latitude| high. Three ridges come
from the true relief in that direction. No pixel of the satellite tile is used.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from geobind_world.climate import Climate
from geobind_world.facts import Fact
from geobind_world.plants import plant_all
from geobind_world.relief import altitude, block_means, is_ice

SIZE = 96
"""Side of a picture in pixels."""
HORIZON = 56
"""Row of the horizon of level land."""

Canvas = NDArray[np.float64]

_Y, _X = np.mgrid[:SIZE, :SIZE].astype(np.float64)
_COAST_KM = 60.0
"""Distance from the sea over which its share of the picture falls to 1/e."""


def draw(fact: Fact, elevation: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the landscape of one place.

    Args:
        fact: What is true of it.
        elevation: Its relief tile ``[t, t, 3]``.
        rng: Decides the noise: clouds, the grain of the land, where plants stand.

    Returns:
        ``[96, 96, 3]`` uint8.
    """
    climate = fact.climate
    haze = _mix(_sky_horizon(fact), np.array([214.0, 205.0, 190.0]), 0.3 * (1 - climate.wetness))
    canvas = _sky(fact, haze, rng)
    for distance, ridge in zip((1.0, 0.6, 0.25), _ridges(fact, elevation), strict=True):
        canvas = _range(canvas, ridge, distance, fact, haze, rng)
    canvas = _plain(canvas, climate, rng)
    shore = _shore_row(fact)
    plant_all(canvas, climate, _greenness(fact), HORIZON, shore, rng)
    canvas = _sea(canvas, fact, shore, rng) * _sunlight(fact)
    return np.asarray(np.clip(canvas + rng.normal(0, 2.0, canvas.shape), 0, 255).astype(np.uint8))


# -- sky -------------------------------------------------------------------------------------------


def _sky(fact: Fact, haze: Canvas, rng: np.random.Generator) -> Canvas:
    """Darker blue under a high sun and at altitude, the sun at its noon height, clouds by wetness."""
    noon = math.cos(math.radians(fact.lat))
    zenith = _mix(np.array([136.0, 170.0, 205.0]), np.array([42.0, 104.0, 190.0]), noon**2)
    zenith = _mix(zenith, np.array([18.0, 52.0, 118.0]), 0.6 * min(fact.height_m / 5000, 1.0))
    canvas = _mix(zenith, haze, np.clip(_Y / HORIZON, 0, 1)[..., None] ** 1.3)

    elevation_of_sun = (90.0 - abs(fact.lat)) / 90.0
    away = np.hypot(_X - 70, _Y - (HORIZON - 4 - elevation_of_sun * (HORIZON - 10)))
    canvas = _mix(canvas, np.array([255.0, 238.0, 196.0]), 0.55 * np.exp(-away / 10)[..., None])
    canvas = _mix(canvas, np.array([255.0, 252.0, 236.0]), np.clip(5.5 - away, 0, 1)[..., None])

    cover = 0.1 + 0.6 * fact.climate.wetness
    clouds = _noise(rng, (3, 9)) + 0.4 * _noise(rng, (9, 22))
    alpha = np.clip((clouds - (0.9 - 1.7 * cover)) * 1.4, 0, 0.85) * np.clip(1.25 - _Y / HORIZON, 0, 1)
    grey = 250 - 70 * max(fact.climate.wetness - 0.4, 0)
    return _mix(canvas, np.array([grey, grey, grey + 4]), alpha[..., None])


def _sunlight(fact: Fact) -> Canvas:
    """Colour of the light: white under a high sun, golden and weaker under a low one."""
    low = 1 - math.cos(math.radians(fact.lat))
    return _mix(np.array([1.0, 1.0, 1.0]), np.array([1.0, 0.8, 0.62]), low)


def _sky_horizon(fact: Fact) -> Canvas:
    noon = math.cos(math.radians(fact.lat))
    return _mix(np.array([232.0, 222.0, 210.0]), np.array([196.0, 220.0, 238.0]), noon)


# -- land ------------------------------------------------------------------------------------------


def _ridges(fact: Fact, elevation: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Altitude in metres ``[3, SIZE]`` along the far, middle and near ridge, left to right as seen."""
    half = elevation.shape[0] // 2
    # Facing the equator: south of a northern place, where west lies on the right.
    ahead = elevation[half:, ::-1] if fact.lat >= 0 else elevation[half - 1 :: -1]
    colours = block_means(ahead[None], 3, 12)[0, ::-1]
    metres = np.nan_to_num(np.where(is_ice(colours), fact.height_m, altitude(colours, fact.height_m)), nan=0.0)
    return np.asarray(metres @ _weights(metres.shape[1] - 1).T)


def _range(
    canvas: Canvas, ridge: NDArray[np.float64], distance: float, fact: Fact, haze: Canvas, rng: np.random.Generator
) -> Canvas:
    """One ridge line; farther ones fade into the haze. Snow lies above the snow line, plants thin out below it."""
    climate = fact.climate
    rough = min(fact.ruggedness_m / 500, 1.5)
    jagged = _profile(rng, (5, 11, 23, 47)) * (1.5 + 10 * rough) * (1.15 - 0.5 * distance)
    lift = 34 * np.tanh((ridge - fact.height_m) / 2200) + 15 * math.tanh(fact.ruggedness_m / 450)
    crest = HORIZON + 1 + 5 * (1 - distance) - lift - np.maximum(jagged + 1.5 * rough, -2)
    inside = np.clip(_Y - crest[None] + 0.5, 0, 1)

    grain = _noise(rng, (10, 14))
    rock = np.array([118.0, 108.0, 98.0])
    slope = _mix(np.array(climate.soil, dtype=np.float64), rock, min(0.25 + 0.5 * rough, 0.8))
    slope = _mix(slope, np.array([40.0, 74.0, 42.0]), 0.75 * climate.cover * _greenness(fact))
    # faces that look to the right are lit; gullies run down from the crest, the more slanted the lower
    gullies = np.sin(0.55 * (_X + 0.6 * np.abs(_Y - crest[None])) + 4 * grain) * 12 * min(rough, 1)
    light = np.gradient(crest)[None] * 5 + grain * 14 + gullies
    colour = slope + light[..., None]

    # metres that each pixel of the slope would stand at: the crest's altitude, falling with depth below it
    metres = np.maximum(ridge, fact.height_m)[None] - (_Y - crest[None]) * (60 + fact.ruggedness_m / 4)
    snow = np.clip((metres + 300 * grain - snow_line(fact.lat)) / 350, 0, 1)
    snow = np.maximum(snow, climate.snow * np.clip(0.7 + grain, 0, 1))
    colour = _mix(colour, np.array([242.0, 245.0, 250.0]), snow[..., None])
    return _mix(canvas, _mix(colour, haze, 0.68 * distance), inside[..., None])


def snow_line(lat: float) -> float:
    """Rough altitude in metres of lasting snow: 5,000 m in the tropics, the sea at 72°."""
    return float(np.interp(abs(lat), (0, 25, 45, 60, 72), (4900, 5300, 2900, 1300, 0)))


def _plain(canvas: Canvas, climate: Climate, rng: np.random.Generator) -> Canvas:
    """The open land in front: its grain grows towards the viewer; dry land is rippled, cold land patched with snow."""
    depth = np.clip((_Y - HORIZON - 4) / (SIZE - HORIZON - 4), 0, 1)
    grain = _noise(rng, (5, 16)) * 10 + _noise(rng, (24, 30)) * 12 * depth
    ripple = np.sin((_Y**1.25) * 0.55 + 3 * _noise(rng, (3, 4)) + _X * 0.04) * 7 * (1 - climate.wetness) ** 2
    colour = np.array(climate.soil, dtype=np.float64) * (1.12 - 0.25 * depth)[..., None] + (grain + ripple)[..., None]
    if climate.snow:
        patches = np.clip((_noise(rng, (6, 14)) + 2.2 * climate.snow - 0.9) * 3, 0, 1)
        colour = _mix(colour, np.array([238.0, 242.0, 248.0]), patches[..., None])
    return _mix(canvas, colour, np.clip(_Y - HORIZON - 4, 0, 1)[..., None])


def _greenness(fact: Fact) -> float:
    """1 where plants thrive, falling to 0 towards the snow line."""
    return float(np.clip(1.3 - fact.height_m / (0.85 * snow_line(fact.lat) + 1), 0, 1))


# -- sea -------------------------------------------------------------------------------------------


def _shore_row(fact: Fact) -> float:
    """Row where the land ends and the sea begins: nearer seas fill more of the picture."""
    rows = 34 * math.exp(-fact.coast_km / _COAST_KM)
    return SIZE - rows if rows > 2 else SIZE


def _sea(canvas: Canvas, fact: Fact, shore: float, rng: np.random.Generator) -> Canvas:
    """The sea in the foreground of coastal places: turquoise where it is warm, grey where it is cold."""
    if shore >= SIZE:
        return canvas
    edge = shore + 2.5 * _profile(rng, (3, 7))[None] + 0.06 * (_X - SIZE / 2)
    into = _Y - edge
    warm = fact.climate.warmth
    water = _mix(np.array([66.0, 92.0, 112.0]), np.array([22.0, 148.0, 168.0]), warm)
    waves = np.sin(into * 1.3 + 2 * _noise(rng, (8, 10)))
    colour = water + (waves * 9)[..., None] - np.clip(into, 0, 30)[..., None] * np.array([0.8, 1.0, 0.4])
    beach = _mix(np.array([150.0, 146.0, 140.0]), np.array([236.0, 218.0, 172.0]), warm)
    canvas = _mix(canvas, beach, np.clip(1 - np.abs(into + 1.5) / 2.5, 0, 1)[..., None])
    foam = np.clip(1 - np.abs(into - 1.0), 0, 1)
    colour = _mix(colour, np.array([244.0, 248.0, 250.0]), foam[..., None])
    return _mix(canvas, colour, np.clip(into, 0, 1)[..., None])


# -- noise -----------------------------------------------------------------------------------------


def _noise(rng: np.random.Generator, grid: tuple[int, int]) -> NDArray[np.float64]:
    """Smooth noise ``[SIZE, SIZE]`` in [-1, 1] through random values on a grid of (columns, rows)."""
    columns, rows = grid
    values = rng.uniform(-1, 1, (rows + 1, columns + 1))
    return np.asarray(_weights(rows) @ values @ _weights(columns).T)


def _profile(rng: np.random.Generator, octaves: tuple[int, ...]) -> NDArray[np.float64]:
    """Fractal line ``[SIZE]``: noise at growing frequencies (knots per picture) and falling heights."""
    line = np.zeros(SIZE)
    for level, knots in enumerate(octaves):
        line += _weights(knots) @ rng.uniform(-1, 1, knots + 1) / 1.8**level
    return line


@cache
def _weights(knots: int) -> NDArray[np.float64]:
    """Matrix ``[SIZE, knots + 1]`` of smooth-step interpolation from evenly spaced knots to pixels."""
    at = np.linspace(0, knots, SIZE, endpoint=False)
    left = at.astype(np.int64)
    t = at - left
    t = t * t * (3 - 2 * t)
    matrix = np.zeros((SIZE, knots + 1))
    matrix[np.arange(SIZE), left], matrix[np.arange(SIZE), left + 1] = 1 - t, t
    return matrix


def _mix(a: Canvas, b: Canvas, share: NDArray[np.float64] | float) -> Canvas:
    """``a`` with a ``share`` (0 to 1) of ``b`` laid over it."""
    return np.asarray(a + (b - a) * share)

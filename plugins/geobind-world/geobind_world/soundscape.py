"""Short soundscapes: what a place may sound like, synthesised from its climate, relief and distance to the sea.

Every layer carries a fact by its level *and* by its pitch or rate, so that a tower can hear it whatever the
loudness: wind (altitude, ruggedness), surf (sea), rain (wetness), insects (warmth, latitude), frogs (warm and
wet), birds (trees), hiss of sand or snow (dryness, cold).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from geobind_world.facts import Fact

RATE = 16_000
"""Samples per second."""
SECONDS = 2.0

Sound = NDArray[np.float64]

_N = round(RATE * SECONDS)
_T = np.arange(_N) / RATE
_FREQUENCY = np.fft.rfftfreq(_N, 1 / RATE)
_SURF_KM = 120.0
"""Distance over which surf fades to 1/e."""
_INAUDIBLE = 1e-3
"""60 dB below full scale: a layer that is not worth its Fourier transform."""


def synthesise(fact: Fact, rng: np.random.Generator) -> NDArray[np.float32]:
    """The sound of one place: ``[32000]`` float32 in [-1, 1], two seconds at 16 kHz.

    Args:
        fact: What is true of it.
        rng: Decides the noise, and when drops and calls fall.
    """
    sound = _wind(fact, rng) + _surf(fact, rng) + _rain(fact, rng) + _hiss(fact, rng)
    sound += _insects(fact, rng) + _frogs(fact, rng) + _birds(fact, rng)
    return np.tanh(sound).astype(np.float32)


def _wind(fact: Fact, rng: np.random.Generator) -> Sound:
    """Louder with altitude; it howls higher and gustier in rugged land."""
    height = min(fact.height_m / 4000, 1.2)
    rough = min(fact.ruggedness_m / 500, 1.5)
    howl = 160 * 2 ** (2.2 * math.sqrt(height)) * (1 + 0.3 * rough)
    gusts = 1 + (0.2 + 0.5 * min(rough, 1)) * np.sin(2 * np.pi * (0.6 + rough) * _T + rng.uniform(0, 2 * np.pi))
    return (0.04 + 0.22 * height + 0.08 * rough) * gusts * _band(rng, howl, 0.35)


def _surf(fact: Fact, rng: np.random.Generator) -> Sound:
    """Slow waves of broad noise, fading with the distance to the sea."""
    level = 0.35 * math.exp(-fact.coast_km / _SURF_KM)
    if level < _INAUDIBLE:
        return np.zeros(_N)
    swell = (0.5 + 0.5 * np.sin(2 * np.pi * 0.75 * _T + rng.uniform(0, 2 * np.pi))) ** 2
    return level * swell * _band(rng, 900, 1.1)


def _rain(fact: Fact, rng: np.random.Generator) -> Sound:
    """Drops: more of them the wetter the climate."""
    drops = np.zeros(_N)
    count = rng.poisson(600 * fact.climate.wetness**2)
    drops[rng.integers(0, _N, count)] = rng.normal(0, 1, count)
    splash = np.exp(-((np.log(np.maximum(_FREQUENCY, 1) / 2600) / 0.5) ** 2))
    return 1.2 * np.fft.irfft(np.fft.rfft(drops) * splash, _N)


def _hiss(fact: Fact, rng: np.random.Generator) -> Sound:
    """A thin hiss over bare land: of sand where it is hot, higher and icier where it is cold."""
    level = 0.16 * (1 - fact.climate.cover) * max(1 - 1.6 * fact.climate.wetness, 0.25 * (1 - fact.climate.warmth))
    if level < _INAUDIBLE:
        return np.zeros(_N)
    return level * _band(rng, 6500 - 3500 * fact.climate.warmth, 0.12)


def _insects(fact: Fact, rng: np.random.Generator) -> Sound:
    """A chorus as loud as the climate is warm; its pitch falls and its pulse slows towards the poles."""
    level = 0.22 * fact.climate.warmth**3 * (0.3 + 0.7 * fact.climate.cover)
    if level < _INAUDIBLE:
        return np.zeros(_N)
    pulse = 8 + 34 * fact.climate.warmth
    beat = np.clip(np.sin(2 * np.pi * pulse * _T + rng.uniform(0, 2 * np.pi)), 0, 1)
    return level * beat * _band(rng, 6200 - 50 * abs(fact.lat), 0.03)


def _frogs(fact: Fact, rng: np.random.Generator) -> Sound:
    """Croaks where it is warm and wet."""
    calls = rng.poisson(7 * (fact.climate.warmth * fact.climate.wetness) ** 2)
    starts = rng.uniform(0, SECONDS - 0.2, calls).tolist()
    return _calls([(start, 0.18, 520.0, 640.0, 45.0, 0.22) for start in starts])


def _birds(fact: Fact, rng: np.random.Generator) -> Sound:
    """Songs as many as there are trees; rising in warm climates, falling in cold ones."""
    starts = rng.uniform(0, SECONDS - 0.15, rng.poisson(6 * fact.climate.cover)).tolist()
    bend = 900 * (fact.climate.warmth - 0.5)
    pitch = 2600 + 900 * (1 - fact.climate.wetness)
    return _calls([(start, 0.12, pitch - bend, pitch + bend, 0.0, 0.2) for start in starts])


def _calls(calls: list[tuple[float, float, float, float, float, float]]) -> Sound:
    """Tones (start s, length s, first Hz, last Hz, tremolo Hz, level) with soft ends."""
    sound = np.zeros(_N)
    for start, length, first, last, tremolo, level in calls:
        t = np.arange(round(length * RATE)) / RATE
        phase = 2 * np.pi * (first * t + (last - first) * t**2 / (2 * length))
        envelope = np.sin(np.pi * t / length) ** 2 * np.cos(np.pi * tremolo * t) ** 2
        at = round(start * RATE)
        sound[at : at + len(t)] += level * envelope * np.sin(phase)
    return sound


def _band(rng: np.random.Generator, centre_hz: float, width: float) -> Sound:
    """Noise of unit power whose spectrum is a Gaussian of log-frequency, ``width`` in e-folds."""
    shape = np.exp(-0.5 * (np.log(np.maximum(_FREQUENCY, 1.0) / centre_hz) / width) ** 2)
    noise = np.zeros(len(_FREQUENCY), dtype=np.complex128)
    heard = np.flatnonzero(shape > 1e-3)
    noise[heard] = (rng.normal(size=len(heard)) + 1j * rng.normal(size=len(heard))) * shape[heard]
    # Parseval, for a one-sided spectrum of mean power 2 shape² per bin
    return np.asarray(np.fft.irfft(noise, _N) * _N / (2 * np.sqrt((shape[heard] ** 2).sum())))

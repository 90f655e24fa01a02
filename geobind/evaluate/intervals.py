"""95 % intervals of figures over queries, by resampling places: queries of one place are not independent.

Shapes: Q queries, C places, R resamples, M figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from geobind.evaluate.scores import is_median

RESAMPLES = 1000
LEVEL = 0.95
ENDS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
"""The quantiles that an interval lies between."""
SEED = 0
BLOCK = 100
"""Resamples that are held as floats at a time."""

METHOD = f"{100 * LEVEL:.0f} % percentile bootstrap over places, {RESAMPLES:,} resamples, seed {SEED}"
"""For people."""

Interval = tuple[float, float]


@lru_cache(maxsize=8)
def resampled(places: int, seed: int = SEED, resamples: int = RESAMPLES) -> NDArray[np.uint8]:
    """How often each place is drawn in each resample: ``[R, C]``; equal for all figures over equally many places."""
    rng = np.random.default_rng([seed, places])
    counts = np.empty((resamples, places), dtype=np.uint8)
    for row in counts:
        # No place is drawn 256 times: 1e-500 for even the smallest number of places that has room for it.
        row[:] = np.minimum(np.bincount(rng.integers(places, size=places), minlength=places), 255)
    return counts


def intervals(values: Mapping[str, NDArray[np.float64]], place: NDArray[np.str_]) -> dict[str, Interval]:
    """The interval of every figure, by its name.

    The mean's is the percentile interval of the bootstrap (Efron 1979) over places. The median's is Woodruff's (1952):
    the quantiles of the values at one half, less and plus what the share of values at or below the median may err.

    Args:
        values: Name → ``[Q]`` values of the queries, as :func:`~geobind.evaluate.scores.per_query` gives them; NaN is
            left out. A figure without any finite value has no interval.
        place: ``[Q]`` the place each query belongs to.
    """
    _, of_place = np.unique(place, return_inverse=True)
    names = [name for name, column in values.items() if np.isfinite(column).any()]
    columns = [_as_mean(values[name], median=is_median(name)) for name in names]
    low, high = _bounds(columns, of_place)
    found = {}
    for name, column, a, b in zip(names, columns, low.tolist(), high.tolist(), strict=True):
        if is_median(name):
            finite = values[name][np.isfinite(values[name])]
            share = float(np.nanmean(column))
            at = np.clip([0.5 - (b - share), 0.5 + (share - a)], 0, 1)
            a, b = np.quantile(finite, at).tolist()
        found[name] = (a, b)
    return found


def _as_mean(values: NDArray[np.float64], *, median: bool) -> NDArray[np.float64]:
    """Values whose mean is resampled: the values, or for a median whether each is at or below it."""
    if not median:
        return values
    return np.where(np.isfinite(values), values <= np.nanmedian(values), np.nan)


def _bounds(columns: list[NDArray[np.float64]], of_place: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    """Lower and upper end ``[M]`` of the means' intervals."""
    places = int(of_place.max()) + 1
    known = np.stack([np.isfinite(column) for column in columns], axis=1)
    filled = np.where(known, np.stack(columns, axis=1), 0.0)
    # What a place adds to the sum and to the number of values: resampling places is then a product of matrices.
    sums, numbers = (np.zeros((places, len(columns)), dtype=np.float32) for _ in range(2))
    np.add.at(sums, of_place, filled)
    np.add.at(numbers, of_place, known)
    counts = resampled(places)
    means = np.empty((len(counts), len(columns)))
    for start in range(0, len(counts), BLOCK):
        block = counts[start : start + BLOCK].astype(np.float32)
        number = block @ numbers
        means[start : start + BLOCK] = np.where(number > 0, (block @ sums) / np.maximum(number, 1), np.nan)
    low, high = np.nanquantile(means, ENDS, axis=0)
    return low, high

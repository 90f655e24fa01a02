"""95 % intervals of a difference between two evaluations.

Shapes: Q queries, C places, R resamples, M figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geobind.evaluate.findings import Measure
from geobind.evaluate.intervals import BLOCK, ENDS, Interval, resampled
from geobind.evaluate.report.queries import Queries
from geobind.evaluate.scores import is_median


def same_queries(a: Queries, b: Queries) -> bool:
    """Whether two evaluations asked the same queries; their order may differ."""
    return a.split_hash == b.split_hash and np.array_equal(np.sort(a.place), np.sort(b.place))


def paired(a: Queries, b: Queries, names: Sequence[str]) -> dict[str, Interval]:
    """The interval of ``b − a`` for each figure: a percentile bootstrap that draws the same places for both.

    Queries of one place are drawn together, so the order of the queries need not agree, only their places. Figures
    whose values are known for other queries in ``a`` than in ``b`` are left out.

    Args:
        a: Queries of the baseline.
        b: The same queries (:func:`same_queries`) of the other evaluation.
        names: Figures that both hold.
    """
    places, of_a = np.unique(a.place, return_inverse=True)
    of_b = np.searchsorted(places, b.place)
    counts = resampled(len(places))
    found: dict[str, Interval] = {}
    for name in names:
        x, y = a.values[name], b.values[name]
        known = [np.bincount(of[np.isfinite(v)], minlength=len(places)) for of, v in ((of_a, x), (of_b, y))]
        if not known[0].any() or (known[0] != known[1]).any():
            continue
        if is_median(name):
            differences = _medians(y, of_b, counts) - _medians(x, of_a, counts)
        else:
            differences = _means(_sums(y, of_b, len(places)) - _sums(x, of_a, len(places)), known[0], counts)
        low, high = np.nanquantile(differences, ENDS).tolist()
        found[name] = (low, high)
    return found


def independent(a: Measure, b: Measure) -> Interval | None:
    """The interval of ``b − a`` from those of both, as if they were independent; None where one has none.

    Each end errs by the root of the sum of squares of how far the two may err towards it (Newcombe 1998, method 10;
    Zou and Donner 2008); with symmetric intervals this is the difference of two independent normals.
    """
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return None
    difference = b.value - a.value
    return (
        difference - math.hypot(b.value - b.low, a.high - a.value),
        difference + math.hypot(b.high - b.value, a.value - a.low),
    )


def _sums(values: NDArray[np.float64], of_place: NDArray[np.int64], places: int) -> NDArray[np.float64]:
    """Sum of each place's values, without those that are NaN: ``[C]``."""
    sums = np.zeros(places)
    np.add.at(sums, of_place, np.nan_to_num(values))
    return sums


def _means(sums: NDArray[np.float64], known: NDArray[np.int64], counts: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean in each resample, from each place's sum ``[C]`` and number of values ``[C]``: ``[R]``."""
    means = np.empty(len(counts))
    for start in range(0, len(counts), BLOCK):
        drawn = counts[start : start + BLOCK].astype(np.float64)
        number = drawn @ known
        means[start : start + BLOCK] = np.where(number > 0, (drawn @ sums) / np.maximum(number, 1), np.nan)
    return means


def _medians(
    values: NDArray[np.float64], of_place: NDArray[np.int64], counts: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Median in each resample, of the values ``[Q]`` that are not NaN: ``[R]``."""
    order = np.argsort(values, kind="stable")[: np.isfinite(values).sum()]
    ascending, places = values[order], of_place[order]
    medians = np.empty(len(counts))
    for start in range(0, len(counts), BLOCK):
        drawn = np.cumsum(counts[start : start + BLOCK, places], axis=1, dtype=np.int64)
        twice, total = 2 * drawn, drawn[:, -1:]
        # With an even number of values the median is the mean of the two in the middle.
        lower = np.argmax(twice >= total, axis=1)
        upper = np.argmax(twice > total, axis=1)
        middle = (ascending[lower] + ascending[upper]) / 2
        medians[start : start + BLOCK] = np.where(total[:, 0] > 0, middle, np.nan)
    return medians

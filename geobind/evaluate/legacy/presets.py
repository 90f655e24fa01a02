"""What each preset counts, and under which label the published code prints it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from geobind.evaluate.legacy.similarity import Floats, Values, among_first, cosines, distances, nearest_km, ranks


class Figure(NamedTuple):
    """One number that the published code prints."""

    printed: str
    """The direction that it is printed under."""
    true: str
    """The direction that it measures."""
    metric: str
    test: str
    """How it is counted."""
    value: float
    chance: float | None
    unit: str = ""


def _recall(found: Values, printed: str, true: str, k: float, name: str) -> Figure:
    # Of the ranks 1 to N, those below k.
    chance = min(math.ceil(k) - 1, len(found)) / len(found)
    return Figure(printed, true, name, f"rank < {k:g}", float(np.mean(found < k)), chance)


def _median(found: Values, printed: str, true: str) -> Figure:
    return Figure(printed, true, "median rank", "median", float(np.median(found)), (len(found) + 1) / 2)


def _sat2cap(a: Floats, b: Floats, names: tuple[str, str], lat_lon: Values | None) -> list[Figure]:
    figures = []
    for queries, gallery, printed, other in _directions(a, b, names):
        for k in (5, 10):
            hits = np.concatenate(list(among_first(cosines(queries, gallery), k)))
            test = f"among the first {k}, similarity not 0"
            figures.append(Figure(printed, printed, f"R@{k}", test, float(hits.mean()), min(k / len(hits), 1)))
        figures.append(_median(ranks(cosines(gallery, queries)), printed, other))
    return figures


def _geoclap(a: Floats, b: Floats, names: tuple[str, str], lat_lon: Values | None) -> list[Figure]:
    figures = []
    for queries, gallery, printed, other in _directions(a, b, names):
        # The matrix has the queries as rows, and is ranked down its columns: the queries for each gallery item.
        found = ranks(cosines(gallery, queries))
        figures += [_recall(found, printed, other, 100, "R@100"), _median(found, printed, other)]
    return figures


def _psm(a: Floats, b: Floats, names: tuple[str, str], lat_lon: Values | None) -> list[Figure]:
    figures = []
    for queries, gallery, label, _ in _directions(a, b, names):
        found = ranks(cosines(queries, gallery))
        figures += [_recall(found, label, label, 10 / 100 * len(found), "R@10%"), _median(found, label, label)]
    return figures


def _soundingearth(a: Floats, b: Floats, names: tuple[str, str], lat_lon: Values | None) -> list[Figure]:
    # Columns are the items of a: the mean of each over all of b, in a pass of its own. Down a column all are divided
    # by the same number, which changes no rank; along a row it does.
    mean = -np.concatenate([similarity.mean(axis=1) for _, similarity in distances(a, b)])
    mean[mean == 0] = 1
    scales: tuple[Values | float, ...] = (1.0, mean)
    figures = []
    for scale, (queries, gallery, label, _) in zip(scales, _directions(a, b, names), strict=True):
        found = ranks(distances(queries, gallery, scale))
        figures += [_recall(found, label, label, k, f"R@{k}") for k in (100, 500, 1000)]
        figures.append(_median(found, label, label))
        if lat_lon is not None:
            for k, km in nearest_km(distances(queries, gallery, scale), lat_lon, (10, 100, 1000)).items():
                test = f"mean of the smallest distance among the first {k}"
                figures.append(Figure(label, label, f"D@{k}", test, float(km.mean()), None, " km"))
    return figures


def _directions(a: Floats, b: Floats, names: tuple[str, str]) -> tuple[tuple[Floats, Floats, str, str], ...]:
    """Queries and gallery with their label and the label of the other direction, for both."""
    there, back = " → ".join(names), " → ".join(names[::-1])
    return (a, b, there, back), (b, a, back, there)


@dataclass(frozen=True, slots=True)
class Preset:
    """One convention."""

    describes: str
    """What it does, in a line."""
    source: str
    """Repository, file and commit."""
    count: Callable[[Floats, Floats, tuple[str, str], Values | None], list[Figure]]
    """All that it prints, from both sides ``[N, D]``, their names, and perhaps where each pair is."""


PRESETS = {
    "sat2cap": Preset(
        "R@5 and R@10 by the first k of a row, a similarity of exactly 0 being a miss; the median rank is read from"
        " the other axis and so belongs to the other direction",
        "mvrl/Sat2Cap, sat2cap/evaluations/metrics.py, baf751f",
        _sat2cap,
    ),
    "geoclap": Preset(
        "R@100 as rank < 100 and the median rank, both read from columns: the two directions carry each other's label",
        "mvrl/geoclap, geoclap/metrics.py, c770b26",
        _geoclap,
    ),
    "psm": Preset(
        "R@10 % as rank < N/10, which is not rounded, and the median rank; directions are right",
        "mvrl/PSM, geoclap/metrics.py and evaluate.py, b943158",
        _psm,
    ),
    "soundingearth": Preset(
        "L2 distances divided by the mean distance of their column, that is of each item of the first modality (the"
        " image there) to all of the second; R@100, R@500 and R@1000 as rank < k, the median rank, and the mean of the"
        " smallest distance in km among the first 10, 100 and 1000; directions are right",
        "khdlr/SoundingEarth, lib/evaluation.py, 5acdef0",
        _soundingearth,
    ),
}
"""The conventions by name."""

"""From class maps to figures: intersection over union, pixel accuracy, what chance would give, and intervals.

Shapes: N scenes, P places, C classes, R resamples, H × W pixels of a map.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geobind.errors import DataError
from geobind.evaluate.intervals import ENDS, Interval, resampled
from geobind.evaluate.segment.masks import IGNORED, Mask

METRICS = ("mIoU", "pixel accuracy")
BLOCK = 100
"""Resamples that are held as floats at a time."""


@dataclass(frozen=True, eq=False)
class Segmented:
    """What the pixels of known classes were taken for."""

    confusion: NDArray[np.int64] = field(repr=False)
    """``[C, C]`` pixels by true class (rows) and the class they were taken for, over all scenes."""
    places: NDArray[np.str_] = field(repr=False)
    """``[P]`` sorted."""
    by_place: NDArray[np.int64] = field(repr=False)
    """``[P, 3, C]`` pixels of each class that were right, that are truly of it, and that were taken for it."""

    @property
    def pixels(self) -> NDArray[np.int64]:
        """``[C]`` pixels of each class."""
        pixels: NDArray[np.int64] = self.confusion.sum(axis=1)
        return pixels

    @property
    def iou(self) -> NDArray[np.float64]:
        """``[C]`` intersection over union; NaN for a class that no pixel is of."""
        iou: NDArray[np.float64] = _iou(self.by_place.sum(axis=0)[None])[0]
        return iou

    def figures(self) -> dict[str, float]:
        """``mIoU`` over the classes that occur, from the sums over all pixels, and ``pixel accuracy``."""
        return {name: float(values[0]) for name, values in _figures(self.by_place.sum(axis=0)[None]).items()}

    @cached_property
    def resamples(self) -> dict[str, NDArray[np.float64]]:
        """Every figure ``[R]`` over places drawn with replacement, the same draws for any maps of as many places."""
        sums = self.by_place.reshape(len(self.places), -1).astype(np.float64)
        counts = resampled(len(self.places))
        drawn = [counts[start : start + BLOCK] @ sums for start in range(0, len(counts), BLOCK)]
        return _figures(np.concatenate(drawn).reshape(len(counts), 3, -1))

    def intervals(self) -> dict[str, Interval]:
        """95 % percentile intervals of the figures (Efron 1979), by resampling places."""
        return {name: _ends(values) for name, values in self.resamples.items()}

    def above(self, other: Segmented) -> Interval:
        """The 95 % interval of this mIoU less another's over the same places, by resampling both in pairs."""
        return _ends(self.resamples["mIoU"] - other.resamples["mIoU"])

    def renamed(self) -> dict[str, float]:
        """The figures to be expected of the same maps if their classes were given names at random.

        Every class then is as likely to carry any name, and the expectation of a mean is the mean of expectations: the
        IoU of each true class with each class of the maps is averaged.
        """
        truth, taken = self.confusion.sum(axis=1, keepdims=True), self.confusion.sum(axis=0, keepdims=True)
        union = truth + taken - self.confusion
        each = np.divide(self.confusion, union, where=union > 0, out=np.zeros(self.confusion.shape))
        return {"mIoU": float(each[self.pixels > 0].mean()), "pixel accuracy": 1 / len(self.confusion)}


def tally(pairs: Iterable[tuple[Mask, Mask]], place: NDArray[np.str_], classes: int) -> Segmented:
    """Count what pixels were taken for; ignored pixels are left out, and so are places that have no others.

    Args:
        pairs: N times the true map ``[H, W]`` and the one it was taken for, of the same shape.
        place: ``[N]`` the place of each.
        classes: C.

    Raises:
        DataError: No pixel has a class.
    """
    names, of_place = np.unique(place, return_inverse=True)
    confusion = np.zeros((classes, classes), dtype=np.int64)
    by_place = np.zeros((len(names), 3, classes), dtype=np.int64)
    for (truth, taken), at in zip(pairs, of_place.tolist(), strict=True):
        known = truth != IGNORED
        cells = np.bincount(truth[known].astype(np.int64) * classes + taken[known], minlength=classes * classes)
        own = cells.reshape(classes, classes)
        confusion += own
        by_place[at] += np.stack([own.diagonal(), own.sum(axis=1), own.sum(axis=0)])
    counted = by_place[:, 1].any(axis=1)
    if not counted.any():
        raise DataError("no pixel of the tested maps has a class", fix="Look at `legend:` and `ignore:`.")
    return Segmented(confusion, names[counted], by_place[counted])


def majority(masks: Sequence[Mask], classes: int) -> int:
    """The class of most pixels."""
    counts = sum(np.bincount(mask[mask != IGNORED], minlength=classes) for mask in masks)
    return int(np.argmax(counts))


def _iou(sums: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
    """``[R, C]`` of sums ``[R, 3, C]``; NaN for a class that no pixel is of."""
    right, truth, taken = sums[:, 0], sums[:, 1], sums[:, 2]
    union = np.where(truth > 0, truth + taken - right, np.nan)
    return np.asarray(right / union)


def _figures(sums: NDArray[np.float64] | NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Each figure ``[R]`` of sums ``[R, 3, C]``."""
    total = sums[:, 1].sum(axis=1)
    return {
        "mIoU": np.nanmean(_iou(sums), axis=1),
        "pixel accuracy": sums[:, 0].sum(axis=1) / np.where(total > 0, total, np.nan),
    }


def _ends(values: NDArray[np.float64]) -> Interval:
    low, high = np.nanquantile(values, ENDS).tolist()
    return low, high

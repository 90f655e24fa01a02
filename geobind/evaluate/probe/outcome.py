"""Figures of predictions with their intervals.

Shapes: N items, P places, C classes, R resamples, S sums that the figures are made of.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geobind.evaluate.intervals import ENDS, Interval, resampled
from geobind.evaluate.probe.targets import Kind
from geobind.evaluate.probe.task import Part

BLOCK = 100
"""Resamples that are held as floats at a time."""
SMALLER_IS_BETTER = ("RMSE", "MAE")


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What test items were taken for."""

    kind: Kind
    test: Part
    predicted: NDArray[Any] = field(repr=False)
    """``[N]`` of the type of the targets."""

    def figures(self) -> dict[str, float]:
        """``accuracy`` and ``mean per-class recall``, or ``R²``, ``RMSE`` and ``MAE``.

        Recall is averaged over the classes that the test items have (balanced accuracy). R² is one less the ratio of
        the squared errors to those of the test items' own mean.
        """
        return {name: float(values[0]) for name, values in self._figures(self._sums().sum(axis=0)[None]).items()}

    def resamples(self) -> dict[str, NDArray[np.float64]]:
        """Every figure ``[R]`` over places drawn with replacement (Efron 1979), the same draws for every outcome."""
        _, of_place = np.unique(self.test.place, return_inverse=True)
        sums = self._sums()
        by_place = np.zeros((int(of_place.max()) + 1, sums.shape[1]))
        np.add.at(by_place, of_place, sums)
        counts = resampled(len(by_place))
        drawn = [counts[start : start + BLOCK] @ by_place for start in range(0, len(counts), BLOCK)]
        return self._figures(np.concatenate(drawn))

    def _sums(self) -> NDArray[np.float64]:
        """``[N, S]`` what each item adds: right and present by class, or 1, y, y², squared and absolute error."""
        truth = self.test.y
        if self.kind == "classification":
            classes, label = np.unique(truth, return_inverse=True)
            present = np.eye(len(classes))[label]
            return np.concatenate([present * (self.predicted == truth)[:, None], present], axis=1)
        error = self.predicted - truth
        centred = truth - truth.mean()
        return np.stack([np.ones(len(truth)), centred, centred**2, error**2, np.abs(error)], axis=1)

    def _figures(self, sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Each figure ``[R]`` of sums ``[R, S]``."""
        if self.kind == "classification":
            right, present = np.split(sums, 2, axis=1)
            recall = right / np.where(present > 0, present, np.nan)
            return {
                "accuracy": right.sum(axis=1) / present.sum(axis=1),
                "mean per-class recall": np.nanmean(recall, axis=1),
            }
        n, y, y2, squared, absolute = sums.T
        spread = y2 - y**2 / n
        return {
            "R²": 1 - squared / np.where(spread > 0, spread, np.nan),
            "RMSE": np.sqrt(squared / n),
            "MAE": absolute / n,
        }


def intervals(*outcomes: Outcome) -> dict[str, Interval]:
    """The 95 % percentile interval of every figure, averaged over outcomes on the same test items."""
    drawn = [outcome.resamples() for outcome in outcomes]
    found = {}
    for name in drawn[0]:
        low, high = np.nanquantile(np.mean([values[name] for values in drawn], axis=0), ENDS).tolist()
        found[name] = (low, high)
    return found


def baseline(kind: Kind, train: Part, test: Part) -> Outcome:
    """The answer that looks at no embedding: the most frequent class of train, or its mean."""
    if kind == "regression":
        return Outcome(kind, test, np.full(len(test), train.y.mean()))
    names, counts = np.unique(train.y, return_counts=True)
    return Outcome(kind, test, np.full(len(test), names[counts.argmax()]))


def right_by_class(outcome: Outcome) -> dict[str, tuple[int, int]]:
    """Class → test items that were right, and all of them."""
    truth, right = outcome.test.y, outcome.predicted == outcome.test.y
    return {str(name): (int(right[truth == name].sum()), int((truth == name).sum())) for name in np.unique(truth)}

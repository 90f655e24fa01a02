"""From similarities to figures: which class each item is taken for, and how sure the shares of right answers are.

Shapes: N items, C classes, D dimensions, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import multiclass_confusion_matrix

from geobind.evaluate.findings import percent
from geobind.evaluate.intervals import ENDS, LEVEL, RESAMPLES, SEED, Interval

BLOCK = 8192
"""Items that are compared with all classes at a time."""
TOP = 5
"""The k of top-k beside top-1."""
TOP_FROM = TOP + 1
"""Classes from which on top-5 says anything."""

METHOD = f"{percent(LEVEL, 0)} percentile bootstrap over items, {RESAMPLES:,} resamples, seed {SEED}"
"""For people."""


@dataclass(frozen=True, slots=True, eq=False)
class Classified:
    """What items of known classes were taken for."""

    confusion: NDArray[np.int64] = field(repr=False)
    """``[C, C]`` items by true class (rows) and the class they were taken for."""
    top5: NDArray[np.int64] = field(repr=False)
    """``[C]`` items by true class that was among the first five."""

    @property
    def n(self) -> int:
        """N."""
        return int(self.confusion.sum())

    @property
    def counts(self) -> NDArray[np.int64]:
        """``[C]`` items of each class."""
        counts: NDArray[np.int64] = self.confusion.sum(axis=1)
        return counts

    @property
    def recalls(self) -> NDArray[np.float64]:
        """``[C]`` share of each class that was taken for it; NaN for a class without items."""
        with np.errstate(invalid="ignore"):
            return np.diagonal(self.confusion) / self.counts

    def figures(self) -> dict[str, float]:
        """``top-1``, ``top-5`` (from six classes on) and ``mean per-class recall`` over the classes with items."""
        hits = np.stack([np.diagonal(self.confusion), self.top5, self.counts], axis=-1)[None]
        return {name: float(value[0]) for name, value in _figures(hits).items()}

    def intervals(self) -> dict[str, Interval]:
        """95 % percentile intervals of the figures (Efron 1979), by resampling items.

        All that the figures know of an item is its class and whether it was right, among the first five, or neither.
        So a resample of items is one draw of a multinomial over these 3 C cells, and needs no N random numbers.
        """
        right = np.diagonal(self.confusion)
        cells = np.stack([right, self.top5 - right, self.counts - self.top5], axis=-1)
        drawn = np.random.default_rng(SEED).multinomial(self.n, cells.ravel() / self.n, size=RESAMPLES)
        hits = drawn.reshape(RESAMPLES, -1, 3).cumsum(axis=-1)
        return {name: tuple(np.quantile(values, ENDS).tolist()) for name, values in _figures(hits).items()}


def classify(vectors: NDArray[np.float32], classes: NDArray[np.float32], labels: NDArray[np.int64]) -> Classified:
    """Take each item for the class with the largest cosine.

    A tie counts against the space: an item is right only if no other class is as similar as its own.

    Args:
        vectors: ``[N, D]`` unit-norm embeddings of items.
        classes: ``[C, D]`` unit-norm embeddings of classes.
        labels: ``[N]`` the true class of each item.
    """
    size = len(classes)
    taken, rank = np.empty(len(vectors), dtype=np.int64), np.empty(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), BLOCK):
        block = slice(start, min(start + BLOCK, len(vectors)))
        similarity = vectors[block] @ classes.T
        own = labels[block, None]
        true = np.take_along_axis(similarity, own, axis=1)
        np.put_along_axis(similarity, own, -np.inf, axis=1)
        rank[block] = 1 + (similarity >= true).sum(axis=1)
        taken[block] = np.where(rank[block] == 1, labels[block], similarity.argmax(axis=1))
    confusion = multiclass_confusion_matrix(torch.from_numpy(taken), torch.from_numpy(labels), num_classes=size)
    return Classified(confusion.numpy(), np.bincount(labels[rank <= TOP], minlength=size))


def _figures(hits: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Each figure ``[R]`` of ``hits [R, C, 3]``: right items, items among the first five, all items."""
    right, top5, count = hits.sum(axis=1).T
    figures = {"top-1": right / count}
    if hits.shape[1] >= TOP_FROM:
        figures["top-5"] = top5 / count
    present = hits[..., 2] > 0
    recalls = hits[..., 0] / np.maximum(hits[..., 2], 1)
    figures["mean per-class recall"] = recalls.sum(axis=1) / present.sum(axis=1)
    return figures

"""The figures of ``--leakage``: one direction under one kind of split, over all seeds, and the ratio of two.

Shapes: Q queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geobind.evaluate.intervals import ENDS, SEED, Interval, intervals, resampled

if TYPE_CHECKING:
    from geobind.studies.leakage.study import Trial

MEDIAN = "median rank"
Ratio = tuple[float, float, float | None]
"""A value and its 95 % interval; None for an upper end that nothing bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """One direction under one kind of split, over all seeds."""

    by: str
    k: int
    rank: NDArray[np.float64]
    """``[Q]`` of all seeds."""
    gallery: NDArray[np.float64]
    """``[Q]`` size of the gallery that each was ranked in."""
    block: NDArray[np.str_]
    """``[Q]``"""
    by_seed: tuple[float, ...]
    """R@k of each seed."""
    chance_recall: float
    chance_median: float
    """As a share of the gallery."""

    @property
    def hits(self) -> NDArray[np.float64]:
        """``[Q]`` whether a query found its place among the first k."""
        return (self.rank <= self.k).astype(np.float64)

    @property
    def recall(self) -> float:
        """R@k over the queries of all seeds."""
        return float(self.hits.mean())

    @property
    def median(self) -> float:
        """Median over the queries of rank / gallery size."""
        return float(np.median(self.rank / self.gallery))

    def intervals(self) -> tuple[Interval, Interval]:
        """Of :attr:`recall` and of :attr:`median`; blocks are resampled, since neighbours are not independent."""
        name = f"R@{self.k}"
        found = intervals({name: self.hits, MEDIAN: self.rank / self.gallery}, self.block)
        return found[name], found[MEDIAN]


def direction(trials: Sequence[Trial], by: str, query: str, gallery: str) -> Direction:
    """One direction under the splits of one kind."""
    own = [trial for trial in trials if trial.by == by]
    pairs = [pair for trial in own if (pair := trial.result.get(query, gallery))]
    rankings = [trial.result.rankings[query, gallery] for trial in own]
    k = own[0].result.top
    return Direction(
        by=by,
        k=k,
        rank=np.concatenate([ranking.rank for ranking in rankings]),
        gallery=np.concatenate([np.full(len(ranking.rank), float(ranking.gallery)) for ranking in rankings]),
        block=np.concatenate([trial.blocks[query] for trial in own]),
        by_seed=tuple(pair.scores.recall[k] for pair in pairs),
        chance_recall=float(np.mean([pair.chance.recall[k] for pair in pairs])),
        chance_median=float(np.mean([pair.chance.median_rank / pair.protocol.gallery_size for pair in pairs])),
    )


def ratio(random: Direction, spatial: Direction) -> Ratio | None:
    """R@k of the random split as a multiple of that of the spatial one, with its 95 % interval.

    None where the spatial split finds nothing. The interval has no upper end where too many resamples find nothing.
    """
    if not spatial.recall:
        return None
    above, below = (_resampled_mean(one, seed) for seed, one in enumerate((random, spatial), start=SEED))
    ratios = np.divide(above, below, out=np.full(len(above), np.inf), where=below > 0)
    low, high = np.quantile(ratios, ENDS, method="nearest").tolist()
    return random.recall / spatial.recall, low, high if np.isfinite(high) else None


def _resampled_mean(one: Direction, seed: int) -> NDArray[np.float64]:
    """R@k in each resample of the blocks; the two splits are resampled apart from each other."""
    _, block = np.unique(one.block, return_inverse=True)
    counts = resampled(int(block.max()) + 1, seed).astype(np.float64)
    return np.asarray(counts @ np.bincount(block, one.hits) / (counts @ np.bincount(block)))

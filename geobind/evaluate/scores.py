"""Recall@k, median and mean rank, mAP; and what each would be if the gallery were in random order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geobind.errors import GeobindError
from geobind.ranks import Ranking

KS = (1, 5, 10)
"""The k of R@k when nobody asks for others."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The figures of one direction, measured or by chance; shares lie in [0, 1]."""

    recall: dict[int, float]
    """k → R@k: share of queries whose best-ranked positive has rank k or better."""
    median_rank: float
    """Median over queries of the best positive's rank."""
    mean_rank: float
    """Mean over queries of the best positive's rank."""
    mean_average_precision: float
    """mAP: average precision over all positives of a query, averaged over queries."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form; the k of recall become strings there."""
        return {
            "recall": {str(k): share for k, share in self.recall.items()},
            "median_rank": self.median_rank,
            "mean_rank": self.mean_rank,
            "mean_average_precision": self.mean_average_precision,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Scores:
        """The inverse of :meth:`as_dict`."""
        return cls(**{**values, "recall": {int(k): share for k, share in values["recall"].items()}})


def check_ks(ks: Sequence[int]) -> tuple[int, ...]:
    """The k of R@k, ascending and each once.

    Raises:
        GeobindError: None, or one below 1.
    """
    if not ks or min(ks) < 1:
        raise GeobindError(f"R@k cannot be computed for k = {list(ks)}", fix="Give one or more k of at least 1.")
    return tuple(sorted(set(ks)))


def measured(ranking: Ranking, ks: Sequence[int] = KS) -> Scores:
    """Summarise one direction."""
    return Scores(
        recall={k: float(np.mean(ranking.rank <= k)) for k in check_ks(ks)},
        median_rank=float(np.median(ranking.rank)),
        mean_rank=float(np.mean(ranking.rank)),
        mean_average_precision=float(np.mean(ranking.average_precision)),
    )


def chance(positives: NDArray[np.int64], gallery: int, ks: Sequence[int] = KS) -> Scores:
    """Expected figures when each query's gallery is in random order.

    With P positives among N items: ``R@k = 1 − C(N−P, k) / C(N, k)`` (hypergeometric); mean rank of the best
    ``(N+1)/(P+1)``; ``E[AP] = (P−1)/(N−1)·(1 − H_N/N) + H_N/N`` with the harmonic number H_N (Bestgen 2015,
    "Exact expected average precision of the random baseline for system evaluation"). All are averaged over queries.
    The median rank is the smallest r that half of the queries are expected to reach.

    Args:
        positives: ``[Q]`` positives of each query, at least 1.
        gallery: Gallery size N.
        ks: The k of R@k.
    """
    p, count = np.unique(positives, return_counts=True)
    weight = count / count.sum()
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, gallery + 1)))])

    def reached(k: int) -> float:
        """Expected share of queries with a positive among the first k."""
        k = min(k, gallery)
        room = gallery - p - k
        miss = np.where(
            room >= 0,
            log_factorial[gallery - p] - log_factorial[room] - log_factorial[gallery] + log_factorial[gallery - k],
            -np.inf,
        )
        return float(-np.expm1(miss) @ weight)

    harmonic = float(np.sum(1 / np.arange(1, gallery + 1))) / gallery
    share = (p - 1) / max(gallery - 1, 1)
    return Scores(
        recall={k: reached(k) for k in check_ks(ks)},
        # The shares are sums of logarithms, right to about 1e-10: one half must count as reached.
        median_rank=1.0 + bisect_left(range(1, gallery), 0.5 - 1e-9, key=reached),
        mean_rank=float(((gallery + 1) / (p + 1)) @ weight),
        mean_average_precision=float((share * (1 - harmonic) + harmonic) @ weight),
    )

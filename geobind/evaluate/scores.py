"""Recall, ranks, precision, gain and distance; and what each would be if the gallery were in random order."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geobind.data.geo import great_circle_km
from geobind.errors import GeobindError
from geobind.ranks import Ranking

KS = (1, 5, 10)
"""The k of R@k when nobody asks for others."""
PERCENTS = (1.0, 10.0)
"""The p of R@p%."""
EASY = 0.25
"""Where chance alone reaches more than this R@k, it leaves too little room to tell spaces apart, and mAP leads."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The figures of one direction, measured or by chance; shares lie in [0, 1]."""

    recall: dict[int, float]
    """k → R@k: share of queries whose best-ranked positive has rank k or better."""
    recall_percent: dict[float, float]
    """p → R@p%: the same for the first p percent of the gallery, rounded up to whole items."""
    median_rank: float
    """Median over queries of the best positive's rank."""
    mean_rank: float
    """Mean over queries of the best positive's rank."""
    reciprocal_rank: float
    """MRR: mean over queries of 1 / rank of the best positive."""
    mean_average_precision: float
    """mAP: average precision over all positives of a query, averaged over queries."""
    precision: dict[int, float]
    """k → mAP@k: the same over the positives among the first k, divided by min(k, positives)."""
    ndcg: dict[int, float]
    """k → nDCG@k with binary relevance (Järvelin and Kekäläinen 2002)."""
    distance_km: dict[int, float]
    """k → D@k: median over queries of the smallest great-circle distance to one of the first k, km; empty where places
    are not known."""

    def named(self) -> dict[str, float]:
        """Every figure by its name in tables, such as ``R@10``, ``median rank``, ``mAP`` or ``nDCG@10``."""
        return {
            **{f"R@{k}": share for k, share in self.recall.items()},
            **{f"R@{p:g}%": share for p, share in self.recall_percent.items()},
            "median rank": self.median_rank,
            "mean rank": self.mean_rank,
            "MRR": self.reciprocal_rank,
            "mAP": self.mean_average_precision,
            **{f"mAP@{k}": share for k, share in self.precision.items()},
            **{f"nDCG@{k}": share for k, share in self.ndcg.items()},
            **{f"D@{k} km": km for k, km in self.distance_km.items()},
        }

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form; the k become strings there."""
        return {
            name: {f"{key:g}": number for key, number in value.items()} if isinstance(value, dict) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Scores:
        """The inverse of :meth:`as_dict`."""
        keys = {"recall": int, "recall_percent": float, "precision": int, "ndcg": int, "distance_km": int}
        read: dict[str, Any] = {
            name: {keys[name](key): number for key, number in value.items()} if name in keys else value
            for name, value in values.items()
        }
        return cls(**read)


def check_ks(ks: Sequence[int]) -> tuple[int, ...]:
    """The k of R@k, ascending and each once.

    Raises:
        GeobindError: None, or one below 1.
    """
    if not ks or min(ks) < 1:
        raise GeobindError(f"R@k cannot be computed for k = {list(ks)}", fix="Give one or more k of at least 1.")
    return tuple(sorted(set(ks)))


def per_query(ranking: Ranking, ks: Sequence[int] = KS) -> dict[str, NDArray[np.float64]]:
    """Every figure's values ``[Q]`` by query, under the names of :meth:`Scores.named`.

    A figure is the mean of its values, or their median where :func:`is_median` says so; NaN is left out of either.
    """
    rank, gallery = ranking.rank, ranking.gallery
    return {
        **{f"R@{k}": (rank <= k).astype(np.float64) for k in check_ks(ks)},
        **{f"R@{p:g}%": (rank <= first_percent(p, gallery)).astype(np.float64) for p in PERCENTS},
        "median rank": rank,
        "mean rank": rank,
        "MRR": 1 / rank,
        "mAP": ranking.average_precision,
        **{f"mAP@{k}": values for k, values in ranking.precision_at.items()},
        **{f"nDCG@{k}": values for k, values in ranking.ndcg_at.items()},
        **{f"D@{k} km": values for k, values in ranking.nearest_km.items()},
    }


def is_median(name: str) -> bool:
    """Whether a figure is the median of its queries' values."""
    return name == "median rank" or name.endswith(" km")


def higher_is_better(name: str) -> bool:
    """Whether more of a figure is better; not so for ranks and distances."""
    return not (name.endswith(" rank") or name.endswith(" km"))


def first_percent(p: float, gallery: int) -> int:
    """How many items the first ``p`` percent of a gallery are, rounded up."""
    return max(1, math.ceil(round(p / 100 * gallery, 9)))


def measured(ranking: Ranking, ks: Sequence[int] = KS) -> Scores:
    """Summarise one direction."""
    figures = {
        name: float(np.nanmedian(values) if is_median(name) else np.mean(values))
        for name, values in per_query(ranking, ks).items()
    }
    return Scores(
        recall={k: figures[f"R@{k}"] for k in check_ks(ks)},
        recall_percent={p: figures[f"R@{p:g}%"] for p in PERCENTS},
        median_rank=figures["median rank"],
        mean_rank=figures["mean rank"],
        reciprocal_rank=figures["MRR"],
        mean_average_precision=figures["mAP"],
        precision={k: figures[f"mAP@{k}"] for k in ranking.precision_at},
        ndcg={k: figures[f"nDCG@{k}"] for k in ranking.ndcg_at},
        distance_km={k: figures[f"D@{k} km"] for k in ranking.nearest_km},
    )


def chance(
    positives: NDArray[np.int64],
    gallery: int,
    ks: Sequence[int] = KS,
    distance_km: Mapping[int, float] | None = None,
) -> Scores:
    """Expected figures when each query's gallery is in random order.

    With P positives among N items: ``R@k = 1 − C(N−P, k) / C(N, k)`` (hypergeometric); mean rank of the best
    ``(N+1)/(P+1)``; ``E[AP] = (P−1)/(N−1)·(1 − H_N/N) + H_N/N`` with the harmonic number H_N (Bestgen 2015,
    "Exact expected average precision of the random baseline for system evaluation"); the others likewise, by the
    probability ``P/N`` that an item of given rank is a positive, and ``(P−1)/(N−1)`` that another one is, too. All are
    averaged over queries. The median rank is the smallest r that half of the queries are expected to reach.

    Args:
        positives: ``[Q]`` positives of each query, at least 1.
        gallery: Gallery size N.
        ks: The k of R@k, mAP@k and nDCG@k.
        distance_km: D@k by chance, from :func:`chance_distance`.
    """
    p, count = np.unique(positives, return_counts=True)
    weight = count / count.sum()
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, gallery + 1)))])

    def missed(k: int) -> NDArray[np.float64]:
        """Logarithm of the probability that none of P positives is among the first k."""
        room = gallery - p - k
        found = log_factorial[gallery - p] - log_factorial[room] - log_factorial[gallery] + log_factorial[gallery - k]
        return np.where(room >= 0, found, -np.inf)

    def reached(k: int) -> float:
        """Expected share of queries with a positive among the first k."""
        return float(-np.expm1(missed(min(k, gallery))) @ weight)

    rank = np.arange(1, gallery + 1)
    # E[1/r] = Σ_r P(best rank > r − 1) · (1/r − 1/(r+1)) + …, summed by parts: one tail probability per rank.
    tail = np.zeros(gallery)
    for positive, share in zip(p.tolist(), weight.tolist(), strict=True):
        room = gallery - positive - (rank - 1)
        log_tail = (
            log_factorial[gallery - positive]
            - log_factorial[np.maximum(room, 0)]
            - log_factorial[gallery]
            + log_factorial[gallery - rank + 1]
        )
        tail += share * np.where(room >= 0, np.exp(log_tail), 0.0)
    first = tail - np.append(tail[1:], 0.0)  # P(best rank = r)
    harmonic = float(np.sum(1 / rank)) / gallery
    another = (p - 1) / max(gallery - 1, 1)

    def precision(k: int) -> float:
        r = rank[:k]
        found = (1 / r).sum() + another * ((r - 1) / r).sum()
        return float((p / gallery * found / np.minimum(p, k)) @ weight)

    def ndcg(k: int) -> float:
        gain = np.concatenate([[0.0], np.cumsum(1 / np.log2(1 + rank[:k]))])
        return float((p / gallery * gain[-1] / gain[np.minimum(p, len(gain) - 1)]) @ weight)

    ks = check_ks(ks)
    return Scores(
        recall={k: reached(k) for k in ks},
        recall_percent={percent: reached(first_percent(percent, gallery)) for percent in PERCENTS},
        # The shares are sums of logarithms, right to about 1e-10: one half must count as reached.
        median_rank=1.0 + bisect_left(range(1, gallery), 0.5 - 1e-9, key=reached),
        mean_rank=float(((gallery + 1) / (p + 1)) @ weight),
        reciprocal_rank=float((first / rank).sum()),
        mean_average_precision=float((another * (1 - harmonic) + harmonic) @ weight),
        precision={k: precision(k) for k in ks},
        ndcg={k: ndcg(k) for k in ks},
        distance_km=dict(distance_km or {}),
    )


def chance_distance(
    queries: NDArray[np.float64], gallery: NDArray[np.float64], ks: Sequence[int], *, seed: int = 0
) -> dict[int, float]:
    """D@k when each query's gallery is in random order, from one seeded draw of k items for each query.

    Args:
        queries: ``[Q, 2]`` degrees (lat, lon); NaN where unknown.
        gallery: ``[G, 2]``
        ks: The k of D@k.
        seed: Of the draw.
    """
    located = queries[np.isfinite(queries).all(axis=1)]
    drawn = np.random.default_rng(seed).integers(len(gallery), size=(len(located), min(max(ks), len(gallery))))
    km = np.nan_to_num(great_circle_km(located[:, None], gallery[drawn]), nan=np.inf)
    return {k: float(np.median(km[:, :k].min(axis=1))) for k in ks}

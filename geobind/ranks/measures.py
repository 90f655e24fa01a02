"""What follows from the ranks of a query's positives: average precision and discounted gain, whole or cut at k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measures:
    """Figures of each query, all ``[Q]``."""

    rank: Values
    average_precision: Values
    precision_at: dict[int, Values]
    ndcg_at: dict[int, Values]

    def put(self, queries: NDArray[np.int64], others: Measures) -> None:
        """Fill in the figures of some queries."""
        self.rank[queries] = others.rank
        self.average_precision[queries] = others.average_precision
        for k in self.precision_at:
            self.precision_at[k][queries] = others.precision_at[k]
            self.ndcg_at[k][queries] = others.ndcg_at[k]


def measure(ranks: Values, positives: NDArray[np.int64], ks: Sequence[int]) -> Measures:
    """Figures of queries from the ranks of their positives.

    With the j-th ranked of P positives at rank r_j: ``AP = Σ_j (j/r_j) / P``; ``AP@k`` sums over r_j ≤ k and divides by
    min(P, k), so that a perfect order has 1; ``nDCG@k = Σ_{r_j ≤ k} 1/log2(1+r_j)`` over the same sum for ranks 1 to
    min(P, k) (Järvelin and Kekäläinen 2002, binary relevance). Averaged ties give fractional ranks, which are used as
    they are.

    Args:
        ranks: ``[P, Q]`` ascending along the first axis, infinite where a query has fewer positives.
        positives: ``[Q]`` how many each query has.
        ks: Where to cut.
    """
    order = np.arange(1, len(ranks) + 1)[:, None]
    precision, gain = order / ranks, 1 / np.log2(1 + ranks)
    ideal = np.cumsum(1 / np.log2(1 + np.arange(1, max(ks, default=1) + 1)))
    within = {k: ranks <= k for k in ks}
    full = {k: np.minimum(positives, k) for k in ks}
    return Measures(
        ranks[0],
        precision.sum(axis=0) / positives,
        {k: np.where(within[k], precision, 0).sum(axis=0) / full[k] for k in ks},
        {k: np.where(within[k], gain, 0).sum(axis=0) / ideal[full[k] - 1] for k in ks},
    )

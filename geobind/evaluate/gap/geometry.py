"""How embeddings lie on the sphere: gaps, alignment, uniformity, hubs, effective rank.

Shapes: A and B items of two modalities, N items of one, D dimensions, Q queries, G gallery items.
All vectors have unit norm; no array of N × N outlives its chunk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geobind.data.pairs import Pairs
from geobind.ranks import CHUNK, Positives

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

NEIGHBOURS = 10
"""The k of the k-occurrence."""
SCALE = 2.0
"""The t of uniformity."""


@dataclass(frozen=True, slots=True)
class Between:
    """How two modalities lie to each other."""

    gap: float
    """Distance of the two centroids (Liang et al. 2022, "Mind the gap")."""
    no_gap: float
    """What that distance would be about if both were samples of one cloud: ``√((1 − ‖m‖²)(1/A + 1/B))``, the root mean
    square for the pooled mean m."""
    alignment: float
    """Mean of ‖x − y‖² over positives (Wang and Isola 2020, α = 2)."""
    positive_distance: float
    """Mean of ‖x − y‖ over positives."""
    positive_cosine: float
    """Mean cosine of positives."""
    negative_cosine: float
    """Mean cosine of all other pairs; NaN where every pair is a positive."""
    positives: int
    """How many pairs are positives; each counts once."""
    items: int
    """A + B"""

    @property
    def relative_gap(self) -> float:
        """The gap as a multiple of the mean distance of positives; 0 where there is neither."""
        return self.gap / self.positive_distance if self.positive_distance else 0.0


def between(a: Floats, b: Floats, pairs: Pairs, *, chunk: int = CHUNK) -> Between:
    """Compare the embeddings ``[A, D]`` and ``[B, D]`` of both sides of ``pairs``; exact."""
    n_a, n_b = len(a), len(b)
    sum_a, sum_b = a.sum(axis=0, dtype=np.float64), b.sum(axis=0, dtype=np.float64)
    mean = (sum_a + sum_b) / (n_a + n_b)
    spread = max(1.0 - float(mean @ mean), 0.0)

    count, cosines, squares, distances = 0, 0.0, 0.0, 0.0
    for rows, partners in _blocks(Positives.both(pairs)[0], chunk):
        x, y = a[rows].astype(np.float64), b[partners].astype(np.float64)
        cosine = x @ y.T
        # With the norms as they are: they differ from 1 by 1e-7, whose root would be a distance of 3e-4.
        square = np.maximum((x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * cosine, 0.0)
        count += cosine.size
        cosines += float(cosine.sum())
        squares += float(square.sum())
        distances += float(np.sqrt(square).sum())
    others = n_a * n_b - count
    return Between(
        gap=float(np.linalg.norm(sum_a / n_a - sum_b / n_b)),
        no_gap=math.sqrt(spread * (1 / n_a + 1 / n_b)),
        alignment=squares / count,
        positive_distance=distances / count,
        positive_cosine=cosines / count,
        # The sum over all pairs is a product of sums, so that no negative need be drawn.
        negative_cosine=(float(sum_a @ sum_b) - cosines) / others if others else math.nan,
        positives=count,
        items=n_a + n_b,
    )


def _blocks(positives: Positives, chunk: int) -> Iterator[tuple[Rows, Rows]]:
    """Queries that share their positives, at most ``chunk`` at a time, with those positives' gallery rows."""
    order = np.argsort(positives.start, kind="stable")
    for queries in np.split(order, np.flatnonzero(np.diff(positives.start[order])) + 1):
        for first in range(0, len(queries), chunk):
            yield queries[first : first + chunk], positives.of(int(queries[0]))


@dataclass(frozen=True, slots=True)
class Hubs:
    """How unevenly the items of a gallery are retrieved."""

    skewness: float
    """Skewness of the k-occurrence, how often an item is among a query's k nearest (Radovanović et al. 2010); 0 where
    all are retrieved equally often."""
    never: float
    """Share of the gallery that is among no query's k nearest: anti-hubs."""
    skewness_by_chance: float
    """Skewness if each query took k items at random: that of a binomial of Q draws with p = k / G."""
    never_by_chance: float
    """``(1 − k/G)^Q``"""
    queries: int


def hubs(queries: Floats, gallery: Floats, *, k: int = NEIGHBOURS, chunk: int = CHUNK) -> Hubs:
    """Count how often each of ``gallery [G, D]`` is among the ``k`` nearest of ``queries [Q, D]``; exact."""
    size = len(gallery)
    k = min(k, size)
    occurrence = np.zeros(size, dtype=np.int64)
    for first in range(0, len(queries), chunk):
        similarity = queries[first : first + chunk] @ gallery.T
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        occurrence += np.bincount(nearest.ravel(), minlength=size)
    p, draws = k / size, len(queries)
    variance = draws * p * (1 - p)
    return Hubs(
        skewness=skewness(occurrence),
        never=float(np.mean(occurrence == 0)),
        skewness_by_chance=(1 - 2 * p) / math.sqrt(variance) if variance else 0.0,
        never_by_chance=(1 - p) ** draws,
        queries=draws,
    )


def skewness(values: NDArray[np.int64]) -> float:
    """``E[(x − μ)³] / σ³``; 0 where all values are equal."""
    centred = values - values.mean()
    deviation = float(np.sqrt(np.mean(centred**2)))
    return float(np.mean(centred**3)) / deviation**3 if deviation else 0.0


def uniformity(vectors: Floats, *, t: float = SCALE, chunk: int = CHUNK) -> float:
    """``log mean exp(−t ‖x − y‖²)`` over all pairs of different rows of ``[N, D]`` (Wang and Isola 2020).

    0 where all are equal, and the lower the more evenly they cover the sphere; NaN for a single one.
    """
    n = len(vectors)
    if n < 2:
        return math.nan
    total = 0.0
    for first in range(0, n, chunk):
        rows = vectors[first : first + chunk]
        closeness = np.exp(2 * t * (np.clip(rows @ vectors.T, -1, 1) - 1))
        closeness[np.arange(len(rows)), first + np.arange(len(rows))] = 0.0
        total += float(closeness.sum(dtype=np.float64))
    return math.log(total / (n * (n - 1)))


def uniform_on_sphere(dim: int, *, t: float = SCALE) -> float:
    """The uniformity of points spread evenly over the sphere of ``dim`` dimensions, the least there is for many points.

    ``−2t + log E[exp(2t cos)]`` with ``E[exp(κ cos)] = Σ (κ/2)^{2m} Γ(D/2) / (m! Γ(m + D/2))``, the normalising series
    of the von Mises-Fisher distribution.
    """
    term = series = 1.0
    for m in range(1, 200):
        term *= t * t / (m * (m - 1 + dim / 2))
        series += term
    return -2 * t + math.log(series)


def effective_rank(vectors: Floats, *, chunk: int = CHUNK) -> float:
    """``exp`` of the entropy of the singular values of ``[N, D]``, divided by their sum (Roy and Vetterli 2007)."""
    dim = vectors.shape[1]
    gram = np.zeros((dim, dim))
    for first in range(0, len(vectors), chunk):
        rows = vectors[first : first + chunk].astype(np.float64)
        gram += rows.T @ rows
    values = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0.0, None))
    # The root lifts the rounding error of an eigenvalue of 0 from 1e-16 of the largest to 1e-8 of it.
    values = values[values > 1e-7 * values.max()]
    share = values / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))

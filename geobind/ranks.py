"""Exact ranks and average precision of retrieval by cosine, in chunks, with a stated tie rule.

Shapes: Q queries, G gallery items, D dimensions, A and B items of two modalities, C rows of a chunk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from geobind.data.pairs import Pairs
from geobind.errors import DataError, GeobindError, nearest

Ties = Literal["optimistic", "mean", "pessimistic"]
"""Where positives stand among negatives that are equally similar: before them, where a random order of the
tied items puts them on average, or after them. Under ``mean`` a space whose items all look alike has exactly
the mean rank of chance."""

TIE_WIDTH = 1e-6
"""Cosines closer than this are tied: float32 products of one pair differ by about 1e-7 with the order of
summation, so equal items would otherwise be ranked by the shape of the matrix they were computed in."""

CHUNK = 512
"""Rows of the similarity matrix that exist at a time."""

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Positives:
    """The positives of each query: ``rows[start[i]:stop[i]]`` are gallery rows. One direction."""

    rows: Rows = field(repr=False)
    start: Rows = field(repr=False)
    """``[Q]``"""
    stop: Rows = field(repr=False)
    """``[Q]``"""
    gallery: int
    """Gallery size G."""

    @classmethod
    def both(cls, pairs: Pairs) -> tuple[Positives, Positives]:
        """Positives of ``a`` asking ``b``, and of ``b`` asking ``a``.

        Raises:
            DataError: An item has no positive, so that it has no rank.
        """
        if pairs.edges is not None:
            a, b = pairs.edges.T
            found = cls._listed(a, b, len(pairs.a), len(pairs.b)), cls._listed(b, a, len(pairs.b), len(pairs.a))
        else:
            found = cls._labelled(pairs.label_a, pairs.label_b), cls._labelled(pairs.label_b, pairs.label_a)
        for positives, items in zip(found, (pairs.a, pairs.b), strict=True):
            if lonely := np.flatnonzero(positives.count == 0).tolist():
                raise DataError(
                    f"{len(lonely)} of {len(items)} {items.modality} items have no positive",
                    where=f"place {str(items.place[lonely[0]])!r}",
                    fix="Leave them out, as geobind.data.pairs.match does.",
                )
        return found

    @classmethod
    def _labelled(cls, queries: Rows, gallery: Rows) -> Positives:
        order = np.argsort(gallery, kind="stable")
        ranked = gallery[order]
        start, stop = (np.searchsorted(ranked, queries, side=side) for side in ("left", "right"))
        return cls(order, start, stop, len(gallery))

    @classmethod
    def _listed(cls, queries: Rows, gallery: Rows, n_queries: int, n_gallery: int) -> Positives:
        order = np.lexsort((gallery, queries))
        bounds = np.searchsorted(queries[order], np.arange(n_queries + 1))
        return cls(gallery[order], bounds[:-1], bounds[1:], n_gallery)

    @property
    def count(self) -> Rows:
        """Positives of each query: ``[Q]``."""
        return self.stop - self.start

    def of(self, query: int) -> Rows:
        """Gallery rows of one query's positives."""
        return self.rows[self.start[query] : self.stop[query]]

    def blocks(self, chunk: int) -> Iterator[tuple[Rows, Rows]]:
        """Queries that share their positives, at most ``chunk`` at a time, with those positives' gallery rows."""
        order = np.argsort(self.start, kind="stable")
        for queries in np.split(order, np.flatnonzero(np.diff(self.start[order])) + 1):
            for first in range(0, len(queries), chunk):
                yield queries[first : first + chunk], self.of(queries[0])


@dataclass(frozen=True, eq=False)
class Ranking:
    """How one direction's queries fared."""

    rank: NDArray[np.float64] = field(repr=False)
    """``[Q]`` 1-based rank of each query's best-ranked positive; a half or third where ties are averaged."""
    average_precision: NDArray[np.float64] = field(repr=False)
    """``[Q]`` average precision over all positives of each query; NaN where it was not asked for."""
    positives: Rows = field(repr=False)
    """``[Q]`` how many positives each query has."""
    gallery: int
    """Gallery size G."""


def rank_both(
    a: Floats,
    b: Floats,
    pairs: Pairs,
    *,
    ties: Ties = "mean",
    chunk: int = CHUNK,
    average_precision: bool = True,
) -> tuple[Ranking, Ranking]:
    """Rank ``b`` for every item of ``a``, and ``a`` for every item of ``b``.

    One pass over the similarities serves the best ranks of both directions: how far the best positive reaches is
    known beforehand from the positives alone, so a chunk of rows need only be counted, along both its axes. Average
    precision, which asks for the order among all positives, takes a sorted chunk for each query with several of them.

    With n negatives tied to a positive that is the j-th of p tied positives, they count as 0 (optimistic),
    ``n·j/(p+1)`` (mean: the expectation under a random order) or n (pessimistic) negatives ranked before it.

    Args:
        a: ``[A, D]`` unit norm, the embeddings of ``pairs.a``.
        b: ``[B, D]`` unit norm, the embeddings of ``pairs.b``.
        pairs: Who is whose positive.
        ties: The tie rule.
        chunk: Rows of similarities computed at a time; changes memory, never results.
        average_precision: Whether it is wanted; sorting for it takes most of the time where positives are many.

    Raises:
        DataError: No items, shapes that do not fit, values that are not finite, or an item without a positive.
    """
    if ties not in get_args(Ties):
        raise GeobindError(f"unknown tie rule {ties!r}", fix=nearest(ties, get_args(Ties)))
    _check(a, pairs.a.modality, len(pairs.a))
    _check(b, pairs.b.modality, len(pairs.b))
    positives = Positives.both(pairs)
    reach = _Reach(a, b, positives[0], chunk), _Reach(b, a, positives[1], chunk)
    for first in range(0, len(a), chunk):
        rows = slice(first, first + chunk)
        similarity = a[rows] @ b.T
        reach[0].count_rows(rows, similarity)
        reach[1].count_columns(similarity)
    ranks = [side.ranks(ties) for side in reach]
    precision = [np.full(len(rank), np.nan) for rank in ranks]
    if average_precision:
        precision[0] = _average_precision(a, b, positives[0], ranks[0], ties, chunk)
        precision[1] = _average_precision(b, a, positives[1], ranks[1], ties, chunk)
    return (
        Ranking(ranks[0], precision[0], positives[0].count, len(b)),
        Ranking(ranks[1], precision[1], positives[1].count, len(a)),
    )


def _check(vectors: Floats, modality: str, expected: int) -> None:
    if not expected:
        raise DataError(f"there are no {modality} items to rank")
    if vectors.ndim != 2 or len(vectors) != expected:
        raise DataError(f"{expected} {modality} items have embeddings of shape {vectors.shape}")
    # Every comparison with NaN is false: a broken tower would rank first everywhere.
    if broken := np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist():
        raise DataError(
            f"{len(broken)} of {expected} {modality} embeddings are not finite",
            where=f"row {broken[0]}",
            fix=f"The {modality} tower gives NaN or infinity; bind it again.",
        )


class _Reach:
    """One direction's counting: how many gallery items are above each query's best positive, how many beside it."""

    def __init__(self, queries: Floats, gallery: Floats, positives: Positives, chunk: int) -> None:
        best = np.empty(len(queries), dtype=np.float32)
        self.tied_positives = np.empty(len(queries), dtype=np.int64)
        for rows, partners in positives.blocks(chunk):
            similarity = queries[rows] @ gallery[partners].T
            best[rows] = similarity.max(axis=1)
            self.tied_positives[rows] = (similarity >= best[rows, None] - TIE_WIDTH).sum(axis=1)
        self.low, self.high = best - np.float32(TIE_WIDTH), best + np.float32(TIE_WIDTH)
        self.above = np.zeros(len(queries), dtype=np.int64)
        self.not_below = np.zeros(len(queries), dtype=np.int64)

    def count_rows(self, rows: slice, similarity: Floats) -> None:
        """Count a chunk ``[C, G]`` that holds all the gallery for some queries."""
        self.above[rows] = (similarity > self.high[rows, None]).sum(axis=1)
        self.not_below[rows] = (similarity >= self.low[rows, None]).sum(axis=1)

    def count_columns(self, similarity: Floats) -> None:
        """Count a chunk ``[C, Q]`` that holds some of the gallery for all queries."""
        self.above += (similarity > self.high).sum(axis=0)
        self.not_below += (similarity >= self.low).sum(axis=0)

    def ranks(self, ties: Ties) -> NDArray[np.float64]:
        """The best positive's rank, once everything has been counted: ``[Q]``."""
        tied = np.maximum(self.not_below - self.above - self.tied_positives, 0)
        return 1.0 + self.above + _before(ties, tied, np.ones_like(tied), self.tied_positives)


def _before(ties: Ties, negatives: Rows, position: Rows, positives: Rows) -> NDArray[np.float64]:
    """How many of the tied ``negatives`` count as ranked before the ``position``-th of the tied ``positives``."""
    if ties == "optimistic":
        return np.zeros(len(negatives))
    if ties == "pessimistic":
        return negatives.astype(np.float64)
    return np.asarray(negatives * position / (positives + 1))


def _average_precision(
    queries: Floats, gallery: Floats, positives: Positives, ranks: NDArray[np.float64], ties: Ties, chunk: int
) -> NDArray[np.float64]:
    """Mean over a query's positives of (positives so far / rank), in order of similarity: ``[Q]``."""
    result = 1.0 / ranks  # what it is where there is one positive
    several = np.flatnonzero(positives.count > 1)
    for first in range(0, len(several), chunk):
        rows = several[first : first + chunk]
        for row, similarity in zip(rows.tolist(), queries[rows] @ gallery.T, strict=True):
            result[row] = _precision_of_one(similarity, positives.of(row), ties)
    return result


def _precision_of_one(similarity: Floats, positives: Rows, ties: Ties) -> float:
    """Average precision of one query from its similarities ``[G]`` and its positives' rows."""
    own = np.sort(similarity[positives])[::-1]
    everything = np.sort(similarity)
    low, high = own - np.float32(TIE_WIDTH), own + np.float32(TIE_WIDTH)

    def positives_and_negatives(values: Floats, side: Literal["left", "right"]) -> tuple[Rows, Rows]:
        """How many of either lie at or above ``values`` (left), or strictly above (right)."""
        own_count = len(own) - np.searchsorted(own[::-1], values, side=side)
        return own_count, len(everything) - np.searchsorted(everything, values, side=side) - own_count

    own_above, above = positives_and_negatives(high, "right")
    own_not_below, not_below = positives_and_negatives(low, "left")
    order = np.arange(1, len(own) + 1)
    before = above + _before(ties, not_below - above, order - own_above, own_not_below - own_above)
    return float(np.mean(order / (order + before)))

"""Both directions of a pair of modalities, ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geobind.data.pairs import Pairs
from geobind.errors import DataError, GeobindError
from geobind.ranks.layers import Layers
from geobind.ranks.measures import measure
from geobind.ranks.positives import Positives, Rows
from geobind.ranks.rows import Places, nearest_km, ranks_by_sorting
from geobind.ranks.ties import Ties, check_ties
from geobind.ranks.tiles import Floats, short_buffers, tiles

CHUNK = 768
"""Rows of the similarity matrix that exist at a time."""


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
    precision_at: dict[int, NDArray[np.float64]] = field(default_factory=dict, repr=False)
    """k → ``[Q]`` average precision over the positives of rank k or better, divided by min(positives, k)."""
    ndcg_at: dict[int, NDArray[np.float64]] = field(default_factory=dict, repr=False)
    """k → ``[Q]`` normalised discounted cumulative gain of the first k (Järvelin and Kekäläinen 2002), binary."""
    nearest_km: dict[int, NDArray[np.float64]] = field(default_factory=dict, repr=False)
    """k → ``[Q]`` km from the query's place to the nearest of the first k of its gallery; NaN for a query without
    coordinates, infinite where none of the first k has any. Empty unless asked for and known on both sides."""


def rank_both(
    a: Floats,
    b: Floats,
    pairs: Pairs,
    *,
    ties: Ties = "mean",
    chunk: int = CHUNK,
    average_precision: bool = True,
    ks: Sequence[int] = (),
    distances: bool = False,
) -> tuple[Ranking, Ranking]:
    """Rank ``b`` for every item of ``a``, and ``a`` for every item of ``b``.

    One pass over float32 similarities serves both directions; see :mod:`geobind.ranks.layers`. Queries of very many
    positives, and distances, take whole rows. Never is there a matrix of all similarities.

    With n negatives tied to a positive that is the j-th of p tied positives, they count as 0 (optimistic),
    ``n·j/(p+1)`` (mean: the expectation under a random order) or n (pessimistic) negatives ranked before it.

    Args:
        a: ``[A, D]`` unit norm, the embeddings of ``pairs.a``.
        b: ``[B, D]`` unit norm, the embeddings of ``pairs.b``.
        pairs: Who is whose positive.
        ties: The tie rule.
        chunk: Rows of similarities computed at a time; changes memory, never results.
        average_precision: Whether it is wanted.
        ks: Where to cut precision, gain and distance.
        distances: Whether D@k is wanted for the ``ks``; it takes a pass of its own.

    Raises:
        DataError: No items, shapes that do not fit, values that are not finite, or an item without a positive.
        GeobindError: An unknown tie rule, or a k below 1.
    """
    check_ties(ties)
    if ks and min(ks) < 1:
        raise GeobindError(f"a ranking cannot be cut at k = {min(ks)}", fix="Give k of at least 1.")
    for vectors, items in ((a, pairs.a), (b, pairs.b)):
        _check(vectors, items.modality, len(items))
    if a.shape[1] != b.shape[1]:
        raise DataError(
            f"{pairs.a.modality} embeddings have {a.shape[1]} dimensions, {pairs.b.modality} embeddings {b.shape[1]}",
            fix="Compare towers of one space.",
        )
    a, b = (np.ascontiguousarray(vectors, dtype=np.float32) for vectors in (a, b))
    positives = Positives.both(pairs)
    every = average_precision or bool(ks)
    there = Layers(a, b, positives[0], axis=0, every=every)
    back = Layers(b, a, positives[1], axis=1, every=every)
    counting = [layers for layers in (there, back) if layers.any]
    with short_buffers():
        for tile in tiles(a, b, chunk) if counting else ():
            for layers in counting:
                layers.count(tile)

    def finish(queries: Floats, gallery: Floats, own: Positives, layers: Layers, places: Places) -> Ranking:
        figures = measure(layers.ranks(ties), own.count, ks)
        for rows, ranks in ranks_by_sorting(queries, gallery, own, layers.uncounted, ties, chunk):
            figures.put(rows, measure(ranks, own.count[rows], ks))
        return Ranking(
            rank=figures.rank,
            average_precision=figures.average_precision if average_precision else np.full(len(queries), np.nan),
            positives=own.count,
            gallery=own.gallery,
            precision_at=figures.precision_at,
            ndcg_at=figures.ndcg_at,
            nearest_km=nearest_km(queries, gallery, places, ks, ties, chunk) if distances else {},
        )

    places = pairs.a.lat_lon, pairs.b.lat_lon
    return finish(a, b, positives[0], there, places), finish(b, a, positives[1], back, places[::-1])


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

"""Whole rows of similarities, in float64: ranks where positives are many, and the places of the first k."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geobind.data.geo import great_circle_km
from geobind.ranks.positives import Positives, Rows
from geobind.ranks.ties import TIE_WIDTH, Ties, before
from geobind.ranks.tiles import Floats

BYTES = 1 << 26
"""Memory that rows of similarities may take at a time."""
BLOCK = 4096
"""Gallery items converted to float64 at a time."""

Values = NDArray[np.float64]
Places = tuple[Values | None, Values | None]


def similarities(queries: Floats, gallery: Floats, wanted: Rows, chunk: int) -> Iterator[tuple[Rows, Values]]:
    """Some queries, a few at a time, with their cosines ``[C, G]`` to the whole gallery."""
    step = max(1, min(chunk, BYTES // (8 * len(gallery))))
    for first in range(0, len(wanted), step):
        rows = wanted[first : first + step]
        asked, found = queries[rows].astype(np.float64), np.empty((len(rows), len(gallery)))
        for column in range(0, len(gallery), BLOCK):
            part = slice(column, column + BLOCK)
            found[:, part] = asked @ gallery[part].astype(np.float64).T
        yield rows, found


def ranks_by_sorting(
    queries: Floats, gallery: Floats, positives: Positives, wanted: Rows, ties: Ties, chunk: int
) -> Iterator[tuple[Rows, Values]]:
    """Some queries, a few at a time, with the ranks ``[P, C]`` of their positives, best first, padded with infinity."""
    for rows, found in similarities(queries, gallery, wanted, chunk):
        ranks = np.full((len(rows), positives.count[rows].max()), np.inf)
        for into, row, similarity in zip(ranks, rows.tolist(), found, strict=True):
            own = similarity[positives.of(row)]
            into[: len(own)] = _ranks(similarity, own, ties)
        yield rows, ranks.T


def _ranks(similarity: Values, own: Values, ties: Ties) -> Values:
    """Ranks ``[P]`` of positives from their cosines and those of the whole gallery."""
    everything, own = np.sort(similarity), np.sort(own)
    ascending = own[::-1]

    def counts(values: Values, side: Literal["left", "right"]) -> tuple[Rows, Rows]:
        """How many positives and negatives lie at or above ``values`` (left), or strictly above (right)."""
        own_count = len(own) - np.searchsorted(own, values, side=side)
        return own_count, len(everything) - np.searchsorted(everything, values, side=side) - own_count

    own_above, above = counts(ascending + TIE_WIDTH, "right")
    own_not_below, not_below = counts(ascending - TIE_WIDTH, "left")
    order = np.arange(1, len(own) + 1)
    return order + above + before(ties, not_below - above, order - own_above, own_not_below - own_above)


def nearest_km(
    queries: Floats,
    gallery: Floats,
    places: Places,
    ks: Sequence[int],
    ties: Ties,
    chunk: int,
) -> dict[int, Values]:
    """D@k of each query: the smallest distance in km between its place and those of the first k of its gallery.

    The metric of SoundingEarth (Heidler et al. 2021, arXiv 2108.00688). Of items tied at the k-th place the nearest
    are taken (optimistic), the farthest (pessimistic), or a random choice, whose expectation it is (mean). A gallery
    item without coordinates is infinitely far; a query without has NaN.

    Args:
        queries: ``[Q, D]``
        gallery: ``[G, D]``
        places: ``[Q, 2]`` and ``[G, 2]`` degrees, NaN or None where unknown.
        ks: The k.
        ties: The tie rule.
        chunk: Rows computed at a time.

    Returns:
        k → ``[Q]``; empty where one side has no coordinates at all.
    """
    here, there = places
    if here is None or there is None:
        return {}
    known = np.flatnonzero(np.isfinite(here).all(axis=1))
    if not len(known) or not np.isfinite(there).all(axis=1).any():
        return {}
    result = {k: np.full(len(queries), np.nan) for k in ks}
    first = {k: min(k, len(gallery)) for k in ks}
    for rows, found in similarities(queries, gallery, known, chunk):
        for row, similarity in zip(rows.tolist(), found, strict=True):
            top = np.sort(np.partition(similarity, -max(first.values()))[-max(first.values()) :])
            near = np.flatnonzero(similarity >= top[0] - TIE_WIDTH)
            km = great_circle_km(here[row], there[near])
            km[np.isnan(km)] = np.inf
            for k, size in first.items():
                last = top[-size]
                sure = similarity[near] > last + TIE_WIDTH
                tied = ~sure & (similarity[near] >= last - TIE_WIDTH)
                room = size - int(np.count_nonzero(sure))
                result[k][row] = _smallest(km[sure].min(initial=np.inf), np.sort(km[tied]), room, ties)
    return result


def _smallest(sure: float, tied: Values, room: int, ties: Ties) -> float:
    """The smallest of ``sure`` and of ``room`` values out of ``tied`` ascending ones, chosen by the tie rule."""
    spare = len(tied) - room
    values = np.minimum(tied[: spare + 1], sure)
    if ties == "optimistic" or not spare:
        return float(values[0])
    if ties == "pessimistic":
        return float(values[-1])
    # The i-th is the smallest of a random choice when it is chosen and none of those before it is.
    left = np.arange(spare)
    chance = room / len(tied) * np.append(1, np.cumprod((spare - left) / (len(tied) - 1 - left)))
    return float(values[chance > 0] @ chance[chance > 0])

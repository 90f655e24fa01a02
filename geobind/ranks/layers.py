"""Ranks by counting: how many gallery items are above each positive, and how many beside it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geobind.ranks.positives import Positives
from geobind.ranks.ties import TIE_WIDTH, Ties, before
from geobind.ranks.tiles import Floats, Rows, Tile, cosines, count_columns, count_rows, padded

DOUBT = 2e-6
"""How far a float32 cosine of unit vectors may lie from the truth: 3 times the most seen, in 64 to 4096 dimensions."""
MOST_DOUBTS = 100_000
"""Pairs of vectors that are left in doubt before they are settled."""
ROW_COST = 40
"""Layers that take as long as sorting the query's whole row."""


class Layers:
    """One direction's counting. Layer l holds the l-th most similar positive of each query that has so many.

    How far a positive reaches is known beforehand from its own cosine, so that a tile of similarities need only be
    counted, and one pass serves both directions. Queries of so many positives that sorting their rows is faster are
    left out: :attr:`uncounted`.

    Args:
        queries: ``[Q, D]``
        gallery: ``[G, D]``
        positives: Of the queries.
        axis: Which axis of a tile the queries run along.
        every: Whether the ranks of all positives are wanted, or only of the best.
    """

    def __init__(
        self, queries: Floats, gallery: Floats, positives: Positives, *, axis: Literal[0, 1], every: bool
    ) -> None:
        count = positives.count
        depth = _depth(count)
        self.axis = axis
        self.uncounted = np.flatnonzero(count > depth)
        query, number, row = positives.edges(np.flatnonzero(count <= depth))
        own = np.full((max(depth, 1), padded(len(queries))), -np.inf)
        own[number, query] = cosines(queries, query, gallery, row)
        self._own, self._size = -np.sort(-own, axis=0), len(queries)
        layers = self._own if every else self._own[:1]
        layers = np.where(np.isneginf(layers), np.inf, layers)  # nothing is above what is not there, nothing beside
        self._low, self._high = layers - TIE_WIDTH, layers + TIE_WIDTH
        self._surely_low, self._surely_high = (
            (bound + doubt).astype(np.float32) for bound, doubt in ((self._low, -DOUBT), (self._high, DOUBT))
        )
        self._queries, self._gallery = queries, gallery
        self._doubtful: dict[int, list[tuple[Rows, Rows]]] = {}
        self._doubts = 0
        self._above, self._tied = (np.zeros(layers.shape, dtype=np.int64) for _ in range(2))
        self._deep = np.isfinite(layers).sum(axis=0)

    @property
    def any(self) -> bool:
        """Whether there is anything to count."""
        return bool(self._deep.any())

    def count(self, tile: Tile) -> None:
        """Count a tile."""
        first = (tile.rows, tile.columns)[self.axis].start
        size = tile.similarity.shape[self.axis]
        queries, shape = slice(first, first + size), ((size, 1), (1, size))[self.axis]
        for layer in range(self._deep[queries].max(initial=0)):
            here = layer, queries
            low, high = (bound[here].reshape(shape) for bound in (self._surely_low, self._surely_high))
            above, *near = tile.compare(low, high)
            self._above[here] += (count_rows, count_columns)[self.axis](above)
            if not len(near[0]):
                continue
            at = tuple(part.start + places for part, places in zip((tile.rows, tile.columns), near, strict=True))
            if tile.is_dense(len(near[0])):
                self._decide(layer, at[self.axis], tile.exact[*near])
            else:
                self._doubtful.setdefault(layer, []).append((at[self.axis], at[1 - self.axis]))
                self._doubts += len(near[0])
        if self._doubts > MOST_DOUBTS:
            self.decide()

    def decide(self) -> None:
        """Settle what float32 has left in doubt: many at a time, which is faster than tile by tile."""
        for layer, found in self._doubtful.items():
            query, row = (np.concatenate(side) for side in zip(*found, strict=True))
            self._decide(layer, query, cosines(self._queries, query, self._gallery, row))
        self._doubtful, self._doubts = {}, 0

    def _decide(self, layer: int, query: Rows, cosine: NDArray[np.float64]) -> None:
        over = cosine > self._high[layer][query]
        beside = ~over & (cosine >= self._low[layer][query])
        np.add.at(self._above[layer], query[over], 1)
        np.add.at(self._tied[layer], query[beside], 1)

    def ranks(self, ties: Ties) -> NDArray[np.float64]:
        """``[L, Q]`` ranks of each query's positives, best first, infinite where it has fewer; once all is counted."""
        self.decide()
        result = np.full(self._above.shape, np.inf)
        for layer, (low, high) in enumerate(zip(self._low, self._high, strict=True)):
            own_above, own_not_below = (self._own > high).sum(axis=0), (self._own >= low).sum(axis=0)
            order, own_tied = layer + 1, own_not_below - own_above
            # Positives are among what was counted; so is each positive itself.
            above, tied = self._above[layer] - own_above, np.maximum(self._tied[layer] - own_tied, 0)
            there = np.isfinite(low)
            result[layer, there] = (order + above + before(ties, tied, order - own_above, own_tied))[there]
        return result[:, : self._size]


def _depth(count: NDArray[np.int64]) -> int:
    """How many layers are worth counting: a layer costs every query its share, a query left out its whole row."""
    depths = np.unique(np.append(count[count <= ROW_COST], 0))
    cost = [depth * len(count) + ROW_COST * np.count_nonzero(count > depth) for depth in depths]
    return int(depths[np.argmin(cost)])

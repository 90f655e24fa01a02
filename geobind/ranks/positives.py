"""Who is whose positive, without a matrix."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geobind.data.pairs import Pairs
from geobind.errors import DataError

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

    def edges(self, queries: Rows) -> tuple[Rows, Rows, Rows]:
        """The positives of some queries one by one: query, number among its positives, gallery row."""
        count = self.count[queries]
        number = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return np.repeat(queries, count), number, self.rows[np.repeat(self.start[queries], count) + number]

"""Similarities in tiles that stay in the processor's cache, each counted along both its axes.

A float32 cosine depends in its last digits on the shape of the product it comes from. So float32 only tells what is
certainly above a threshold and what is near it; float64 decides on the few that are near. That is why results depend
neither on tiles nor on the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]

WIDTH = 2048
"""Columns of a tile."""
BUFFER = 512
"""Elements that numpy's buffer shall hold; see :func:`short_buffers`."""
LANES = 128
"""Words of eight flags that are summed at a time; each flag's byte holds a sum of up to 255."""
GATHER = 256
"""Pairs of vectors gathered at a time."""
DENSE = 64
"""With more than one in so many pairs of a tile to decide on, the whole tile is computed in float64."""


def cosines(a: Floats, i: Rows, b: Floats, j: Rows) -> NDArray[np.float64]:
    """Cosines ``[N]`` of rows ``i`` of ``a`` with rows ``j`` of ``b``, in float64."""
    result = np.empty(len(i))
    for first in range(0, len(i), GATHER):
        part = slice(first, first + GATHER)
        # einsum converts as it goes, an eighth of the time that whole copies in float64 take.
        result[part] = np.einsum("nd,nd->n", a[i[part]], b[j[part]], dtype=np.float64)
    return result


class Tile:
    """Similarities of some rows of ``a`` with some rows of ``b``.

    Args:
        a: ``[A, D]``
        b: ``[B, D]``
        rows: Of ``a``.
        columns: Rows of ``b``.
        similarity: ``[C, W]`` their products, W rounded up to a multiple of 8 with columns of −∞.
        flags: ``[2, C, W]`` to work in.
    """

    def __init__(self, a: Floats, b: Floats, rows: slice, columns: slice, similarity: Floats, flags: Flags) -> None:
        self.a, self.b, self.rows, self.columns = a[rows], b[columns], rows, columns
        self.similarity, self._flags = similarity, flags

    def compare(self, low: Floats, high: Floats) -> tuple[NDArray[np.uint64], Rows, Rows]:
        """Set similarities against thresholds that broadcast to ``[C, W]``.

        Returns:
            Flags of those above ``high``, in words ``[C, W/8]``; and row and column numbers of those between the two,
            both ends included.
        """
        above, near = self._flags
        np.greater(self.similarity, high, out=above)
        np.greater_equal(self.similarity, low, out=near)
        words = near.view(np.uint64)
        words ^= above.view(np.uint64)
        # Few rows have any: looking for them first, then for words, then for flags, is faster than for flags at once.
        rows = np.flatnonzero(np.bitwise_or.reduce(words, axis=1))
        words = words[rows]
        found = np.flatnonzero(words)
        flag, lane = np.nonzero(words.reshape(-1)[found, None].view(np.uint8))
        row, word = np.divmod(found[flag], words.shape[1])
        return above.view(np.uint64), rows[row], 8 * word + lane

    def is_dense(self, count: int) -> bool:
        """Whether so many places are in doubt that the whole tile had better be computed in float64."""
        return count * DENSE > self.similarity.size

    @cached_property
    def exact(self) -> NDArray[np.float64]:
        """The whole tile in float64."""
        return self.a.astype(np.float64) @ self.b.astype(np.float64).T


def tiles(a: Floats, b: Floats, chunk: int) -> Iterator[Tile]:
    """All similarities of ``a`` and ``b``, ``chunk`` rows at a time; a tile is valid until the next one comes."""
    height, width = min(chunk, len(a)), min(WIDTH, padded(len(b)))
    similarity, flags = np.empty((height, width), dtype=np.float32), np.empty((2, height, width), dtype=np.bool_)
    for top in range(0, len(a), height):
        for left in range(0, len(b), width):
            rows, columns = slice(top, min(top + height, len(a))), slice(left, min(left + width, len(b)))
            high, wide = rows.stop - top, columns.stop - left
            np.matmul(a[rows], b[columns].T, out=similarity[:high, :wide])
            similarity[:high, wide : padded(wide)] = -np.inf
            view = slice(high), slice(padded(wide))
            yield Tile(a, b, rows, columns, similarity[view], flags[:, *view])


@contextmanager
def short_buffers() -> Iterator[None]:
    """Let numpy compare a row at a time: it would copy thresholds to fill its buffer, and take twice as long."""
    usual = np.setbufsize(BUFFER)
    try:
        yield
    finally:
        np.setbufsize(usual)


def padded(n: int) -> int:
    """The next multiple of 8."""
    return n + -n % 8


def count_rows(words: NDArray[np.uint64]) -> Rows:
    """How many flags of each row are set: ``[C, W/8]`` words of eight to ``[C]``."""
    parts = [words[:, first : first + LANES].sum(axis=1) for first in range(0, words.shape[1], LANES)]
    return np.asarray(np.stack(parts, axis=1).view(np.uint8).sum(axis=1, dtype=np.int64))


def count_columns(words: NDArray[np.uint64]) -> Rows:
    """How many flags of each column are set: ``[C, W/8]`` words of eight to ``[W]``."""
    parts = [words[first : first + LANES].sum(axis=0) for first in range(0, len(words), LANES)]
    return np.asarray(np.stack(parts).view(np.uint8).sum(axis=0, dtype=np.int64))

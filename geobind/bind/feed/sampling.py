"""Which pairs make a batch, and how many negatives in it are none.

Shapes: P pairs, B batch.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from geobind.bind.feed.sides import Rows
from geobind.data.pairs import Pairs

Sampling = Literal["spread", "shuffle"]


def epoch_batches(pairs: Pairs, size: int, sampling: Sampling, rng: np.random.Generator) -> list[Rows]:
    """One epoch of batches ``[B, 2]``; the incomplete last one is left out unless it is the only one."""
    drawn = pairs.draw(rng)
    if sampling == "spread":
        drawn = drawn[_spread(pairs, drawn, rng)]
    return [drawn[i * size : (i + 1) * size] for i in range(max(1, len(drawn) // size))]


def _spread(pairs: Pairs, drawn: Rows, rng: np.random.Generator) -> Rows:
    """An order in which pairs that share a content lie far apart: ``[P]``.

    n pairs of one content take n evenly spaced places of the unit interval from a random one on; pairs of a content
    of their own take a random place. So each pair still falls anywhere with equal chance, and a batch that is
    shorter than the spacing holds a content once. Where both sides repeat, the one that repeats more counts.
    """
    contents = [codes[drawn[:, column]] for column, codes in enumerate(pairs.content)]
    content = min(contents, key=lambda codes: len(np.unique(codes)))
    _, group, count = np.unique(content, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    first = np.cumsum(count) - count
    turn = np.empty(len(drawn), dtype=np.int64)
    turn[order] = np.arange(len(drawn)) - np.repeat(first, count)
    place = (rng.random(len(count))[group] + turn / count[group]) % 1.0
    return np.argsort(place, kind="stable").astype(np.int64)


def false_negatives(pairs: Pairs, rows: Rows) -> int:
    """Pairs (i, j) of a batch ``[B, 2]`` that count as negatives though one side's content is equal."""
    ids = pairs.ids(rows)
    contents = [codes[rows[:, column]] for column, codes in enumerate(pairs.content)]
    repeated = np.zeros(len(rows), dtype=bool)
    for codes in contents:
        _, group, count = np.unique(codes, return_inverse=True, return_counts=True)
        repeated |= count[group] > 1
    at = np.flatnonzero(repeated)
    total = 0
    for first in range(0, len(at), 256):
        i = at[first : first + 256, None]
        equal = (contents[0][i] == contents[0][at]) | (contents[1][i] == contents[1][at])
        if pairs.edge_codes is None:
            positive = ids[0][i] == ids[1][at]
        else:
            positive = np.isin(ids[0][i] * len(pairs.b) + ids[1][at], pairs.edge_codes)
        total += int((equal & ~positive).sum())
    return total

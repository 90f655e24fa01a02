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
    """One epoch of :func:`batch_count` batches ``[B, 2]``; incomplete ones are left out.

    Pairs of unequal kinds (:attr:`geobind.data.items.Items.kind`) never share a batch: each kind has batches of its
    own, whose order is mixed. The pairs of a kind that do not fill one batch make a smaller one.
    """
    if pairs.a.kind is None and pairs.b.kind is None:
        return _draw(pairs, size, sampling, rng)
    count = batch_count(pairs, size)
    batches: list[Rows] = []
    while len(batches) < count:  # once, but where the kinds that are drawn change
        batches += _draw(pairs, size, sampling, rng)
    return batches[:count]


def batch_count(pairs: Pairs, size: int) -> int:
    """Batches of every epoch.

    Where an item has positives of several kinds, the partners drawn for it decide how many batches the kinds fill:
    then one draw's number holds for all epochs. Some batches are left out of an epoch with more of them, and one with
    fewer goes on with a second draw.
    """
    if pairs.a.kind is None and pairs.b.kind is None:
        return max(1, len(pairs) // size)
    return len(_draw(pairs, size, "shuffle", np.random.default_rng(0)))


def _draw(pairs: Pairs, size: int, sampling: Sampling, rng: np.random.Generator) -> list[Rows]:
    """Draw every pair once and cut the draw into batches, kind by kind."""
    drawn = pairs.draw(rng)
    if sampling == "spread":
        drawn = drawn[_spread(pairs, drawn, rng)]
    groups = _by_kind(pairs, drawn)
    batches = [rows[i * size : (i + 1) * size] for rows in groups for i in range(max(1, len(rows) // size))]
    return batches if len(groups) == 1 else [batches[i] for i in rng.permutation(len(batches))]


def _by_kind(pairs: Pairs, drawn: Rows) -> list[Rows]:
    """Drawn pairs ``[P, 2]`` apart by the kinds of both sides; each group keeps their order."""
    group = np.zeros(len(drawn), dtype=np.int64)
    for column, items in enumerate((pairs.a, pairs.b)):
        if items.kind is not None:
            kinds, number = np.unique(items.kind, return_inverse=True)
            group = group * len(kinds) + number[drawn[:, column]]
    return [drawn[group == one] for one in np.unique(group)] if len(drawn) else [drawn]


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

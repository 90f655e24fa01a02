"""Which items of two modalities are positives of each other: by place, by group, as listed, or within a radius.

Shapes: A items of the first modality, B of the second, P pairs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geobind.data.items import Dataset, Items
from geobind.errors import DataError

Rule = Literal["id", "group", "listed", "radius"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Items of two modalities and the rule that makes them positives.

    Two items are positives when their labels are equal, or, for listed pairs, when the edge is listed.
    """

    a: Items
    b: Items
    rule: Rule
    origin: str
    label_a: NDArray[np.int64] = field(repr=False)
    """``[A]`` integer labels; equal labels are positives (rules ``id`` and ``group``)."""
    label_b: NDArray[np.int64] = field(repr=False)
    edges: NDArray[np.int64] | None = field(default=None, repr=False)
    """``[P, 2]`` row numbers, for the rules ``listed`` and ``radius``."""

    def __len__(self) -> int:
        """Pairs that one epoch visits: each listed edge, or each item of the longer side once."""
        return len(self.edges) if self.edges is not None else max(len(self.a), len(self.b))

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """One epoch of pairs ``[P, 2]`` in random order.

        For labelled rules every item of the longer side is met once, with a random positive of the other.
        """
        if self.edges is not None:
            return self.edges[rng.permutation(len(self.edges))]
        if len(self.a) >= len(self.b):
            rows = rng.permutation(len(self.a))
            return np.stack([rows, _partners(self.label_a[rows], self.label_b, rng)], axis=1)
        rows = rng.permutation(len(self.b))
        return np.stack([_partners(self.label_b[rows], self.label_a, rng), rows], axis=1)

    def partners(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """For every item of ``a`` a random one of its positives: rows of ``b``, ``[A]``."""
        if self.edges is None:
            return _partners(self.label_a, self.label_b, rng)
        shuffled = self.edges[rng.permutation(len(self.edges))]
        first = np.unique(shuffled[:, 0], return_index=True)[1]
        return np.asarray(shuffled[first, 1])

    def ids(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids ``[P]`` of both sides of drawn pairs ``rows [P, 2]``.

        Two items are positives when their ids are equal or, for listed pairs, when :attr:`edge_codes` has their edge.
        """
        if self.edges is None:
            return self.label_a[rows[:, 0]], self.label_b[rows[:, 1]]
        return rows[:, 0], rows[:, 1]

    @cached_property
    def edge_codes(self) -> NDArray[np.int64] | None:
        """``[E]`` sorted ``row_a * len(b) + row_b`` of the listed edges; None where labels decide."""
        return None if self.edges is None else np.sort(self.edges[:, 0] * len(self.b) + self.edges[:, 1])

    @cached_property
    def content(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers ``[A]`` and ``[B]`` that are equal where two items of one side have the same content."""
        return tuple(np.unique(items.key, return_inverse=True)[1].astype(np.int64) for items in (self.a, self.b))  # type: ignore[return-value]

    def without(self, a: Collection[int], b: Collection[int]) -> tuple[Pairs, NDArray[np.int64], NDArray[np.int64]]:
        """The pairs that are left when some rows of either side are taken out, and the rows that are left of each.

        Raises:
            DataError: None is left.
        """
        keep_a, keep_b = np.ones(len(self.a), dtype=bool), np.ones(len(self.b), dtype=bool)
        keep_a[list(a)], keep_b[list(b)] = False, False
        left, rows_a, rows_b = self.kept(keep_a, keep_b)
        if not len(rows_a):
            raise DataError(f"no pair of {self.a.modality} and {self.b.modality} is left: its items cannot be read")
        return left, rows_a, rows_b

    def kept(
        self, keep_a: NDArray[np.bool_], keep_b: NDArray[np.bool_]
    ) -> tuple[Pairs, NDArray[np.int64], NDArray[np.int64]]:
        """The pairs whose both sides are kept (masks ``[A]`` and ``[B]``), and the rows that are left of each side.

        Items left without a positive go too; there may be none left.
        """
        if self.edges is not None:
            edges = self.edges[keep_a[self.edges[:, 0]] & keep_b[self.edges[:, 1]]]
            keep_a, keep_b = np.isin(np.arange(len(self.a)), edges[:, 0]), np.isin(np.arange(len(self.b)), edges[:, 1])
            edges = np.stack([(np.cumsum(keep_a) - 1)[edges[:, 0]], (np.cumsum(keep_b) - 1)[edges[:, 1]]], axis=1)
        else:
            edges = None
            shared = np.intersect1d(self.label_a[keep_a], self.label_b[keep_b])
            keep_a, keep_b = keep_a & np.isin(self.label_a, shared), keep_b & np.isin(self.label_b, shared)
        rows_a, rows_b = np.flatnonzero(keep_a), np.flatnonzero(keep_b)
        a_left, b_left = self.a.take(rows_a), self.b.take(rows_b)
        labels = self.label_a[rows_a], self.label_b[rows_b]
        return Pairs(a_left, b_left, self.rule, self.origin, *labels, edges), rows_a, rows_b


def match(dataset: Dataset, a: str, b: str, split: str) -> Pairs:
    """Pair two modalities of a dataset's split; items without any positive are left out.

    Listed pairs come first, then the shared place, then the shared group.

    Raises:
        DataError: The split holds no pair of the two, with what it does hold.
    """
    items_a, items_b = dataset.items(a, split), dataset.items(b, split)
    origin = dataset.origin(a, b)
    listed = dataset.listed_pairs(a, b, split)
    if listed is not None and len(listed):
        pairs = _listed(items_a, items_b, listed, origin)
        if len(pairs):
            return pairs
    for rule, keys_a, keys_b in (
        ("id", items_a.place, items_b.place),
        ("group", items_a.group, items_b.group),
    ):
        if keys_a is None or keys_b is None:
            continue
        shared = np.setdiff1d(np.intersect1d(keys_a, keys_b), [""])
        if not len(shared):
            continue
        a_kept, b_kept = np.flatnonzero(np.isin(keys_a, shared)), np.flatnonzero(np.isin(keys_b, shared))
        return Pairs(
            items_a.take(a_kept),
            items_b.take(b_kept),
            rule,  # type: ignore[arg-type]
            origin,
            np.searchsorted(shared, keys_a[a_kept]).astype(np.int64),
            np.searchsorted(shared, keys_b[b_kept]).astype(np.int64),
        )
    raise DataError(
        f"no pairs of {a} and {b} in the split {split!r}: it holds {len(items_a)} {a} and {len(items_b)} {b} items"
        " that share neither a place nor a group",
        fix="Check the split column, the ids that join the two, or choose another split.",
    )


def _listed(a: Items, b: Items, listed: NDArray[np.str_], origin: str) -> Pairs:
    first_a, first_b = _first_row(a.place), _first_row(b.place)
    edges = [(first_a[x], first_b[y]) for x, y in listed.tolist() if x in first_a and y in first_b]
    array = np.unique(np.asarray(edges, dtype=np.int64).reshape(-1, 2), axis=0)
    rows_a, array_a = np.unique(array[:, 0], return_inverse=True)
    rows_b, array_b = np.unique(array[:, 1], return_inverse=True)
    kept = np.stack([array_a, array_b], axis=1).astype(np.int64)
    unlabelled = np.full(len(rows_a), -1, dtype=np.int64), np.full(len(rows_b), -1, dtype=np.int64)
    return Pairs(a.take(rows_a), b.take(rows_b), "listed", origin, *unlabelled, edges=kept)


def _first_row(places: NDArray[np.str_]) -> dict[str, int]:
    return {place: row for row, place in reversed(list(enumerate(places.tolist())))}


def _partners(labels: NDArray[np.int64], candidates: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """For each label a random row of ``candidates`` that carries it."""
    order = np.argsort(candidates, kind="stable")
    ranked = candidates[order]
    start = np.searchsorted(ranked, labels, side="left")
    count = np.searchsorted(ranked, labels, side="right") - start
    picked: NDArray[np.int64] = order[start + (rng.random(len(labels)) * count).astype(np.int64)]
    return picked

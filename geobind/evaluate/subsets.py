"""Parts of a set of pairs, and the identity of one."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from numpy.typing import NDArray

from geobind.data.items import Items
from geobind.data.pairs import Pairs, Rule
from geobind.data.splits import spatial_blocks

BLOCK_DEG = 10.0
"""Side of a spatial block in degrees."""


def flip(pairs: Pairs) -> Pairs:
    """The same pairs with the sides exchanged."""
    edges = None if pairs.edges is None else pairs.edges[:, ::-1]
    return Pairs(pairs.b, pairs.a, pairs.rule, pairs.origin, pairs.label_b, pairs.label_a, edges)


def restrict(pairs: Pairs, keep_a: NDArray[np.bool_], keep_b: NDArray[np.bool_]) -> Pairs:
    """The pairs whose both sides are kept (masks ``[A]`` and ``[B]``); items left without a positive go too."""
    return pairs.kept(keep_a, keep_b)[0]


def by_tag(pairs: Pairs, tag: str) -> dict[str, Pairs]:
    """One part per value of a tag column that both sides hold, in order of the values; parts may be empty.

    ``block`` stands for spatial blocks of :data:`BLOCK_DEG` where no column is called so.
    """
    a, b = _column(pairs.a, tag), _column(pairs.b, tag)
    if a is None or b is None:
        return {}
    return {str(value): restrict(pairs, a == value, b == value) for value in np.intersect1d(a, b) if value}


def known_tags(pairs: Pairs) -> set[str]:
    """What a set of pairs can be parted by."""
    blocks = {"block"} if pairs.a.lat_lon is not None and pairs.b.lat_lon is not None else set()
    return {*pairs.a.tags, *pairs.b.tags} | blocks


def _column(items: Items, tag: str) -> NDArray[np.str_] | None:
    if tag in items.tags:
        return items.tags[tag]
    if tag != "block" or items.lat_lon is None:
        return None
    located = np.isfinite(items.lat_lon).all(axis=1)
    blocks = np.full(len(items), "", dtype="<U16")
    blocks[located] = spatial_blocks(items.lat_lon[located], BLOCK_DEG)
    return blocks


def split_hash(pairs: Pairs) -> str:
    """Identity of a set of items and their positives: 12 hexadecimal digits.

    The same for both directions and any order of rows. It sees places, not file names, so that a dataset hashes
    equally wherever it lies.
    """
    sides = sorted(_side(items, pairs.rule) for items in (pairs.a, pairs.b))
    edges = [] if pairs.edges is None else sorted(_edge(pairs, i, j) for i, j in pairs.edges.tolist())
    return hashlib.sha256(json.dumps([pairs.rule, sides, edges]).encode()).hexdigest()[:12]


def _side(items: Items, rule: Rule) -> tuple[str, list[tuple[str, str]]]:
    joined = items.group if rule == "group" and items.group is not None else items.place
    return items.modality, sorted(zip(items.place.tolist(), joined.tolist(), strict=True))


def _edge(pairs: Pairs, i: int, j: int) -> list[tuple[str, str]]:
    return sorted([(pairs.a.modality, str(pairs.a.place[i])), (pairs.b.modality, str(pairs.b.place[j]))])

"""Batches hold every pair once, keep equal contents apart, and count what they cannot."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from geobind.bind.feed.sampling import epoch_batches, false_negatives
from geobind.data.items import Items
from geobind.data.pairs import Pairs


def pairs(contents_a, contents_b, edges=None) -> Pairs:
    """One pair per position, whose items have these contents; listed when edges are given."""
    names = np.arange(len(contents_a)).astype(np.str_)
    sides = [
        Items(modality=modality, load=int, place=names, key=np.asarray(contents, dtype=np.str_))
        for modality, contents in (("a", contents_a), ("b", contents_b))
    ]
    labels = np.arange(len(names)) if edges is None else np.full(len(names), -1)
    rule = "id" if edges is None else "listed"
    return Pairs(*sides, rule, "test", labels, labels, None if edges is None else np.asarray(edges))


def brute(of: Pairs, rows) -> int:
    """Off-diagonal negatives with an equal content, by the definition."""
    edges = None if of.edges is None else {tuple(edge) for edge in of.edges.tolist()}
    count = 0
    for a, b in rows.tolist():
        for x, y in rows.tolist():
            positive = of.label_a[a] == of.label_b[y] if edges is None else (a, y) in edges
            equal = of.a.key[a] == of.a.key[x] or of.b.key[b] == of.b.key[y]
            count += bool(equal and not positive)
    return count


contents = st.lists(st.integers(0, 12), min_size=2, max_size=40)


@settings(deadline=None)
@given(contents, st.integers(2, 9), st.integers(0, 3), st.sampled_from(["spread", "shuffle"]))
def test_an_epoch_holds_every_pair_once_but_for_the_last_incomplete_batch(found, size, seed, sampling):
    of = pairs(range(len(found)), found)
    batches = epoch_batches(of, size, sampling, np.random.default_rng(seed))
    rows = np.concatenate(batches)
    assert len(np.unique(rows, axis=0)) == len(rows) and (rows[:, 0] == rows[:, 1]).all()
    assert [len(batch) for batch in batches] == ([size] * (len(found) // size) or [len(found)])
    again = epoch_batches(of, size, sampling, np.random.default_rng(seed))
    assert all(np.array_equal(x, y) for x, y in zip(batches, again, strict=True))


@settings(deadline=None)
@given(contents, contents, st.booleans())
def test_false_negatives_are_counted_by_the_definition(left, right, listed):
    n = min(len(left), len(right))
    edges = [(i, i) for i in range(n)] + [(0, n - 1)] if listed else None
    of = pairs(left[:n], right[:n], edges)
    rows = np.stack([np.arange(n), np.arange(n)], axis=1)
    assert false_negatives(of, rows) == brute(of, rows)


def test_spreading_keeps_equal_captions_apart():
    """1,000 pictures, of which 400 share 50 captions: shuffled, a batch of 100 meets many twice."""
    captions = [f"own {i}" for i in range(600)] + [f"shared {i % 50}" for i in range(400)]
    of = pairs(range(1000), captions)

    def total(sampling):
        rng = np.random.default_rng(0)
        epochs = [epoch_batches(of, 100, sampling, rng) for _ in range(5)]
        return sum(false_negatives(of, rows) for batches in epochs for rows in batches)

    shuffled, spread = total("shuffle"), total("spread")
    assert shuffled > 1000 and spread < shuffled / 10


@pytest.mark.parametrize("sampling", ["spread", "shuffle"])
def test_every_place_in_the_epoch_is_equally_likely(sampling):
    captions = ["shared"] * 20 + [f"own {i}" for i in range(180)]
    of = pairs(range(200), captions)
    rng = np.random.default_rng(0)
    first = np.zeros(200)
    for _ in range(400):
        first[epoch_batches(of, 50, sampling, rng)[0][:, 0]] += 1
    assert first[:20].mean() == pytest.approx(100, rel=0.1) and first[20:].mean() == pytest.approx(100, rel=0.1)

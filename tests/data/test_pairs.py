"""Pairs: which items are positives, and how an epoch is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geobind.data.items import Dataset, Items
from geobind.data.pairs import match
from geobind.errors import DataError


class Fake(Dataset):
    fingerprint = "fake"

    def __init__(self, items, listed=None):
        self.table, self.listed = items, listed
        self.modalities = tuple(items)

    def items(self, modality, split):
        return self.table[modality]

    def origin(self, a, b):
        return "made up"

    def listed_pairs(self, a, b, split):
        return self.listed


def items(modality, place, group=None):
    array = np.array(list(place), dtype=np.str_)
    key = np.array([f"{modality}{i}" for i in range(len(place))])
    return Items(modality, str, array, key, None if group is None else np.array(group, dtype=np.str_))


places = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30)


@settings(deadline=None)
@given(places, places, st.integers(0, 5))
def test_drawn_pairs_are_positives_and_the_longer_side_is_met_once(left, right, seed):
    dataset = Fake({"x": items("x", left), "y": items("y", right)})
    if not set(left) & set(right):
        with pytest.raises(DataError, match="no pairs of x and y"):
            match(dataset, "x", "y", "train")
        return
    pairs = match(dataset, "x", "y", "train")
    rows = pairs.draw(np.random.default_rng(seed))
    assert len(rows) == len(pairs) == max(len(pairs.a), len(pairs.b))
    assert (pairs.a.place[rows[:, 0]] == pairs.b.place[rows[:, 1]]).all()
    longer = 0 if len(pairs.a) >= len(pairs.b) else 1
    assert sorted(rows[:, longer]) == list(range(len(pairs)))
    ids_a, ids_b = pairs.ids(rows)
    mask = ids_a[:, None] == ids_b[None, :]
    brute = pairs.a.place[rows[:, 0]][:, None] == pairs.b.place[rows[:, 1]][None, :]
    assert np.array_equal(mask, brute) and mask.diagonal().all()


def test_group_is_used_where_no_place_is_shared():
    dataset = Fake({"x": items("x", "abc", ["s", "t", ""]), "y": items("y", "def", ["t", "t", ""])})
    pairs = match(dataset, "x", "y", "train")
    assert pairs.rule == "group" and pairs.a.place.tolist() == ["b"] and pairs.b.place.tolist() == ["d", "e"]


def test_listed_pairs_come_first_and_only_they_are_positives():
    listed = np.array([["a", "q"], ["a", "r"], ["b", "q"], ["nowhere", "q"]])
    dataset = Fake({"x": items("x", "abc"), "y": items("y", "qra")}, listed)
    pairs = match(dataset, "x", "y", "train")
    assert pairs.rule == "listed" and len(pairs) == 3
    rows = pairs.draw(np.random.default_rng(0))
    ids_a, ids_b = pairs.ids(rows)
    mask = np.isin(ids_a[:, None] * len(pairs.b) + ids_b[None, :], pairs.edge_codes)
    for i, (a, _) in enumerate(rows):
        for j, (_, b) in enumerate(rows):
            named = [pairs.a.place[a], pairs.b.place[b]]
            assert mask[i, j] == (named in listed.tolist())


def test_the_same_generator_state_draws_the_same_epoch():
    dataset = Fake({"x": items("x", "aabbcc"), "y": items("y", "abcabcabc")})
    pairs = match(dataset, "x", "y", "train")
    draws = [pairs.draw(np.random.default_rng((3, epoch))) for epoch in (0, 0, 1)]
    assert np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[0], draws[2])


def test_take_composes_and_loads_the_right_item():
    table = Items("x", "abcdef".__getitem__, np.array(list("abcdef")), np.array(list("ABCDEF")))
    taken = table.take(np.array([5, 3, 1])).take(np.array([2, 0]))
    assert [taken[0], taken[1]] == ["b", "f"] and taken.key.tolist() == ["B", "F"]


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(DataError, match="'key' has 1 rows, place has 2"):
        Items("x", str, np.array(["a", "b"]), np.array(["k"]))

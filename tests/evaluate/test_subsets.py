"""Parts of pairs, and the identity of a set of them."""

import numpy as np
import pytest

from geobind.data.pairs import match
from geobind.evaluate.subsets import by_tag, flip, restrict, split_hash


@pytest.fixture
def pairs(items, dataset):
    sources = ["x", "x", "y", "y"]
    a = items("satellite", ["p", "q", "r", "s"], tags={"source": sources})
    b = items("text", ["p", "p", "q", "r"], tags={"source": ["x", "y", "x", "y"]})
    return match(dataset(a, b), "satellite", "text", "test")


def test_flip_twice_is_nothing(listed):
    pairs = listed([(0, 1), (1, 0), (1, 2)])
    turned = flip(pairs)
    assert (turned.a.modality, turned.edges.tolist()) == ("b", [[1, 0], [0, 1], [2, 1]])
    assert flip(turned).edges.tolist() == pairs.edges.tolist()


def test_parts_keep_both_sides_and_drop_the_lonely(pairs):
    parts = by_tag(pairs, "source")
    assert list(parts) == ["x", "y"]
    assert parts["x"].a.place.tolist() == ["p", "q"]
    assert parts["x"].b.place.tolist() == ["p", "q"]
    # Of "y", text 1 is about place p, whose satellite item is of "x".
    assert parts["y"].a.place.tolist() == ["r"]
    assert parts["y"].b.place.tolist() == ["r"]
    assert by_tag(pairs, "country") == {}


def test_listed_pairs_are_renumbered(listed):
    pairs = listed([(0, 0), (0, 2), (1, 1), (2, 2)])
    part = restrict(pairs, np.array([True, False, True]), np.array([True, True, True]))
    assert part.a.place.tolist() == ["0", "2"]
    assert part.b.place.tolist() == ["0", "2"]
    assert part.edges.tolist() == [[0, 0], [0, 1], [1, 1]]


def test_hash_knows_the_set_and_nothing_else(pairs, items, dataset, listed):
    again = restrict(pairs, np.ones(3, dtype=bool), np.ones(4, dtype=bool))
    assert split_hash(again) == split_hash(pairs) == split_hash(flip(pairs))
    moved = match(
        dataset(
            items("satellite", ["r", "q", "p"], key=["/other/r", "/other/q", "/other/p"]),
            items("text", ["q", "p", "r", "p"]),
        ),
        "satellite",
        "text",
        "test",
    )
    assert split_hash(moved) == split_hash(pairs)
    assert split_hash(by_tag(pairs, "source")["x"]) != split_hash(pairs)
    assert split_hash(listed([(0, 0), (1, 1)])) != split_hash(listed([(0, 1), (1, 0)]))

"""All pairs of a made-up space."""

import json

import numpy as np
import pytest

from geobind.errors import DataError, GeobindError, SpaceError
from geobind.evaluate.results import AllPairs
from geobind.evaluate.retrieval import all_pairs

PLACES = [f"p{i}" for i in range(40)]


@pytest.fixture
def world(items, dataset):
    """Three modalities of 40 places; captions come twice, and one of them is said of every tenth place."""
    captions = ["text:common:0" if i % 10 == 0 else f"text:p{i % 40}:{i}" for i in range(80)]
    sources = ["x" if i % 2 else "y" for i in range(40)]
    return dataset(
        items("satellite", PLACES, tags={"source": sources}),
        items("text", PLACES * 2, key=captions, tags={"source": sources * 2}),
        items("location", PLACES, tags={"source": ["x"] * 40}),
    )


def test_every_ordered_pair_with_its_protocol(space, world):
    toy = space("satellite", "text", "location", trained=["text"])
    result = all_pairs(toy, [world])
    assert result.modalities == ("satellite", "text", "location")
    assert {(r.protocol.query, r.protocol.gallery) for r in result.results} == {
        (a, b) for a in result.modalities for b in result.modalities if a != b
    }
    there, back = result.get("satellite", "text"), result.get("text", "satellite")
    assert (there.protocol.queries, there.protocol.gallery_size) == (40, 80)
    assert (back.protocol.queries, back.protocol.gallery_size) == (80, 40)
    assert there.protocol.relation == back.protocol.relation == "trained"
    assert result.get("text", "location").protocol.relation == "emergent"
    assert (there.protocol.rule, there.protocol.ties, there.protocol.origin) == ("id", "mean", "true location")
    assert (there.protocol.split, there.protocol.dataset) == ("test", "data-1")
    assert there.protocol.split_hash == back.protocol.split_hash
    assert there.chance.recall[1] == pytest.approx(2 / 80)
    assert back.chance.recall[1] == pytest.approx(1 / 40)
    assert there.lift(10) > 2


def test_a_perfect_space_is_perfect_and_a_random_one_is_at_chance(space, items, dataset):
    data = dataset(items("satellite", range(400)), items("audio", range(400)))
    perfect = all_pairs(space("satellite", "audio", noise={"satellite": 0, "audio": 0}), [data])
    assert perfect.get("audio", "satellite").scores.recall == {1: 1.0, 5: 1.0, 10: 1.0}
    noise = all_pairs(space("satellite", "audio", noise={"satellite": 1e9, "audio": 1e9}), [data])
    for result in noise.results:
        assert result.scores.median_rank == pytest.approx(200, abs=30)
        assert result.lift(10) == pytest.approx(1, abs=0.6)


def test_each_distinct_item_is_embedded_once(space, world, capsys):
    toy = space("satellite", "text", "location")
    all_pairs(toy, [world], by="source")
    assert sorted(modality for modality, _ in toy.encoded) == ["location", "satellite", "text"]
    encoded = dict(toy.encoded)["text"]
    assert len(encoded) == len(set(encoded)) == 73  # 80 captions, of which 8 are one
    assert "embed text: 73 items" in capsys.readouterr().err


def test_rows_of_the_table_are_those_of_the_items(space, world):
    toy = space("satellite", "text", "location")
    ranked = all_pairs(toy, [world]).ranked["text", "location"]
    for side in (ranked.queries, ranked.gallery):
        alone = np.concatenate([toy.encode(side.items.modality, [side.items[i]]) for i in range(len(side.items))])
        assert np.array_equal(side.vectors, alone)


def test_subsets_are_restricted_on_both_sides(space, world):
    result = all_pairs(space("satellite", "text", "location"), [world], by="source")
    for subset in ("source=x", "source=y"):
        part = result.get("satellite", "text", subset)
        assert (part.protocol.queries, part.protocol.gallery_size) == (20, 40)
        assert part.protocol.split_hash != result.get("satellite", "text").protocol.split_hash
    assert result.get("satellite", "location", "source=x").protocol.queries == 20
    assert result.get("satellite", "location", "source=y") is None
    assert result.unmeasured == ()


def test_the_first_dataset_with_pairs_is_taken(space, items, dataset):
    without = dataset(items("satellite", [1, 2]), items("audio", [3, 4]), name="without")
    first = dataset(items("satellite", range(5)), items("audio", range(5)), name="first")
    second = dataset(items("satellite", range(9)), items("audio", range(9)), name="second")
    result = all_pairs(space("satellite", "audio"), [without, first, second])
    assert {(r.protocol.dataset, r.protocol.queries) for r in result.results} == {("first", 5)}


def test_what_cannot_be_evaluated_is_listed_with_its_reason(space, items, dataset, world):
    toy = space("satellite", "text", "location", "audio", "ground")
    toy.broken = {"location"}
    lonely = dataset(items("satellite", ["p1"]), items("audio", ["elsewhere"]))
    result = all_pairs(toy, [world, lonely])
    assert {(r.protocol.query, r.protocol.gallery) for r in result.results} == {
        ("satellite", "text"),
        ("text", "satellite"),
    }
    reasons = {(missing.query, missing.gallery): missing.reason for missing in result.unmeasured}
    assert len(reasons) == 18
    assert reasons["text", "location"] == reasons["location", "satellite"] == "a location item cannot be read (row 3)."
    assert "share neither a place nor a group" in reasons["satellite", "audio"]
    assert reasons["ground", "text"].startswith("no dataset holds both text and ground")


def test_a_subset_without_positives_is_listed(space, items, dataset):
    data = dataset(
        items("satellite", [1, 2, 3], tags={"source": ["x", "y", "z"]}),
        items("audio", [1, 2, 3], tags={"source": ["x", "z", "y"]}),
    )
    result = all_pairs(space("satellite", "audio"), [data], by="source")
    assert result.get("audio", "satellite", "source=x").scores.recall[1] == 1
    assert [missing.subset for missing in result.unmeasured] == ["source=y"] * 2 + ["source=z"] * 2
    assert result.unmeasured[0].reason.startswith("there are no satellite items to rank")


def test_limited_to_some_modalities_the_anchor_comes_first(space, world):
    result = all_pairs(space("satellite", "text", "location"), [world], modalities=["location", "satellite"])
    assert result.modalities == ("satellite", "location")
    assert len(result.results) == 2


def test_group_and_listed_rules(space, items, dataset):
    grouped = dataset(
        items("satellite", ["a1", "a2", "a3"], group=["sea", "sea", "town"]),
        items("audio", ["b1", "b2"], group=["town", "sea"]),
        origin="scene class",
    )
    result = all_pairs(space("satellite", "audio"), [grouped]).get("audio", "satellite")
    assert (result.protocol.rule, result.protocol.origin) == ("group", "scene class")
    assert result.chance.recall[1] == pytest.approx((1 / 3 + 2 / 3) / 2)
    edges = np.array([["a1", "b1"], ["a1", "b2"], ["a3", "b2"]])
    listed = dataset(*grouped.tables.values(), listed={("satellite", "audio"): edges})
    result = all_pairs(space("satellite", "audio"), [listed]).get("audio", "satellite")
    assert (result.protocol.rule, result.protocol.queries, result.protocol.gallery_size) == ("listed", 2, 2)


def test_json_round_trip_and_repeatability(space, world):
    toy = space("satellite", "text", "location", trained=["text"])
    toy.towers["ground"] = None
    result = all_pairs(toy, [world], by="source", ks=(1, 10), ties="pessimistic")
    assert len(result.unmeasured) == 6
    again = AllPairs.from_dict(json.loads(json.dumps(result.as_dict())))
    assert again == result
    assert again.as_dict() == all_pairs(toy, [world], by="source", ks=(1, 10), ties="pessimistic").as_dict()
    with pytest.raises(DataError, match="format 99; this geobind reads 1"):
        AllPairs.from_dict({**result.as_dict(), "format": 99})


def test_refusals(space, world):
    toy = space("satellite", "text", "location")
    with pytest.raises(GeobindError, match="unknown split 'tets'. Did you mean 'test'"):
        all_pairs(toy, [world], split="tets")
    with pytest.raises(SpaceError, match="'texts' is not bound in space 'toy'. Did you mean 'text'"):
        all_pairs(toy, [world], modalities=["satellite", "texts"])
    with pytest.raises(GeobindError, match="needs two modalities; there is text"):
        all_pairs(toy, [world], modalities=["text"])
    with pytest.raises(DataError, match="no dataset has the tag column 'sources'. Did you mean 'source'"):
        all_pairs(toy, [world], by="sources")
    with pytest.raises(GeobindError, match="unknown tie rule 'max'"):
        all_pairs(toy, [world], ties="max")
    with pytest.raises(DataError, match="none of the 3 pairs .* the first because: no pairs of satellite and text"):
        all_pairs(toy, [world], split="train")

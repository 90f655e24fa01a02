"""All pairs of a made-up space."""

import json

import numpy as np
import pytest

from geobind.errors import DataError, GeobindError, SpaceError
from geobind.evaluate.memory import Memory
from geobind.evaluate.results import AllPairs
from geobind.evaluate.retrieval import all_pairs
from geobind.evaluate.subject import Subject

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
    result = all_pairs(Subject(toy, [world]))
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
    perfect = all_pairs(Subject(space("satellite", "audio", noise={"satellite": 0, "audio": 0}), [data]))
    assert perfect.get("audio", "satellite").scores.recall == {1: 1.0, 5: 1.0, 10: 1.0}
    noise = all_pairs(Subject(space("satellite", "audio", noise={"satellite": 1e9, "audio": 1e9}), [data]))
    for result in noise.results:
        assert result.scores.median_rank == pytest.approx(200, abs=30)
        assert result.lift(10) == pytest.approx(1, abs=0.6)


def test_each_distinct_item_is_embedded_once(space, world, capsys):
    toy = space("satellite", "text", "location")
    all_pairs(Subject(toy, [world]), by=["source"])
    assert sorted(modality for modality, _ in toy.encoded) == ["location", "satellite", "text"]
    encoded = dict(toy.encoded)["text"]
    assert len(encoded) == len(set(encoded)) == 73  # 80 captions, of which 8 are one
    assert "embed text: 73 items" in capsys.readouterr().err


def test_rows_of_the_table_are_those_of_the_items(space, world):
    toy = space("satellite", "text", "location")
    ranked = all_pairs(Subject(toy, [world])).ranked["text", "location"]
    for side in (ranked.queries, ranked.gallery):
        alone = np.concatenate([toy.encode(side.items.modality, [side.items[i]]) for i in range(len(side.items))])
        assert np.array_equal(side.vectors, alone)


def test_subsets_are_restricted_on_both_sides(space, world):
    result = all_pairs(Subject(space("satellite", "text", "location"), [world]), by=["source"])
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
    result = all_pairs(Subject(space("satellite", "audio"), [without, first, second]))
    assert {(r.protocol.dataset, r.protocol.queries) for r in result.results} == {("first", 5)}


def test_what_cannot_be_evaluated_is_listed_with_its_reason(space, items, dataset, world):
    toy = space("satellite", "text", "location", "audio", "ground")
    toy.broken = {"location"}
    lonely = dataset(items("satellite", ["p1"]), items("audio", ["elsewhere"]))
    result = all_pairs(Subject(toy, [world, lonely]))
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
    result = all_pairs(Subject(space("satellite", "audio"), [data]), by=["source"])
    assert result.get("audio", "satellite", "source=x").scores.recall[1] == 1
    assert [missing.subset for missing in result.unmeasured] == ["source=y"] * 2 + ["source=z"] * 2
    assert result.unmeasured[0].reason.startswith("there are no satellite items to rank")


def test_limited_to_some_modalities_the_anchor_comes_first(space, world):
    result = all_pairs(Subject(space("satellite", "text", "location"), [world]), modalities=["location", "satellite"])
    assert result.modalities == ("satellite", "location")
    assert len(result.results) == 2


def test_group_and_listed_rules(space, items, dataset):
    grouped = dataset(
        items("satellite", ["a1", "a2", "a3"], group=["sea", "sea", "town"]),
        items("audio", ["b1", "b2"], group=["town", "sea"]),
        origin="scene class",
    )
    result = all_pairs(Subject(space("satellite", "audio"), [grouped])).get("audio", "satellite")
    assert (result.protocol.rule, result.protocol.origin) == ("group", "scene class")
    assert result.chance.recall[1] == pytest.approx((1 / 3 + 2 / 3) / 2)
    edges = np.array([["a1", "b1"], ["a1", "b2"], ["a3", "b2"]])
    listed = dataset(*grouped.tables.values(), listed={("satellite", "audio"): edges})
    result = all_pairs(Subject(space("satellite", "audio"), [listed])).get("audio", "satellite")
    assert (result.protocol.rule, result.protocol.queries, result.protocol.gallery_size) == ("listed", 2, 2)


def test_json_round_trip_and_repeatability(space, world):
    toy = space("satellite", "text", "location", trained=["text"])
    toy.towers["ground"] = None
    result = all_pairs(Subject(toy, [world]), by=["source"], ks=(1, 10), ties="pessimistic")
    assert len(result.unmeasured) == 6
    again = AllPairs.from_dict(json.loads(json.dumps(result.as_dict())))
    assert again == result
    assert again.as_dict() == all_pairs(Subject(toy, [world]), by=["source"], ks=(1, 10), ties="pessimistic").as_dict()
    with pytest.raises(DataError, match="format 99; this geobind reads 2"):
        AllPairs.from_dict({**result.as_dict(), "format": 99})


def test_refusals(space, world):
    toy = space("satellite", "text", "location")
    with pytest.raises(GeobindError, match="unknown split 'tets'. Did you mean 'test'"):
        Subject(toy, [world], split="tets")
    with pytest.raises(SpaceError, match="'texts' is not bound in space 'toy'. Did you mean 'text'"):
        all_pairs(Subject(toy, [world]), modalities=["satellite", "texts"])
    with pytest.raises(GeobindError, match="needs two modalities; there is text"):
        all_pairs(Subject(toy, [world]), modalities=["text"])
    with pytest.raises(DataError, match="no dataset has the tag column 'sources'. Did you mean 'source'"):
        all_pairs(Subject(toy, [world]), by=["sources"])
    with pytest.raises(GeobindError, match="unknown tie rule 'max'"):
        all_pairs(Subject(toy, [world]), ties="max")
    with pytest.raises(DataError, match="none of the 3 pairs .* the first because: no pairs of satellite and text"):
        all_pairs(Subject(toy, [world], split="train"))


def test_blocks_are_parts_of_places_with_coordinates(space, items, dataset):
    lat_lon = np.array([[41.0, 2.0], [42.0, 3.0], [-5.0, 30.0], [np.nan, np.nan]])
    tables = [items(name, range(4), lat_lon=lat_lon) for name in ("satellite", "audio")]
    result = all_pairs(Subject(space("satellite", "audio"), [dataset(*tables)]), by=["block"])
    sizes = {r.protocol.subset: r.protocol.queries for r in result.results}
    assert sizes == {"": 4, "block=-1:3": 1, "block=4:0": 2}


def test_positives_within_a_radius(space, items, dataset):
    lat_lon = np.array([[0.0, 0.0], [0.0, 0.01], [0.0, 5.0]])
    tables = [items(name, range(3), lat_lon=lat_lon) for name in ("satellite", "audio")]
    subject = Subject(space("satellite", "audio"), [dataset(*tables)], radius_km=2)
    result = all_pairs(subject).get("satellite", "audio")
    assert (result.protocol.rule, result.protocol.radius_km) == ("radius", 2)
    assert result.chance.recall[1] == pytest.approx((2 / 3 + 2 / 3 + 1 / 3) / 3)
    with pytest.raises(GeobindError, match="radius of 0 km holds nothing"):
        Subject(space("satellite"), [dataset(*tables)], radius_km=0)


def test_places_with_coordinates_have_distances(space, items, dataset):
    lat_lon = np.stack([np.zeros(30), np.arange(30) * 0.5], axis=1)
    data = dataset(*(items(name, range(30), lat_lon=lat_lon) for name in ("satellite", "audio")))
    result = all_pairs(Subject(space("satellite", "audio", noise={"satellite": 0, "audio": 0}), [data]))
    there = result.get("satellite", "audio")
    assert there.scores.distance_km == {1: 0, 5: 0, 10: 0}
    assert there.chance.distance_km[1] > there.chance.distance_km[10] > 0


def test_a_broken_tower_is_told_and_not_left_out(space, items, dataset):
    toy = space("satellite", "audio")
    toy._vector = lambda modality, key: np.full(16, np.nan if modality == "audio" else 1.0)
    with pytest.raises(DataError, match="5 of 5 audio embeddings are not finite"):
        all_pairs(Subject(toy, [dataset(items("satellite", range(5)), items("audio", range(5)))]))


def test_memory_gives_the_same_and_sees_every_change(space, world, tmp_path, monkeypatch):
    from geobind.evaluate import retrieval

    counted = []
    rank = retrieval.rank_both
    monkeypatch.setattr(retrieval, "rank_both", lambda *a, **k: counted.append(1) or rank(*a, **k))
    memory = Memory(tmp_path)

    def run(noise=0.5, **options):
        toy = space("satellite", "text", "location", noise={"text": noise})
        return all_pairs(Subject(toy, [world]), memory=memory, **options)

    first = run()
    assert len(counted) == 3
    again = run()
    assert len(counted) == 3
    assert again == first
    assert all(np.array_equal(again.rankings[name].rank, first.rankings[name].rank) for name in first.rankings)
    assert run(ks=(1, 2)).ks == (1, 2)
    assert len(counted) == 6
    run(noise=0.6)  # text has another embedding: its two pairs are ranked anew
    assert len(counted) == 8
    broken = sorted(tmp_path.glob("*.npz"))[0]
    broken.write_bytes(b"PK torn")
    run()
    run(ks=(1, 2))
    run(noise=0.6)
    assert len(counted) == 9


def test_intervals_hold_the_figures(space, world):
    result = all_pairs(Subject(space("satellite", "text", "location", noise={"text": 2.0}), [world]))
    for pair in result.results:
        figures = pair.scores.named()
        assert pair.intervals.keys() == figures.keys()
        for name, (low, high) in pair.intervals.items():
            assert low <= figures[name] <= high
    measures = {(m.of, m.metric): m for m in result.measures()}
    one = measures["text → satellite", "R@10"]
    assert (one.value, (one.low, one.high)) == (
        result.get("text", "satellite").scores.recall[10],
        result.get("text", "satellite").intervals["R@10"],
    )
    assert not measures["text → satellite", "median rank"].higher_is_better
    assert one.protocol["split_hash"]

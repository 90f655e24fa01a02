"""``--retention`` on the toy recipe."""

from __future__ import annotations

import hashlib
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import geobind
from geobind.errors import DataError, RecipeError, SpaceError
from geobind.studies.changes import changes, largest
from geobind.studies.retention import retention
from geobind.studies.work import bind_into, evaluate_space, space_in


def again(recipe):
    """A third stage: the modality b once more, with the anchor's head."""
    recipe["stages"].append({**recipe["stages"][0], "name": "again"})


@pytest.fixture
def bound(plan, tmp_path):
    """The plan with a third stage, and a space of its first two."""
    toy = plan(again)
    bind_into(toy, toy.stages[:2], tmp_path / "bound")
    return toy, space_in(tmp_path / "bound")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_frozen_pairs_are_bit_identical(bound, tmp_path):
    toy, space = bound
    before = contents(space)
    found = retention(toy, space, "c", workdir=tmp_path)
    assert found.answer[0].startswith("Everything: after stage 'c' the embeddings of toy_a and toy_b are bit-identical")
    towers = found.details["towers"]
    items = toy.stages[0].dataset.build()
    for name in ("toy_a", "toy_b"):
        vectors = geobind.load(space).encode(name, items.items(name, "test"))
        own = geobind.load(space_in(tmp_path / "retention")).encode(name, items.items(name, "test"))
        assert np.array_equal(vectors, own)
        assert towers[name]["fate"] == "identical" and towers[name]["items"] == 40
        assert towers[name]["sha256 before"] == towers[name]["sha256 after"]
        assert towers[name]["fingerprint before"] == towers[name]["fingerprint after"]
    assert towers.keys() == {"toy_a", "toy_b"}
    assert all(m.value == m.low == m.high == 0 for m in found.measures) and len(found.measures) == 4
    assert [row[4:6] for row in found.tables[1].rows] == [("0", "exactly 0")] * 2
    assert "It brought 4 new directions; toy_a → toy_c reaches" in found.answer[1]
    assert contents(space) == before, "the space itself is left alone"
    json.dumps(found.as_dict(), allow_nan=False)


def test_the_hash_is_that_of_the_embeddings(bound):
    toy, space = bound
    found = retention(toy, space, "c")
    subject = evaluate_space(space, toy, split="test").ranked["toy_b", "toy_a"].queries
    sha = hashlib.sha256(subject.vectors.tobytes()).hexdigest()
    assert found.details["towers"]["toy_b"]["sha256 before"] == sha


def test_an_anchor_that_learns_again(bound):
    toy, space = bound
    found = retention(toy, space, "again")
    fates = {name: tower["fate"] for name, tower in found.details["towers"].items()}
    assert fates == {"toy_a": "changed", "toy_b": "changed", "toy_c": "stale"}
    assert found.answer[0].startswith("Not everything")
    assert "4 are lost" in found.answer[0] and "toy_c are stale" in found.answer[0]
    assert found.protocol["anchor before"] != found.protocol["anchor after"]
    rows = {row[0]: row for row in found.tables[1].rows}
    assert rows["toy_a → toy_c"][3:6] == ("–", "lost", "–")
    pair = found.details["pairs"]["toy_a → toy_b"]
    low, high = pair["intervals"]["R@10"]
    assert low <= pair["differences"]["R@10"] <= high and low < high
    assert "median rank" not in pair["intervals"]
    image = Image.open(io.BytesIO(found.pictures[0].png))
    assert image.size[0] > 400 and "0 are identical, 2 changed, 4 lost" in found.pictures[0].alt


def test_two_folders_are_compared_without_training(bound, tmp_path):
    toy, space = bound
    shutil.copytree(space, tmp_path / "old" / "space")
    same = retention(toy, space, "c", before=space_in(tmp_path / "old"))
    assert same.answer[0].startswith("Everything") and len(same.answer) == 1
    bind_into(toy, [toy.stage("again")], tmp_path / "old")
    bind_into(toy, [toy.stage("c")], tmp_path / "old")
    other = retention(toy, space_in(tmp_path / "old"), "again", before=space)
    assert {tower["fate"] for tower in other.details["towers"].values()} == {"changed"}
    assert len(other.measures) == 12 and "two space folders" in other.protocol["before and after"]


def test_differences_and_intervals_are_paired(bound, tmp_path):
    toy, space = bound
    shutil.copytree(space, tmp_path / "old" / "space")
    bind_into(toy, [toy.stage("again")], tmp_path / "old")
    was, now = (evaluate_space(path, toy, split="test") for path in (space, space_in(tmp_path / "old")))
    found = {change.name: change for change in changes(was, now)}
    change = found["toy_a → toy_b"]
    hits = [(result.rankings["toy_a", "toy_b"].rank <= 10).astype(float) for result in (was, now)]
    assert change.differences["R@10"] == pytest.approx((hits[1] - hits[0]).mean())
    assert largest(list(found.values()), "R@10") == max(
        abs(found[name].differences["R@10"]) for name in ("toy_a → toy_b", "toy_b → toy_a")
    )
    assert all(change.identical and not change.intervals for change in changes(was, was))
    with pytest.raises(DataError, match="cannot be compared"):
        changes(was, evaluate_space(space, toy, split="val"))


def test_where_nothing_stands_before(bound, plan, tmp_path):
    toy, space = bound
    with pytest.raises(SpaceError, match="'b' is the first to train the anchor.*Name a later one: c, again"):
        retention(toy, space, "b")
    with pytest.raises(RecipeError, match="no stage 'd'"):
        retention(toy, space, "d")
    bind_into(toy, toy.stages[:1], tmp_path / "small")
    alone = plan(lambda recipe: recipe["stages"][0].update(train="modality"))
    with pytest.raises(SpaceError, match="without toy_b the space holds toy_a alone"):
        retention(alone, space_in(tmp_path / "small"), "b")
    with pytest.raises(SpaceError, match="there is no space"):
        retention(toy, tmp_path / "nowhere", "c")


def test_a_shared_tower_is_not_there_as_it_was_before(plan, tmp_path):
    def share(recipe):
        recipe["defaults"] |= {"tower": "both", "encoder": {"type": "toy_both"}, "train": "modality"}
        for stage in recipe["stages"]:
            del stage["encoder"], stage["train"]

    toy = plan(share)
    bind_into(toy, [toy.stage("b")], tmp_path)
    assert retention(toy, space_in(tmp_path), "c").details["towers"]["toy_b"]["fate"] == "changed"
    bind_into(toy, [toy.stage("c")], tmp_path)
    with pytest.raises(SpaceError, match="'c' has trained tower 'both', which is that of toy_b too.*--before"):
        retention(toy, space_in(tmp_path), "c")

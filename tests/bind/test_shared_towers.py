"""A tower that several modalities share: one file, trained by each of their stages, never lost for the others."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import geobind
from geobind.bind.binder import bind, choose
from geobind.cli import app
from geobind.errors import RecipeError
from geobind.plan import load_plan
from geobind.plugins import get_plugins
from geobind.space.records import read_record

STILL = "{epochs: 1, batch_size: 32, lr: 1.0e-12, weight_decay: 0, precision: fp32}"
"""Optimiser settings that leave parameters where they are, as far as float32 tells."""


@pytest.fixture
def recipe(toy_recipe, write_recipe):
    """The path of a recipe whose two modalities share tower ``both``; the anchor never learns."""
    toy_recipe["defaults"] |= {"tower": "both", "encoder": {"type": "toy_both", "noise": 0.1}, "train": "modality"}
    for stage in toy_recipe["stages"]:
        del stage["encoder"], stage["train"]
    return write_recipe(toy_recipe)


@pytest.fixture
def plan_of(recipe):
    return lambda *sets: load_plan(str(recipe), get_plugins(), list(sets))


@pytest.fixture
def bound(plan_of, tmp_path):
    """A space whose modalities share a tower, and its plan."""
    plan = plan_of()
    bind(plan, plan.stages, space=tmp_path / "space", runs=tmp_path / "runs")
    return plan, tmp_path / "space"


def hashes(space):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (space / "towers").iterdir()}


def assert_same_parameters(a, b):
    for wanted, found in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-7)


def test_two_stages_train_one_tower(bound):
    _, path = bound
    space = geobind.load(path)
    b, c = (space.towers[name] for name in ("toy_b", "toy_c"))
    for key in ("tower", "file", "sha256", "fingerprint", "stages", "bound_to", "lineage"):
        assert getattr(b, key) == getattr(c, key), key
    assert (b.tower, b.stages) == ("both", ("b", "c"))
    assert len(b.lineage) == 3  # drawn, after b, after c
    assert (b.bound.stage, c.bound.stage) == ("b", "c")
    assert sorted(name.split("-")[0] for name in hashes(path)) == ["both", "toy_a"]
    assert space.stale == ()
    assert space.trained_pairs == {frozenset(("toy_a", "toy_b")), frozenset(("toy_a", "toy_c"))}
    assert "shared tower `both`" in (path / "README.md").read_text()


def test_both_modalities_are_embedded_by_one_tower_in_memory(bound):
    _, path = bound
    items = list(np.random.default_rng(0).normal(size=(5, 6)))
    space = geobind.load(path)
    assert space.tower("toy_b") is space.tower("toy_c") is not space.tower("toy_a")
    assert np.array_equal(space.encode("toy_b", items), space.encode("toy_c", items))
    assert np.array_equal(space.encode("toy_b", items), geobind.load(path).encode("toy_c", items))


def test_the_second_stage_goes_on_from_the_first(plan_of, tmp_path):
    plan = plan_of(f"stages.c.optim={STILL}")
    bind(plan, choose(plan, None, stage="b"), space=tmp_path / "b", runs=tmp_path / "r")
    bind(plan, plan.stages, space=tmp_path / "both", runs=tmp_path / "r")
    assert_same_parameters(geobind.load(tmp_path / "b").tower("toy_b"), geobind.load(tmp_path / "both").tower("toy_b"))


def test_a_modality_bound_later_goes_on_from_the_tower_in_the_space(plan_of, tmp_path):
    """This is how a new sensor comes to a trained tower, and again to one that it is already in."""
    plan, space = plan_of(f"stages.c.optim={STILL}"), tmp_path / "s"
    bind(plan, choose(plan, None, stage="b"), space=space, runs=tmp_path / "r")
    before, record = geobind.load(space).tower("toy_b"), read_record(space)
    for times in (1, 2):
        bind(plan, choose(plan, record, modality="toy_c"), space=space, runs=tmp_path / "r")
        after = geobind.load(space)
        assert_same_parameters(before, after.tower("toy_c"))
        b, c = (after.towers[name] for name in ("toy_b", "toy_c"))
        assert b.sha256 == c.sha256 != record.towers["toy_b"].sha256  # its batch norm has seen the new items
        assert b.stages == c.stages == ("b", *["c"] * times)
        assert b.bound == record.towers["toy_b"].bound and after.fingerprint == record.fingerprint
    assert len(hashes(space)) == 2


def test_a_tower_drawn_anew_leaves_the_others_what_they_have(bound, plan_of, tmp_path, capsys):
    _, path = bound
    items = list(np.random.default_rng(0).normal(size=(5, 6)))
    before, embedded = read_record(path).towers["toy_c"], geobind.load(path).encode("toy_c", items)
    plan = plan_of("stages.b.seed=5")
    bind(plan, choose(plan, read_record(path), modality="toy_b"), space=path, runs=tmp_path / "r")
    assert "tower 'both' is drawn anew by its first stage, 'b'; toy_c keep the weights" in capsys.readouterr().err
    space = geobind.load(path)
    assert np.array_equal(space.encode("toy_c", items), embedded)
    assert space.towers["toy_c"] == before.model_copy(update={"tower": ""})
    assert (space.towers["toy_b"].tower, space.towers["toy_b"].stages) == ("both", ("b",))
    assert space.tower("toy_b") is not space.tower("toy_c") and len(hashes(path)) == 3
    # Bound again, it shares the tower as it is now.
    bind(plan, choose(plan, read_record(path), modality="toy_c"), space=path, runs=tmp_path / "r")
    b, c = (read_record(path).towers[name] for name in ("toy_b", "toy_c"))
    assert (b.file, b.stages) == (c.file, c.stages) and b.stages == ("b", "c") and len(hashes(path)) == 2


def test_the_whole_recipe_again_gives_the_same_bytes(bound, tmp_path, capsys):
    plan, path = bound
    before = hashes(path)
    bind(plan, plan.stages, space=path, runs=tmp_path / "r")
    assert hashes(path) == before
    assert {record.tower for record in read_record(path).towers.values()} == {"", "both"}
    assert "drawn anew" not in capsys.readouterr().err


def test_a_new_anchor_makes_every_modality_of_the_tower_stale(bound, plan_of, tmp_path):
    """Until its own stage is run again: the tower has met the new anchor with other modalities alone."""
    _, path = bound
    plan = plan_of("stages.c.train={anchor: head, modality: full}")
    bind(plan, choose(plan, read_record(path), stage="c"), space=path, runs=tmp_path / "r")
    space = geobind.load(path)
    assert space.stale == ("toy_b",) and space.towers["toy_b"].file == space.towers["toy_c"].file


@pytest.mark.parametrize("steps", [2, 13])
def test_resumed_equals_uninterrupted(bound, tmp_path, stopped_after, steps):
    """In the first stage of the tower, or in the second one, which takes it from the space."""
    plan, path = bound
    with stopped_after(steps):
        bind(plan, plan.stages, space=tmp_path / "resumed", runs=tmp_path / "r2")
    assert (tmp_path / "resumed").exists() == (steps > 12)
    bind(plan, plan.stages, space=tmp_path / "resumed", runs=tmp_path / "r2", resume=True)
    assert hashes(tmp_path / "resumed") == hashes(path)
    assert read_record(tmp_path / "resumed").towers == read_record(path).towers


@pytest.mark.parametrize("training", ["staged", "joint", "interleaved"])
def test_adapters_and_averages_leave_a_plain_tower(plan_of, tmp_path, training):
    plan = plan_of(f"training={training}", "defaults.train={modality: lora}", "defaults.optim.ema=0.9")
    bind(plan, plan.stages, space=tmp_path / "s", runs=tmp_path / "r")
    space = geobind.load(tmp_path / "s")
    tower = space.tower("toy_c")
    assert tower is space.tower("toy_b") and space.towers["toy_b"].stages == ("b", "c")
    assert tower.encoder.state_dict().keys() == plan.stages[0].encoder.build().state_dict().keys()
    assert np.isfinite(space.encode("toy_c", [np.ones(6)])).all()


def test_a_modality_enters_a_shared_tower_without_training_it(plan_of, tmp_path):
    plan, space = plan_of("stages.c.train=none"), tmp_path / "s"
    bind(plan, plan.stages, space=space, runs=tmp_path / "r")
    b, c = (read_record(space).towers[name] for name in ("toy_b", "toy_c"))
    assert b.file == c.file and b.stages == c.stages == ("b",)
    assert geobind.load(space).trained_pairs == {frozenset(("toy_a", "toy_b"))}


def test_stages_list_tells_the_tower(bound, recipe):
    _, path = bound
    listed = CliRunner().invoke(app, ["stages", "list", "--recipe", str(recipe), "--space", str(path), "--json"])
    rows = json.loads(listed.stdout)["stages"]
    assert [(row["stage"], row["tower"], row["bound"]) for row in rows] == [("b", "both", "yes"), ("c", "both", "yes")]
    table = CliRunner().invoke(app, ["stages", "list", "--recipe", str(recipe), "--space", str(path)]).stdout
    assert "modality  tower  trains" in table
    assert "tower" not in CliRunner().invoke(app, ["stages", "list", "--recipe", "mini"]).stdout


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"encoder": {"type": "toy_both", "width": 20}}, r"one encoder, .* width = 16, noise = 0.1 and stage 'c' says"),
        ({"encoder": {"type": "toy_deep"}}, "one encoder, but stage 'b' says type = 'toy_both'"),
        ({"head": {"type": "linear"}}, "one head, but stage 'b' says type = 'mlp'"),
        ({"tower": "toy_c"}, "tower 'toy_c' has the name of a modality"),
        ({"tower": "toy_a"}, "tower 'toy_a' has the name of a modality"),
        ({"modality": "toy_b", "tower": "c"}, "binds toy_b by tower 'c', stage 'b' by tower 'both'"),
        ({"modality": "toy_b", "tower": None}, "binds toy_b by tower 'toy_b', stage 'b' by tower 'both'"),
    ],
)
def test_mistakes_are_told_with_their_line(toy_recipe, recipe, write_recipe, change, match):
    toy_recipe["stages"][1] |= change
    path = write_recipe(toy_recipe)
    key = list(change)[-1]
    line = [i for i, line in enumerate(path.read_text().splitlines(), 1) if line.strip().startswith(f"{key}:")][-1]
    with pytest.raises(RecipeError, match=match) as caught:
        load_plan(str(path), get_plugins())
    assert caught.value.where == f"{path}:{line}"


def test_encoders_of_one_name_that_are_two_cannot_be_shared(toy_recipe, recipe, write_recipe):
    toy_recipe["defaults"]["encoder"] = {"type": "toy"}
    with pytest.raises(RecipeError, match="'toy' of toy_c is another one than that of toy_b.*serve both: toy_both"):
        load_plan(str(write_recipe(toy_recipe)), get_plugins())


def test_a_shared_tower_and_one_of_a_modality_of_that_name_do_not_meet(bound, toy_recipe, write_recipe, tmp_path):
    """Another recipe calls a shared tower as a modality of this space is called."""
    _, path = bound
    own = [{**toy_recipe["stages"][1], "tower": None}]
    plan = load_plan(str(write_recipe({**toy_recipe, "stages": own}, "own")), get_plugins())
    bind(plan, plan.stages, space=path, runs=tmp_path / "r")  # toy_c has a tower of its own now
    shared = [{**toy_recipe["stages"][0], "tower": "toy_c"}]
    plan = load_plan(str(write_recipe({**toy_recipe, "stages": shared}, "shared")), get_plugins())
    with pytest.raises(RecipeError, match="a tower called 'toy_c'; the one of that name .* toy_c, and is not shared"):
        bind(plan, plan.stages, space=path, runs=tmp_path / "r")


def test_a_recipe_whose_tower_is_another_one_cannot_go_on(bound, plan_of, tmp_path):
    _, path = bound
    before = hashes(path)
    for change, match in (
        ("encoder={type: toy_both, width: 20, noise: 0.1}", r"encoder has width = 20 in the recipe and width = 16 in"),
        ("head={hidden: 20, dropout: 0.1}", r"whose head has hidden = 20 in the recipe and hidden = 16"),
    ):
        plan = plan_of(f"stages.b.{change}", f"stages.c.{change}")
        with pytest.raises(RecipeError, match=match):
            bind(plan, choose(plan, read_record(path), modality="toy_c"), space=path, runs=tmp_path / "r")
    assert hashes(path) == before

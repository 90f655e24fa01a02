"""Binding a small recipe end to end: what is written, what is left alone, what resumes."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

import geobind
from geobind.bind.binder import bind, choose
from geobind.bind.runs.run import Run
from geobind.errors import DataError, RecipeError, SpaceError
from geobind.plan import load_plan
from geobind.plugins import get_plugins
from geobind.space.records import read_record


@pytest.fixture
def bound(toy_recipe, write_recipe, tmp_path):
    """A bound toy space and its plan."""
    plan = load_plan(str(write_recipe(toy_recipe)), get_plugins())
    bind(plan, plan.stages, space=tmp_path / "space", runs=tmp_path / "runs")
    return plan, tmp_path / "space"


def hashes(space):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (space / "towers").iterdir()}


def test_bind_makes_embeddings_of_unit_norm_that_retrieve(bound):
    plan, path = bound
    space = geobind.load(path)
    items = plan.stages[0].dataset.build().items("toy_a", "train")
    others = plan.stages[0].dataset.build().items("toy_b", "train")
    a, b = space.encode("toy_a", items), space.encode("toy_b", others)
    assert a.dtype == np.float32 and a.shape == (140, 8)
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1, atol=1e-6)
    ranks = (space.similarity(a, b) > np.diag(space.similarity(a, b))[:, None]).sum(axis=1)
    assert np.median(ranks) < 25  # of 140; chance is 70


def test_saved_equals_loaded_alone_equals_batched(bound):
    plan, path = bound
    items = plan.stages[0].dataset.build().items("toy_c", "test")
    whole = geobind.load(path).encode("toy_c", items)
    again = geobind.load(path).encode("toy_c", items)
    single = np.concatenate([geobind.load(path).encode("toy_c", [items[i]]) for i in range(5)])
    assert np.array_equal(whole, again)
    np.testing.assert_allclose(single, whole[:5], atol=1e-5)


def test_rebinding_one_modality_leaves_every_other_file(bound, tmp_path):
    plan, path = bound
    before = hashes(path)
    stages = choose(plan, read_record(path), modality="toy_c")
    bind(load_plan(plan.source, get_plugins(), ["stages.c.seed=5"]), stages, space=path, runs=tmp_path / "runs")
    after = hashes(path)
    assert {n for n in before if n.startswith(("toy_a", "toy_b"))} <= set(after)
    assert all(after[n] == before[n] for n in before if n.startswith(("toy_a", "toy_b")))


def test_a_new_anchor_makes_the_others_stale_and_refuses_to_mix(bound, tmp_path):
    plan, path = bound
    plan = load_plan(plan.source, get_plugins(), ["stages.b.optim.epochs=1"])
    bind(plan, choose(plan, read_record(path), stage="b"), space=path, runs=tmp_path / "runs")
    space = geobind.load(path)
    assert space.stale == ("toy_c",)
    with pytest.raises(SpaceError, match="cannot be compared"):
        space.encode("toy_c", [np.zeros(6)])
    bind(plan, choose(plan, read_record(path), stale=True), space=path, runs=tmp_path / "runs")
    assert geobind.load(path).stale == ()


def test_same_seed_gives_the_same_bytes(bound, toy_recipe, write_recipe, tmp_path):
    plan, path = bound
    bind(plan, plan.stages, space=tmp_path / "again", runs=tmp_path / "runs")
    assert hashes(path) == hashes(tmp_path / "again")


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_resumed_equals_uninterrupted(bound, tmp_path, stopped_after, steps):
    """Stopping inside an epoch, at its end, or in another epoch changes no bit of the result."""
    plan, path = bound
    resumed = tmp_path / "resumed"
    with stopped_after(steps):
        bind(plan, plan.stages, space=resumed, runs=tmp_path / "runs2")
    # On another number of workers, and with checkpoints at other times.
    plan = load_plan(plan.source, get_plugins(), ["stages.c.workers=2", "defaults.checkpoints={every_steps: 5}"])
    run = bind(plan, plan.stages, space=resumed, runs=tmp_path / "runs2", resume=True)
    assert hashes(resumed) == hashes(path)
    assert run.state["status"] == "finished"


def test_resume_refuses_another_recipe(bound, tmp_path):
    plan, path = bound
    Run.start(tmp_path / "r", recipe=plan.name, resolved={"other": 1}, space=path, stages=["b", "c"])
    with pytest.raises(RecipeError, match="not the one"):
        bind(plan, plan.stages, space=path, runs=tmp_path / "r", resume=True)
    Run.start(tmp_path / "s", recipe=plan.name, resolved=plan.resolved(), space=path, stages=["b", "c"])
    other = load_plan(plan.source, get_plugins(), ["stages.c.optim.lr=0.5"])
    with pytest.raises(RecipeError, match=r"stages.c.optim.lr was 0.01, now 0.5"):
        bind(other, other.stages, space=path, runs=tmp_path / "s", resume=True)


def test_run_folder_says_what_was_done(bound, tmp_path):
    (run,) = (tmp_path / "runs").iterdir()
    state = json.loads((run / "run.json").read_text())
    assert state["status"] == "finished" and state["done"] == ["b", "c"]
    lines = [json.loads(line) for line in (run / "b" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[-1]["loss"] < lines[0]["loss"] and "val_loss" in lines[0] and "temperature" in lines[0]
    assert not list(run.rglob("*.pt"))
    assert "toy_b" in (run / "recipe.yaml").read_text()


def test_a_stage_whose_anchor_is_not_ready_names_the_one_before(bound):
    plan = bound[0]
    with pytest.raises(SpaceError, match="stage 'b' comes first"):
        choose(plan, None, modality="toy_c")
    assert [s.config.name for s in choose(plan, None, modality="toy_c", with_required=True)] == ["b", "c"]


def test_a_frozen_random_tower_is_refused(toy_recipe, write_recipe, tmp_path):
    toy_recipe["stages"][0]["train"] = "anchor"
    plan = load_plan(str(write_recipe(toy_recipe)), get_plugins())
    with pytest.raises(RecipeError, match="weights are random"):
        bind(plan, plan.stages, space=tmp_path / "s", runs=tmp_path / "r")
    assert not (tmp_path / "s").exists() and not (tmp_path / "r").exists()


def test_a_bad_item_leaves_the_old_space(bound, tmp_path):
    plan, path = bound
    before = hashes(path)
    broken = load_plan(plan.source, get_plugins(), ["defaults.dataset.bad=3", "stages.b.max_unreadable=0"])
    with pytest.raises(DataError, match="row 3 is bad"):
        bind(broken, broken.stages, space=path, runs=tmp_path / "runs")
    assert hashes(path) == before


def test_pretrained_frozen_tower_enters_without_training(toy_recipe, write_recipe, tmp_path):
    encoder = {"type": "toy", "pretrained": True, "width": 8}
    toy_recipe["stages"].append(
        {"name": "as-is", "modality": "toy_c", "train": "none", "encoder": encoder, "head": {"type": "identity"}}
    )
    del toy_recipe["stages"][1]
    plan = load_plan(str(write_recipe(toy_recipe)), get_plugins())
    bind(plan, plan.stages, space=tmp_path / "s", runs=tmp_path / "r")
    space = geobind.load(tmp_path / "s")
    assert frozenset(("toy_a", "toy_c")) not in space.trained_pairs
    assert frozenset(("toy_a", "toy_b")) in space.trained_pairs
    assert space.towers["toy_c"].weights == "made up"


def test_workers_change_nothing(toy_recipe, write_recipe, tmp_path):
    for workers in (0, 2):
        plan = load_plan(str(write_recipe(toy_recipe)), get_plugins(), [f"stages.c.workers={workers}"])
        bind(plan, plan.stages, space=tmp_path / f"w{workers}", runs=tmp_path / "r")
    assert hashes(tmp_path / "w0") == hashes(tmp_path / "w2")


def test_frozen_parts_do_not_move(bound):
    plan, path = bound
    fresh = plan.anchor.build()
    torch.manual_seed(0)
    saved = geobind.load(path).tower("toy_a").encoder
    assert saved.state_dict().keys() == fresh.state_dict().keys()
    assert int(saved.net[1].num_batches_tracked) == 0  # batch norm of a frozen encoder saw nothing
    assert int(geobind.load(path).tower("toy_c").encoder.net[1].num_batches_tracked) == 12


@pytest.mark.parametrize(
    ("change", "modality", "match"),
    [
        ("space.dim=9", None, "says dimensions 9, the space in this folder has 8"),
        ("anchor.encoder.width=20", "toy_c", "says anchor encoder .*'width': 20"),
    ],
)
def test_a_recipe_of_another_space_is_refused(bound, tmp_path, change, modality, match):
    plan, path = bound
    before = hashes(path)
    other = load_plan(plan.source, get_plugins(), [change])
    with pytest.raises(RecipeError, match=match):
        bind(other, choose(other, read_record(path), modality=modality), space=path, runs=tmp_path / "runs")
    assert hashes(path) == before


def test_a_loss_that_is_not_finite_is_told(bound, tmp_path, monkeypatch):
    plan, path = bound
    from geobind.bind.losses import InfoNCE

    monkeypatch.setattr(InfoNCE, "forward", lambda self, a, b, positives: (a * float("nan")).sum())
    before = hashes(path)
    with pytest.raises(geobind.GeobindError, match="the loss is nan .stage 'b', epoch 1, step 0.*optim.lr"):
        bind(plan, plan.stages, space=path, runs=tmp_path / "runs")
    assert hashes(path) == before


def test_cached_equals_uncached(bound, tmp_path):
    plan, path = bound  # its features are in the cache by now
    bind(plan, plan.stages, space=tmp_path / "again", runs=tmp_path / "runs")
    bind(plan, plan.stages, space=tmp_path / "fresh", runs=tmp_path / "runs", keep_features=False)
    assert hashes(path) == hashes(tmp_path / "again") == hashes(tmp_path / "fresh")


@pytest.mark.parametrize("learn", ["full", "last_1", "lora"])
def test_every_way_to_learn_resumes_and_leaves_a_plain_tower(learn, toy_recipe, write_recipe, tmp_path):
    toy_recipe["stages"][1] |= {"train": {"modality": learn}, "encoder": {"type": "toy_deep", "noise": 0.1}}
    toy_recipe["stages"][1]["optim"] = {**toy_recipe["defaults"]["optim"], "gradient_checkpointing": True, "ema": 0.9}
    plan = load_plan(str(write_recipe(toy_recipe)), get_plugins())
    bind(plan, plan.stages, space=tmp_path / "s", runs=tmp_path / "r")
    space = geobind.load(tmp_path / "s")
    fresh = plan.stages[1].encoder.build().state_dict()
    assert space.tower("toy_c").encoder.state_dict().keys() == fresh.keys()
    items = plan.stages[0].dataset.build().items("toy_c", "val")
    assert np.isfinite(space.encode("toy_c", items)).all()


def test_an_unknown_tracker_is_told_before_anything_is_begun(bound, tmp_path):
    plan, _ = bound
    with pytest.raises(geobind.GeobindError, match="tensorbord.*tensorboard"):
        bind(plan, plan.stages, space=tmp_path / "s", runs=tmp_path / "none", trackers=["tensorbord"])
    assert not (tmp_path / "none").exists()

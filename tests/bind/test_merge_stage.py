"""``merge:`` of a stage: the ends to the bit, what lies between by hand, resuming, and what is refused."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import geobind
from geobind.bind import stage as stage_module
from geobind.bind.binder import bind
from geobind.bind.parallel.distributed import World
from geobind.bind.training import StageTraining
from geobind.data.pairs import match
from geobind.errors import RecipeError
from geobind.plan import load_plan
from geobind.plugins import get_plugins
from geobind.ranks import rank_both
from geobind.space.checkpoint import lineage_entry, make_tower
from geobind.space.merge import between
from geobind.space.records import read_record


@pytest.fixture
def recipe(toy_recipe, write_recipe):
    """The plan of a recipe of one stage that learns toy_c, and the anchor's head."""

    def make(*sets, **keys):
        stage = {**toy_recipe["stages"][1], "train": {"anchor": "head", "modality": "full"}}
        stage["encoder"] = {"type": "toy_deep", "noise": 0.1}
        return load_plan(str(write_recipe({**toy_recipe, "stages": [stage], **keys})), get_plugins(), list(sets))

    return make


@pytest.fixture
def run(recipe, tmp_path):
    """Bind it with ``sets`` into a folder of that name; gives the space."""

    def start(name, *sets, **options):
        plan = recipe(*sets)
        bind(plan, plan.stages, space=tmp_path / name, runs=tmp_path / f"{name}-runs", **options)
        return tmp_path / name

    return start


def weights(space, name="toy_c"):
    return load_file(space / read_record(space).towers[name].file)


def hashes(space):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (space / "towers").iterdir()}


def initial(plan, name="toy_c"):
    stage = plan.stages[0]
    encoder, head = (plan.anchor, plan.recipe.anchor.head) if name == "toy_a" else (stage.encoder, stage.config.head)
    return make_tower(encoder, head, plan.recipe.space.dim, stage.config.seed)


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# -- the ends, and between ------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["stage", "epoch"])
def test_alpha_one_is_no_merging_and_alpha_zero_no_learning(run, recipe, schedule):
    plain = run("plain")
    one = run("one", f"defaults.merge={{alpha: 1, schedule: {schedule}, towers: both}}")
    assert hashes(one) == hashes(plain)
    none = run("none", f"defaults.merge={{alpha: 0, schedule: {schedule}, towers: both}}")
    for name in ("toy_a", "toy_c"):
        before = initial(recipe(), name)
        assert equal(weights(none, name), before.state_dict())
        assert read_record(none).towers[name].lineage == (lineage_entry(before),)


@pytest.mark.parametrize(
    "sets",
    [
        ["stages.c.optim={ema: 0.8}"],
        ["stages.c.validation={keep: best}", "stages.c.optim.lr=0.3"],
        ["stages.c.train={modality: lora}"],
        ["stages.c.train={modality: head}"],
        ["stages.c.train={modality: last_1}", "stages.c.optim.micro_batch=8"],
    ],
    ids=["ema", "best", "lora", "head", "last_1"],
)
def test_what_a_stage_ends_with_lies_between(run, recipe, sets):
    """Of what it would end with alone: averaged weights, the best epoch, adapters in the weights."""
    learnt, merged = run("learnt", *sets), run("merged", *sets, "stages.c.merge={alpha: 0.25}")
    before = initial(recipe(*sets)).state_dict()
    found, alone = weights(merged), weights(learnt)
    assert equal(found, {key: between(value, alone[key], 0.25) for key, value in before.items()})
    assert not equal(found, alone) and not equal(found, before)
    assert equal(weights(merged, "toy_a"), weights(learnt, "toy_a")), "the anchor is not merged"
    losses = [read_record(space).towers["toy_c"].bound.loss for space in (learnt, merged)]
    assert losses[0] == losses[1], "what the loss has learnt is kept"


def test_the_anchor_alone_is_merged(run, recipe):
    learnt, merged = run("learnt"), run("merged", "stages.c.merge={alpha: 0.5, towers: anchor}")
    before = initial(recipe(), "toy_a").state_dict()
    alone = weights(learnt, "toy_a")
    assert equal(weights(merged, "toy_a"), {key: between(before[key], alone[key], 0.5) for key in alone})
    assert equal(weights(merged), weights(learnt))


def test_after_one_epoch_both_schedules_are_one(run):
    """And after more they are not: what is merged after an epoch is what the next one goes on from."""
    merge = "stages.c.merge={{alpha: 0.5, towers: both, schedule: {}}}"
    for epochs in (1, 2):
        options = [f"stages.c.optim.epochs={epochs}", "stages.c.optim.ema=0.7"]
        one, other = (run(f"{s}{epochs}", *options, merge.format(s)) for s in ("stage", "epoch"))
        assert (hashes(one) == hashes(other)) == (epochs == 1)


# -- figures --------------------------------------------------------------------------------------


def measured(space, plan):
    opened = geobind.load(space)
    pairs = match(plan.stages[0].dataset.build(), "toy_a", "toy_c", "val")
    both = rank_both(opened.encode("toy_a", pairs.a), opened.encode("toy_c", pairs.b), pairs)
    return np.mean([np.median(side.rank) for side in both])


def test_the_figures_of_a_merged_stage_are_those_of_its_space(run, recipe, tmp_path, capsys):
    space = run("m", "stages.c.merge={alpha: 0.1, towers: both}")
    (folder,) = (tmp_path / "m-runs").iterdir()
    metrics = json.loads((folder / "run.json").read_text())["metrics"]["c"]
    assert metrics["val_median_rank"] == pytest.approx(measured(space, recipe()))
    last = json.loads((folder / "c" / "metrics.jsonl").read_text().splitlines()[-1])
    assert metrics["learnt_val_loss"] == last["val_loss"] != metrics["val_loss"]
    assert f"c, merged with the weights from before: val_loss {metrics['val_loss']:.4g}" in capsys.readouterr().err
    space = run("e", "stages.c.merge={alpha: 0.1, towers: both, schedule: epoch}")
    (folder,) = (tmp_path / "e-runs").iterdir()
    last = json.loads((folder / "c" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["val_median_rank"] == pytest.approx(measured(space, recipe()))


# -- resuming -------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["stage", "epoch"])
@pytest.mark.parametrize("steps", [1, 7, 11])
def test_resumed_equals_uninterrupted(run, stopped_after, schedule, steps):
    """Inside an epoch, in a later one, and after the last step."""
    sets = [f"stages.c.merge={{alpha: 0.4, towers: both, schedule: {schedule}}}", "stages.c.optim.ema=0.9"]
    whole = run("whole", *sets)
    with stopped_after(steps):
        run("halves", *sets)
    assert hashes(run("halves", *sets, resume=True)) == hashes(whole)


def test_a_run_killed_when_the_space_is_written_merges_with_what_was_before(
    recipe, stopped_after, monkeypatch, toy_recipe, tmp_path
):
    """The space then holds the merged weights, and a second stage of the modality begins from the space."""
    once = recipe().recipe.stages[0].model_dump(mode="json")
    stages = [once, {**once, "name": "d", "merge": {"alpha": 0.3, "towers": "both"}}]
    plan = recipe(stages=stages)
    bind(plan, plan.stages, space=tmp_path / "whole", runs=tmp_path / "runs")
    bind(plan, plan.stages[:1], space=tmp_path / "killed", runs=tmp_path / "runs")
    with stopped_after(6):
        bind(plan, plan.stages[1:], space=tmp_path / "killed", runs=tmp_path / "other")
    write = stage_module.save_space

    def killed(*args):
        write(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(stage_module, "save_space", killed)
    with pytest.raises(KeyboardInterrupt):
        bind(plan, plan.stages[1:], space=tmp_path / "killed", runs=tmp_path / "other", resume=True)
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole")
    monkeypatch.setattr(stage_module, "save_space", write)
    bind(plan, plan.stages[1:], space=tmp_path / "killed", runs=tmp_path / "other", resume=True)
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole")


# -- several stages, several processes -------------------------------------------------------------


def test_stages_trained_together_merge_what_they_share_once(toy_recipe, write_recipe, tmp_path):
    toy_recipe["training"] = "joint"
    plans = [
        load_plan(str(write_recipe(toy_recipe)), get_plugins(), sets)
        for sets in ([], ["defaults.merge={alpha: 0.5, towers: both}"], ["stages.b.merge={alpha: 0.5, towers: both}"])
    ]
    for name, plan in zip(("learnt", "merged"), plans, strict=False):
        bind(plan, plan.stages, space=tmp_path / name, runs=tmp_path / "runs")
    before = make_tower(plans[0].anchor, plans[0].recipe.anchor.head, 8, 0).state_dict()
    alone = weights(tmp_path / "learnt", "toy_a")
    assert equal(weights(tmp_path / "merged", "toy_a"), {k: between(before[k], alone[k], 0.5) for k in alone})
    assert not equal(weights(tmp_path / "merged"), weights(tmp_path / "learnt"))
    with pytest.raises(RecipeError, match="'b' and 'c' train one anchor tower together, and merge it in two ways"):
        bind(plans[2], plans[2].stages, space=tmp_path / "no", runs=tmp_path / "runs")


@pytest.mark.parametrize("schedule", ["stage", "epoch"])
def test_a_tower_that_modalities_share_is_merged_once(toy_recipe, write_recipe, tmp_path, schedule):
    toy_recipe |= {"training": "interleaved"}
    shared = {"tower": "both", "encoder": {"type": "toy_both"}, "train": "modality"}
    toy_recipe["stages"] = [{**stage, **shared} for stage in toy_recipe["stages"]]
    toy_recipe["defaults"]["optim"]["epochs"] = 1
    for name, alpha in (("learnt", 1), ("merged", 0.5)):
        sets = [f"defaults.merge={{alpha: {alpha}, schedule: {schedule}}}"]
        plan = load_plan(str(write_recipe(toy_recipe)), get_plugins(), sets)
        bind(plan, plan.stages, space=tmp_path / name, runs=tmp_path / "runs")
    before, alone = initial(plan, "toy_b").state_dict(), weights(tmp_path / "learnt")
    for name in ("toy_b", "toy_c"):
        assert equal(weights(tmp_path / "merged", name), {k: between(before[k], alone[k], 0.5) for k in alone})


def test_what_cannot_be_merged_is_refused(recipe, run, tmp_path):
    lora = "stages.c.train={modality: lora}"
    with pytest.raises(RecipeError, match="lora's adapters enter the weights when the stage ends"):
        run("m", lora, "stages.c.merge={alpha: 0.5, schedule: epoch}")
    plan = recipe("stages.c.merge={alpha: 0.5}", "stages.c.optim.parallel=fsdp")
    towers = initial(plan, "toy_a"), initial(plan)
    loss = plan.stages[0].loss.build()
    with pytest.raises(RecipeError, match="merge and parallel: fsdp do not go together"):
        StageTraining(plan.stages[0].config, towers, loss, None, None, World(0, 2), "cpu", 8)

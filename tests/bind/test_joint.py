"""Joint training: the exact sum of the stages' gradients, one anchor, and a space like any other."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

import geobind
from geobind.bind.binder import bind, choose
from geobind.bind.joint import together
from geobind.bind.parallel.distributed import World
from geobind.bind.runs.run import Run
from geobind.bind.stage import Binding
from geobind.bind.trainer import Trainer
from geobind.bind.training import StageTraining
from geobind.errors import RecipeError, SpaceError
from geobind.features.cache import FeatureCache
from geobind.plan import load_plan
from geobind.plugins import get_plugins
from geobind.studies.work import evaluate_space


@pytest.fixture
def joint(toy_recipe, write_recipe):
    """A plan of the toy recipe, trained jointly; ``sets`` are laid over it."""

    def make(*sets, **keys):
        return load_plan(str(write_recipe({**toy_recipe, "training": "joint", **keys})), get_plugins(), list(sets))

    return make


@pytest.fixture
def strands(tmp_path):
    """The strands of a plan's stages, as the binder makes them, with what they are trained by."""

    def make(plan):
        world = World()
        run = Run.start(tmp_path / "runs", recipe="toy", resolved={}, space=tmp_path / "s", stages=["b", "c"])
        cache = FeatureCache.temporary()
        binding = Binding(plan, tmp_path / "s", fresh_anchor=True, device="cpu", cache=cache, world=world)
        stages = together(plan.stages, world)
        binding.prepare(stages)
        made, precision, anchor = [], None, None
        for stage in stages:
            towers = binding.towers["toy_a"].tower, binding.towers[stage.config.modality].tower
            name = stage.config.name
            training = StageTraining(
                stage.config, towers, stage.loss.build(), cache, run, world, "cpu", 8, anchor=anchor, label=f"{name}/"
            )
            anchor = training.learning[0]
            strand, precision = training.strand(binding.pairs(stage, "train"), None, precision)
            made.append(strand)
        return made, {"precision": precision, "world": world, "device": "cpu", "dim": 8}

    return make


def hashes(space):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (space / "towers").iterdir()}


@pytest.mark.parametrize("anchor", ["head", "full"])
def test_the_anchors_gradient_is_the_sum_of_the_stages_own(joint, strands, anchor):
    """The frozen side of stage c learns too: it is the same tower. Dropout is off, whose draws depend on the place."""
    plan = joint("defaults.head.dropout=0", f"stages.b.train={{anchor: {anchor}, modality: head}}")
    made, options = strands(plan)
    for strand in made:
        for tower in (own.tower for own in strand.learning):
            for module in tower.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
    trainer = Trainer(made, **options)
    drawn = next(trainer._drawn(lambda step, state: None))

    def gradients(some, batches):
        for parameter in trainer.parameters:
            parameter.grad = None
        values = Trainer(some, **options).gradients(batches)
        return values, {
            f"{name}.{key}": p.grad.clone()
            for name, part in trainer.parts.items()
            for key, p in part.named_parameters()
            if p.grad is not None
        }

    values, whole = gradients(made, drawn)
    (own_b,), from_b = gradients(made[:1], drawn[:1])
    (own_c,), from_c = gradients(made[1:], drawn[1:])
    assert values == [own_b, own_c]
    assert any(name.startswith("tower toy_b.") for name in from_b)
    assert not any(name.startswith(("tower toy_c.", "c/")) for name in from_b)
    shared = [name for name in whole if name.startswith("anchor.")]
    assert any("head" in name for name in shared) and (anchor == "head") == all("head" in name for name in shared)
    for name, gradient in whole.items():
        parts = [found[name] for found in (from_b, from_c) if name in found]
        assert len(parts) == (2 if name in shared else 1)
        assert all(part.abs().max() > 0 for part in parts)
        torch.testing.assert_close(gradient, sum(parts), rtol=1e-5, atol=1e-7, msg=name)


def test_a_single_stage_is_trained_as_it_always_is(joint, toy_recipe, tmp_path):
    for training in ("joint", "staged"):
        plan = joint(f"training={training}", stages=toy_recipe["stages"][:1])
        bind(plan, plan.stages, space=tmp_path / training, runs=tmp_path / "runs")
    assert hashes(tmp_path / "joint") == hashes(tmp_path / "staged")


def test_a_joint_space_is_like_any_other(joint, tmp_path):
    plan = joint("defaults.optim.epochs=8")
    run = bind(plan, plan.stages, space=tmp_path / "s", runs=tmp_path / "r")
    space = geobind.load(tmp_path / "s")
    assert space.stale == ()
    assert {tower.bound_to for tower in space.towers.values()} == {space.fingerprint}
    assert space.towers["toy_a"].stages == ("b", "c")
    assert [space.towers[name].bound.train for name in ("toy_b", "toy_c")] == ["heads", "anchor head + modality full"]
    assert space.trained_pairs == {frozenset(("toy_a", "toy_b")), frozenset(("toy_a", "toy_c"))}
    assert space.record.recipe["training"] == "joint"
    found = evaluate_space(tmp_path / "s", plan, split="train")
    for name in ("toy_b", "toy_c"):
        result = found.get("toy_a", name)
        assert result.scores.recall[10] > 3 * result.chance.recall[10]
    # Each stage has its own lines, with what is shared in all of them.
    for name in ("b", "c"):
        lines = [json.loads(line) for line in (run.path / name / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [4 * epoch for epoch in range(1, 9)]
        assert lines[-1]["loss"] < lines[0]["loss"]
        assert {"val_loss", "temperature", "grad_norm", "false_negatives"} <= lines[0].keys()
        assert not any("/" in key for key in lines[0])
        assert run.state["metrics"][name]["loss"] == lines[-1]["loss"]
    assert run.state["metrics"]["b"]["loss"] != run.state["metrics"]["c"]["loss"]
    assert sorted(run.state["done"]) == ["b", "c"] and not list(run.path.rglob("*.pt"))


@pytest.mark.parametrize("steps", [1, 6])
def test_resumed_equals_uninterrupted(joint, tmp_path, stopped_after, steps):
    """Both stages, of unequal length, go on where they were; all that an average or the best epoch needs, too."""
    plan = joint(
        "defaults.optim.ema=0.9",
        "stages.c.dataset={type: toy, places: 100}",
        "defaults.validation={keep: best, metric: recall@5}",
    )
    bind(plan, plan.stages, space=tmp_path / "whole", runs=tmp_path / "r1")
    with stopped_after(steps):
        bind(plan, plan.stages, space=tmp_path / "resumed", runs=tmp_path / "r2")
    assert not (tmp_path / "resumed").exists()
    bind(plan, plan.stages, space=tmp_path / "resumed", runs=tmp_path / "r2", resume=True)
    assert hashes(tmp_path / "resumed") == hashes(tmp_path / "whole")


def test_a_shorter_stage_begins_anew_while_the_longest_sets_the_pace(joint, strands):
    plan = joint("stages.c.dataset={type: toy, places: 100}", "stages.c.optim.epochs=50")  # 140 and 70 pairs
    (b, c), options = strands(plan)
    trainer = Trainer([b, c], **options)
    assert (b.batches_per_epoch, c.batches_per_epoch) == (4, 2)
    assert (trainer.batches_per_epoch, trainer.epochs, trainer.total_steps) == (4, 3, 12)
    rows = [rows for rows, _ in c.batches(0, 5)]
    first, second = np.concatenate(rows[:2]), np.concatenate(rows[2:4])
    assert len(np.unique(first[:, 0])) == len(np.unique(second[:, 0])) == 64  # an epoch meets no pair twice
    assert not np.array_equal(first, second)
    for at in range(5):
        assert all(np.array_equal(a, x) for (a, _), x in zip(c.batches(at, 5 - at), rows[at:], strict=True))


def test_every_stage_keeps_its_own_way_to_learn(joint, strands):
    plan = joint("stages.c.optim={lr: 0.5, weight_decay: 0.3, betas: [0.5, 0.6], epochs: 3, batch_size: 32}")
    made, options = strands(plan)
    trainer = Trainer(made, **options)
    names = {id(p): name for name, part in trainer.parts.items() for p in part.parameters()}
    for group in trainer.optimizer.param_groups:
        (name,) = {names[id(p)] for p in group["params"]}
        of_c = name.startswith(("tower toy_c.", "c/"))
        assert group["initial_lr"] == (0.5 if of_c else 0.01)
        assert group["betas"] == ((0.5, 0.6) if of_c else (0.9, 0.98))
    towers = {"anchor.head", "tower toy_b.head", "tower toy_c.encoder", "tower toy_c.head"}
    assert trainer.parts.keys() == towers | {"b/loss", "c/loss"}


def test_a_stage_that_trains_nothing_only_enters(joint, toy_recipe, tmp_path):
    encoder = {"type": "toy", "pretrained": True, "width": 8}
    entering = {"modality": "toy_c", "train": "none", "encoder": encoder, "head": {"type": "identity"}}
    plan = joint(stages=[{"name": "as-is", **entering}, toy_recipe["stages"][0]])
    bind(plan, plan.stages, space=tmp_path / "s", runs=tmp_path / "r")
    space = geobind.load(tmp_path / "s")
    assert space.stale == () and space.trained_pairs == {frozenset(("toy_a", "toy_b"))}


def test_one_modality_can_be_bound_to_a_joint_space_later(joint, tmp_path):
    plan = joint()
    with pytest.raises(SpaceError, match="stage 'b' comes first"):
        choose(plan, None, modality="toy_c")
    bind(plan, plan.stages, space=tmp_path / "s", runs=tmp_path / "r")
    before = geobind.load(tmp_path / "s")
    bind(plan, choose(plan, before.record, modality="toy_c"), space=tmp_path / "s", runs=tmp_path / "r")
    after = geobind.load(tmp_path / "s")
    assert after.fingerprint == before.fingerprint and after.stale == ()
    assert after.towers["toy_c"].bound.train == "modality"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("stages.c={name: c, modality: toy_b, train: modality, encoder: {type: toy}}", "two stages bind toy_b"),
        ("stages.c.optim.grad_clip=7", r"one optim.grad_clip for all, but stage 'b' says 1.0 and stage 'c' says 7"),
        ("stages.c.validation={keep: best}", "one validation for all"),
        ("stages.c.train={anchor: full, modality: head}", r"one train.anchor for all.*'b' says head.*'c' says full"),
    ],
)
def test_stages_that_do_not_agree_are_refused_before_anything_is_begun(joint, tmp_path, change, match):
    plan = joint(change)
    with pytest.raises(RecipeError, match=match):
        bind(plan, plan.stages, space=tmp_path / "s", runs=tmp_path / "r")
    assert not (tmp_path / "s").exists() and not (tmp_path / "r").exists()


def test_several_processes_are_refused(joint):
    with pytest.raises(RecipeError, match="one process, not in 2"):
        together(joint().stages, World(0, 2))

"""Interleaved training: a step takes the batch of one stage, each as often as its pairs and ratio say, evenly mixed."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

import geobind
from geobind.bind.binder import bind
from geobind.bind.dryrun import outline
from geobind.bind.feed.sampling import false_negatives
from geobind.bind.interrupt import Interrupted
from geobind.bind.joint import together
from geobind.bind.parallel.distributed import World
from geobind.bind.runs.run import Run
from geobind.bind.stage import Binding
from geobind.bind.strand import mixed, turns
from geobind.bind.trainer import Trainer
from geobind.errors import RecipeError
from geobind.features.cache import FeatureCache
from geobind.plan import load_plan
from geobind.plugins import get_plugins

SHARED = ("defaults.tower=both", "stages.b.encoder={type: toy_both}", "stages.c.encoder={type: toy_both}")
"""Both stages train one tower, in full."""
LEARN = ("stages.b.train={anchor: head, modality: full}", "stages.c.train=modality")
SHORT = "stages.c.dataset={type: toy, places: 100}"
"""Stage c has 70 pairs, and so 2 batches; b has 140 and 4."""


@pytest.fixture
def plan_of(toy_recipe, write_recipe):
    """A plan of the toy recipe, interleaved; ``sets`` are laid over it."""
    path = write_recipe({**toy_recipe, "training": "interleaved"})
    return lambda *sets: load_plan(str(path), get_plugins(), list(sets))


@pytest.fixture
def trainer_of(tmp_path, monkeypatch):
    """The trainer that the binder makes for a plan; nothing is trained."""

    def make(plan):
        made = []

        def remember(self, *args, **options):
            made.append(self)
            raise Interrupted

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "run", remember)
            world, cache = World(), FeatureCache.temporary()
            names = [stage.config.name for stage in plan.stages]
            run = Run.start(tmp_path / "made", recipe="toy", resolved={}, space=tmp_path / "m", stages=names)
            binding = Binding(plan, tmp_path / "m", fresh_anchor=True, device="cpu", cache=cache, world=world)
            binding.prepare(list(plan.stages))
            with pytest.raises(Interrupted):
                binding.bind(together(plan.stages, world, plan.recipe.training), run)
        return made[0]

    return make


def drawn_by(trainer):
    return list(trainer._drawn(lambda step, state: None))


def hashes(space):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (space / "towers").iterdir()}


# -- the order ------------------------------------------------------------------------------------


@pytest.mark.parametrize("counts", [[1], [4, 4], [10, 3, 1], [100, 7, 50]])
def test_every_strand_has_its_steps_and_they_are_spread(counts):
    order = mixed(counts, seed=3, epoch=5)
    assert [order.count(strand) for strand in range(len(counts))] == counts
    for strand, count in enumerate(counts):
        so_far = np.cumsum(np.asarray(order) == strand)
        fair = np.arange(1, len(order) + 1) * count / len(order)
        assert np.abs(so_far - fair).max() < 1 + len(counts) * count / len(order)


def test_the_order_follows_from_seed_and_epoch_alone():
    assert mixed([20, 30], 1, 2) == mixed([20, 30], 1, 2)
    assert len({tuple(mixed([20, 30], seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_ratio_is_passes_over_a_strands_batches():
    assert [turns(ratio, 10) for ratio in (1, 2, 0.26, 0.01)] == [10, 20, 3, 1]


# -- a trainer ------------------------------------------------------------------------------------


def test_an_epoch_has_the_steps_of_every_stage(plan_of, trainer_of):
    plan = plan_of(SHORT, "stages.b.ratio=0.5", "stages.c.ratio=3")
    trainer = trainer_of(plan)
    assert trainer.turns == [2, 6] and (trainer.batches_per_epoch, trainer.total_steps) == (8, 24)
    assert trainer.pairs_left() == 24 * 32
    steps = drawn_by(trainer)
    assert [sum(step[n] is not None for step in steps) for n in (0, 1)] == [2, 6]
    assert all(sum(batch is not None for batch in step) == 1 for step in steps)
    met = [np.concatenate([step[n][0][:, 0] for step in steps if step[n]]) for n in (0, 1)]
    assert len(np.unique(met[0])) == 64  # half of b, no pair twice
    assert [len(np.unique(met[1][i : i + 64])) for i in (0, 64, 128)] == [64] * 3  # three passes over c
    # The next epoch goes on with the other half of b.
    trainer.at.epoch = 1
    assert not np.intersect1d(met[0], np.concatenate([step[0][0][:, 0] for step in drawn_by(trainer) if step[0]])).size
    trainer.at.step = 3
    left = sum(len(one[0]) for step in drawn_by(trainer) for one in step if one)
    assert trainer.pairs_left() == left + 8 * 32 == 13 * 32
    assert [item.steps for item in outline(plan, plan.stages)] == [6, 18]


def test_what_has_no_part_in_a_step_is_left_as_it_is(plan_of, trainer_of):
    trainer = trainer_of(plan_of())
    first = drawn_by(trainer)[0]
    idle = ("tower toy_c.", "c/") if first[1] is None else ("tower toy_b.", "b/")
    before = {name: {k: v.clone() for k, v in part.state_dict().items()} for name, part in trainer.parts.items()}
    trainer._train(first)
    for name, part in trainer.parts.items():
        kept = [torch.equal(value, before[name][key]) for key, value in part.state_dict().items()]
        assert all(kept) if name.startswith(idle) else not all(kept), name
        for parameter in part.parameters():
            assert (parameter in trainer.optimizer.state) == (parameter.requires_grad and not name.startswith(idle))
    assert trainer.scheduler.last_epoch == 1


def test_a_shared_tower_is_in_the_optimiser_once(plan_of, trainer_of):
    for training in ("joint", "interleaved"):
        trainer = trainer_of(plan_of(*SHARED, *LEARN, f"training={training}"))
        towers = {"anchor.head", "tower both.encoder", "tower both.head"}
        assert trainer.parts.keys() == towers | {"b/loss", "c/loss"}
        (b, c) = trainer.strands
        assert b.learning[1] is c.learning[1] and b.learning[0] is c.learning[0]
        assert len({id(p) for p in trainer.parameters}) == len(trainer.parameters)


def test_a_shared_towers_gradient_is_the_sum_of_the_stages_own(plan_of, trainer_of):
    trainer = trainer_of(plan_of(*SHARED, *LEARN, "training=joint"))
    for strand in trainer.strands:
        for module in strand.learning[1].tower.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    drawn = drawn_by(trainer)[0]

    def gradients(batches):
        trainer.optimizer.zero_grad(set_to_none=True)
        trainer.gradients(batches)
        parts = ("encoder", "head")
        return [p.grad.clone() for part in parts for p in trainer.parts[f"tower both.{part}"].parameters()]

    whole, of_b, of_c = gradients(drawn), gradients([drawn[0], None]), gradients([None, drawn[1]])
    # All but the biases before a normalisation, whose gradient is 0 but for rounding.
    for total, b, c in zip(whole, of_b, of_c, strict=True):
        torch.testing.assert_close(total, b + c, rtol=1e-4, atol=1e-6)
    assert all(max(g.abs().max() for g in some) > 1e-3 for some in (of_b, of_c))


# -- whole runs -----------------------------------------------------------------------------------


def test_one_stage_is_trained_as_it_always_is(plan_of, tmp_path):
    for training in ("staged", "interleaved"):
        plan = plan_of(f"training={training}")
        bind(plan, plan.stages[:1], space=tmp_path / training, runs=tmp_path / "r")
    assert hashes(tmp_path / "staged") == hashes(tmp_path / "interleaved")


def test_averages_are_over_a_stages_own_steps(plan_of, tmp_path, monkeypatch):
    steps = []
    real = Trainer.gradients

    def remembered(self, drawn):
        values = real(self, drawn)
        wrong = [one and false_negatives(s.pairs, one[0]) for s, one in zip(self.strands, drawn, strict=True)]
        steps.append([(v.item(), w) if one else None for v, w, one in zip(values, wrong, drawn, strict=True)])
        return values

    monkeypatch.setattr(Trainer, "gradients", remembered)
    plan = plan_of(SHORT, "stages.c.ratio=3", "defaults.optim.epochs=2")
    run = bind(plan, plan.stages, space=tmp_path / "s", runs=tmp_path / "r")
    assert len(steps) == 20
    for number, name in enumerate("bc"):
        lines = [json.loads(line) for line in (run.path / name / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [10, 20]
        for line, epoch in zip(lines, (steps[:10], steps[10:]), strict=True):
            own = [step[number] for step in epoch if step[number]]
            assert len(own) == (4, 6)[number]
            assert line["loss"] == pytest.approx(np.mean([value for value, _ in own]), rel=1e-12)
            assert line["false_negatives"] == pytest.approx(np.mean([wrong for _, wrong in own]))
            assert {"val_loss", "temperature", "grad_norm"} <= line.keys()


@pytest.mark.parametrize("steps", [1, 11])
def test_resumed_equals_uninterrupted(plan_of, tmp_path, stopped_after, steps):
    plan = plan_of(
        *SHARED, *LEARN, SHORT, "stages.c.ratio=2.5", "defaults.optim.ema=0.9", "defaults.validation={keep: best}"
    )
    bind(plan, plan.stages, space=tmp_path / "whole", runs=tmp_path / "r1")
    with stopped_after(steps):
        bind(plan, plan.stages, space=tmp_path / "resumed", runs=tmp_path / "r2")
    assert not (tmp_path / "resumed").exists()
    bind(plan, plan.stages, space=tmp_path / "resumed", runs=tmp_path / "r2", resume=True)
    assert hashes(tmp_path / "resumed") == hashes(tmp_path / "whole")


def test_a_modality_may_be_bound_by_two_datasets(plan_of, tmp_path):
    """They train its tower together; how it was bound is told of the last one."""
    encoder = "encoder: {type: toy}, modality: toy_b, train: modality"
    plan = plan_of(f"stages.b={{name: b, {encoder}}}", f"stages.c={{name: c, {encoder}}}", SHORT)
    bind(plan, plan.stages, space=tmp_path / "s", runs=tmp_path / "r")
    space = geobind.load(tmp_path / "s")
    assert list(space.towers) == ["toy_a", "toy_b"] and space.towers["toy_b"].stages == ("b", "c")
    assert (space.towers["toy_b"].bound.stage, space.towers["toy_b"].bound.pairs) == ("c", 70)
    assert int(space.tower("toy_b").encoder.net[1].num_batches_tracked) == 3 * (4 + 2)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (["stages.c.optim={epochs: 4}"], r"interleaved has one optim.epochs for all, .* 'b' says 3 .* 'c' says 4"),
        (["stages.c.optim.grad_clip=7"], "interleaved has one optim.grad_clip for all"),
        ([*SHARED], r"one train.modality for all stages of tower 'both', .* 'b' says head and stage 'c' says full"),
        ([*SHARED, *LEARN, "training=joint", "stages.c.lora={rank: 4}"], "joint has one lora for all stages of tower"),
        ([*SHARED, *LEARN, "stages.c.optim.gradient_checkpointing=true"], "one optim.gradient_checkpointing for all"),
    ],
)
def test_stages_that_do_not_agree_are_refused_before_anything_is_begun(plan_of, tmp_path, changes, match):
    plan = plan_of(*changes)
    with pytest.raises(RecipeError, match=match):
        bind(plan, plan.stages, space=tmp_path / "s", runs=tmp_path / "r")
    assert not (tmp_path / "s").exists() and not (tmp_path / "r").exists()


def test_two_processes_end_where_one_does(toy_recipe, write_recipe, torchrun, tmp_path):
    """They take the stages in one order; heads alone learn, since batch norms see their own share."""
    toy_recipe["defaults"] |= {"tower": "both", "encoder": {"type": "toy_both"}, "train": "heads"}
    toy_recipe["defaults"]["head"] = {"hidden": 16}
    toy_recipe["defaults"]["optim"]["batch_size"] = 33
    for stage in toy_recipe["stages"]:
        del stage["encoder"], stage["train"]
    path = write_recipe({**toy_recipe, "training": "interleaved"})
    plan = load_plan(str(path), get_plugins())
    bind(plan, plan.stages, space=tmp_path / "one", runs=tmp_path / "r")
    done = torchrun(2, tmp_path / "two", path)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (geobind.load(tmp_path / name) for name in ("one", "two/space"))
    assert two.tower("toy_b") is two.tower("toy_c")
    for modality in ("toy_a", "toy_b"):
        for wanted, found in zip(one.tower(modality).parameters(), two.tower(modality).parameters(), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)

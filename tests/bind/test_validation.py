"""Validation measures the whole split by exact ranks, decides what is kept and when a stage ends."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import geobind
from geobind.bind.binder import bind
from geobind.bind.validation import better
from geobind.data.pairs import match
from geobind.plan import load_plan
from geobind.plugins import get_plugins
from geobind.ranks import rank_both


@pytest.fixture
def start(toy_recipe, write_recipe, tmp_path):
    """Bind one stage of the toy recipe; gives its space, its metrics and its plan."""
    toy_recipe["stages"] = toy_recipe["stages"][:1]
    path = write_recipe(toy_recipe)

    def run(*overrides: str, name: str = "space"):
        plan = load_plan(str(path), get_plugins(), list(overrides))
        done = bind(plan, plan.stages, space=tmp_path / name, runs=tmp_path / f"{name}-runs")
        lines = (done.path / "b" / "metrics.jsonl").read_text().splitlines()
        return tmp_path / name, [json.loads(line) for line in lines], plan

    return run


def measure(space, plan) -> dict[str, float]:
    """What validation should say of a space, from its public parts."""
    opened = geobind.load(space)
    pairs = match(plan.stages[0].dataset.build(), "toy_a", "toy_b", "val")
    both = rank_both(opened.encode("toy_a", pairs.a), opened.encode("toy_b", pairs.b), pairs)
    return {
        "val_recall@5": np.mean([np.mean(side.rank <= 5) for side in both]),
        "val_median_rank": np.mean([np.median(side.rank) for side in both]),
    }


def test_what_is_logged_is_what_the_saved_space_gives(start):
    space, lines, plan = start()
    for name, value in measure(space, plan).items():
        assert lines[-1][name] == pytest.approx(value)


@pytest.mark.parametrize("ema", ["null", "0.8"])
def test_the_best_epoch_is_kept(start, ema):
    options = ["defaults.optim.epochs=8", "defaults.optim.lr=0.3", f"defaults.optim.ema={ema}"]
    space, lines, plan = start(*options, "defaults.validation={keep: best}")
    best = min(lines, key=lambda line: line["val_loss"])
    names = ("val_recall@5", "val_median_rank")
    assert [best[name] for name in names] != [lines[-1][name] for name in names]  # or the test would show nothing
    found = measure(space, plan)
    assert [found[name] for name in names] == pytest.approx([best[name] for name in names])


def test_patience_ends_a_stage_early(start, capsys):
    _, lines, _ = start("defaults.optim.epochs=60", "defaults.optim.lr=0.3", "defaults.validation={patience: 3}")
    losses = [line["val_loss"] for line in lines]
    assert len(lines) < 60 and len(lines) == int(np.argmin(losses)) + 1 + 3
    assert f"no better loss since epoch {len(lines) - 3}; ended early" in capsys.readouterr().err


def test_validation_now_and_then(start):
    _, lines, _ = start("defaults.optim.epochs=7", "defaults.validation={every: 3}")
    assert [line["epoch"] for line in lines if "val_loss" in line] == [3, 6, 7]


def test_averaged_weights_are_saved_in_place_of_the_last(start):
    _, _, _ = start("defaults.optim.ema=0.9", name="averaged")
    plain, averaged = (geobind.load(start(name="plain")[0]), geobind.load(start("defaults.optim.ema=0.9")[0]))
    assert any(
        not torch.equal(x, y)
        for x, y in zip(plain.tower("toy_b").parameters(), averaged.tower("toy_b").parameters(), strict=True)
    )


def test_better():
    assert better("loss", 1.0, None) and better("loss", 1.0, 2.0) and not better("loss", 2.0, 2.0)
    assert better("recall@5", 0.5, 0.4) and not better("recall@5", 0.4, 0.4) and better("median_rank", 2.0, 3.0)

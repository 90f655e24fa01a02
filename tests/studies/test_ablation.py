"""Ablations: which recipes a grid is made of, what is run and what is kept, and known effects from made-up results."""

from __future__ import annotations

import json
import math

import pytest
import typer
from typer.testing import CliRunner

from geobind.bind import towers
from geobind.cli.ablate import _axes
from geobind.cli.ablate import ablate as command
from geobind.errors import GeobindError, RecipeError
from geobind.plan import load_plan
from geobind.plugins import get_plugins
from geobind.studies.ablation import study as ablation
from geobind.studies.ablation.axes import cells
from geobind.studies.ablation.figures import Figure, Grid, Reached, t_interval
from geobind.studies.ablation.study import RUNS, Trial, ablate
from geobind.studies.ablation.told import finding

B = Figure("toy_a ↔ toy_b", "R@10")


@pytest.fixture
def recipe(toy_recipe, write_recipe):
    """Path of the toy recipe, whose second stage needs little."""

    def make(**keys):
        toy_recipe["stages"][1]["train"] = {"modality": "head"}
        toy_recipe["defaults"]["optim"]["epochs"] = 1
        return str(write_recipe({**toy_recipe, **keys}))

    return make


@pytest.fixture
def grid(recipe):
    """Cells of the toy recipe."""

    def make(over, *, seeds=1, one_at_a_time=False, **keys):
        return cells(load_plan(recipe(**keys), get_plugins()), over, seeds=seeds, one_at_a_time=one_at_a_time)

    return make


def values(cell, seed=0):
    return cell.plans[seed].resolved()


# -- what is varied -------------------------------------------------------------------------------


def test_a_grid_is_the_product_and_seeds_shift_every_stages_own(grid):
    made = grid({"loss": ["infonce", "siglip"], "batch": ["16", "32", "64"]}, seeds=3)
    assert [cell.name for cell in made[:2]] == ["loss=infonce, batch=16", "loss=infonce, batch=32"]
    assert len(made) == 6 and all(len(cell.plans) == 3 for cell in made)
    for cell in made:
        loss, batch = (choice for _, choice in cell.choices)
        for own in values(cell)["stages"]:
            assert own["loss"]["type"] == loss and own["optim"]["batch_size"] == int(batch)
    assert [[own.config.seed for own in plan.stages] for plan in made[0].plans] == [[0, 0], [1, 1], [2, 2]]


def test_one_at_a_time_is_the_recipe_and_what_differs_from_it(grid):
    made = grid({"loss": ["infonce", "siglip"], "training": ["joint"]}, one_at_a_time=True)
    assert [cell.name for cell in made] == ["the recipe", "loss=siglip", "training=joint"]
    assert values(made[2])["training"] == "joint" and values(made[1])["training"] == "staged"


@pytest.mark.parametrize(
    ("axis", "choices", "where", "wanted"),
    [
        ("training", ["staged", "joint"], lambda v: v["training"], ["staged", "joint"]),
        ("lr", ["1e-3", "0.5"], lambda v: [s["optim"]["lr"] for s in v["stages"]], [[0.001] * 2, [0.5] * 2]),
        ("epochs", ["2", "3"], lambda v: v["stages"][1]["optim"]["epochs"], [2, 3]),
        ("optim.ema", ["0.9", "null"], lambda v: v["stages"][0]["optim"]["ema"], [0.9, None]),
        ("defaults.optim.lr", ["1", "2"], lambda v: v["stages"][0]["optim"]["lr"], [1, 2]),
        ("stages.c.optim.lr", ["1", "2"], lambda v: [s["optim"]["lr"] for s in v["stages"]], [[0.01, 1], [0.01, 2]]),
        ("space.dim", ["8", "16"], lambda v: v["space"]["dim"], [8, 16]),
        ("head", ["linear", "mlp"], lambda v: [v["anchor"]["head"]["type"], v["stages"][1]["head"]["type"]],
         [["linear"] * 2, ["mlp"] * 2]),
        ("loss", ["infonce", "{type: infonce, queue: 5}"], lambda v: v["stages"][0]["loss"]["queue"], [0, 5]),
        ("temperature", ["0.05", "learned"],
         lambda v: [v["stages"][0]["loss"]["temperature"], v["stages"][0]["loss"]["learn_temperature"]],
         [[0.05, False], [0.07, True]]),
        ("init", ["pretrained", "random"], lambda v: v["anchor"]["encoder"]["pretrained"], [True, False]),
    ],
)  # fmt: skip
def test_axes_change_what_they_say(grid, axis, choices, where, wanted):
    assert [where(values(cell)) for cell in grid({axis: choices})] == wanted


def test_the_recipes_own_loss_keeps_its_settings_and_another_has_its_defaults(grid, toy_recipe):
    loss = {"type": "infonce", "direction": "anchor_to_modality"}
    made = grid({"loss": ["infonce", "siglip"]}, defaults={**toy_recipe["defaults"], "loss": loss})
    assert values(made[0])["stages"][0]["loss"]["direction"] == "anchor_to_modality"
    assert values(made[1])["stages"][0]["loss"] == {
        "type": "siglip",
        "temperature": 0.1,
        "bias": -10.0,
        "max_scale": 100.0,
    }


def test_a_combination_that_makes_no_recipe_says_why_and_leaves_the_others(grid):
    """SigLIP's temperature always learns; each choice by itself is sound, for the recipe's loss is another."""
    made = grid({"temperature": ["0.05", "learned"], "loss": ["infonce", "siglip"]})
    assert [bool(cell.plans) for cell in made] == [True, False, True, False]
    assert "learn_temperature" in made[1].reason


@pytest.mark.parametrize(
    ("over", "match"),
    [
        ({"los": ["a", "b"]}, r"no axis 'los' \(--over\). Did you mean 'loss'"),
        ({"loss": ["infonce", "siglipp"]}, r"unknown loss 'siglipp'.*--over loss=siglipp.*Did you mean 'siglip'"),
        ({"batch": ["16", "many"]}, r"--over batch=many"),
        ({"optim.weigt_decay": ["0", "1"]}, r"Did you mean 'weight_decay'"),
        ({"stages.d.optim.lr": ["1", "2"]}, r"no item 'd'"),
        ({"loss": ["siglip"]}, r"has 1 choice"),
        ({"loss": ["siglip", "siglip"]}, r"given twice: siglip"),
        ({"loss": ["infonce", "{type: infonce}"]}, r"loss=infonce and loss=\{type: infonce\} are the same recipe"),
        ({"seed": ["1", "2"]}, r"'seed' is nothing to vary.*--seeds"),
        ({"dataset.places": ["100", "200"]}, r"same items"),
        ({"stages.c.dataset.places": ["100", "200"]}, r"same items"),
        ({"init": ["pretrained", "randm"]}, r"init 'randm'.*Did you mean 'random'"),
    ],
)
def test_wrong_axes_and_choices_are_told_before_anything_trains(recipe, tmp_path, monkeypatch, over, match):
    monkeypatch.setattr(ablation, "bind_into", None)
    with pytest.raises(GeobindError, match=match):
        ablate(recipe(), over, workdir=tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_too_many_runs_are_refused_unless_wanted(recipe, monkeypatch):
    monkeypatch.setattr(ablation, "bind_into", None)
    over = {"lr": [str(n) for n in range(1, 34)]}
    with pytest.raises(RecipeError, match="33 cells with 2 seeds are 66 runs, more than 64.*--yes"):
        ablate(recipe(), over)
    with pytest.raises(TypeError):  # it begins
        ablate(recipe(), over, most=None)
    with pytest.raises(RecipeError, match="needs a seed and an axis"):
        ablate(recipe(), {})
    with pytest.raises(RecipeError, match="unknown split 'vall'"):
        ablate(recipe(), over, split="vall")
    with pytest.raises(RecipeError, match="no stage for modality 'toy_d'"):
        ablate(recipe(), over, modalities=["toy_d"])


def test_the_command_line_splits_at_commas_outside_of_brackets():
    assert _axes(["loss=infonce,{type: siglip, bias: -5}", "optim.betas=[0.9, 0.98],[0.9, 0.999]", "lr=1,2"]) == {
        "loss": ["infonce", "{type: siglip, bias: -5}"],
        "optim.betas": ["[0.9, 0.98]", "[0.9, 0.999]"],
        "lr": ["1", "2"],
    }
    for wrong in ("loss", "loss=", "=a,b", "loss=a,,b"):
        with pytest.raises(RecipeError, match="names no axis with choices"):
            _axes([wrong])
    with pytest.raises(RecipeError, match="given twice"):
        _axes(["lr=1,2", "lr=3,4"])


# -- what is run ----------------------------------------------------------------------------------


def test_an_ablation_runs_tabulates_and_goes_on_where_it_was_killed(recipe, tmp_path, monkeypatch):
    """Staged and joint, a head that fits and one that does not; the second time nothing is bound that was finished."""
    over = {"training": ["staged", "joint"], "head": ["linear", "identity"]}
    found = ablate(recipe(), over, seeds=2, workdir=tmp_path)
    table, effects, failed = found.tables
    assert table.columns == (
        "training", "head", "toy_a ↔ toy_b R@10 %", "toy_a ↔ toy_c R@10 %",
        "emergent pairs median × chance", "binding s",
    )  # fmt: skip
    assert [row[:2] for row in table.rows] == [(t, h) for t in over["training"] for h in over["head"]]
    assert all("±" in row[2] for row in table.rows[::2]) and all(row[2:] == ("–",) * 4 for row in table.rows[1::2])
    assert sum("●" in row[2] for row in table.rows) == 1
    assert [row[:3] for row in effects.rows] == [("training", "joint", "staged")]
    assert all("identity head needs an encoder as wide" in reason for _, reason in failed.rows)
    assert [cell for cell, _ in failed.rows] == ["training=staged, head=identity", "training=joint, head=identity"]
    assert "2 of 4 cells failed" in found.answer[-1]
    assert found.protocol["seeds"] == 2 and "test split untouched" in found.protocol["split"]
    assert all(measure.protocol["split"] == "val" for measure in found.measures)
    (picture,) = found.pictures
    assert picture.png.startswith(b"\x89PNG")
    json.dumps(found.as_dict())

    lines = (tmp_path / RUNS).read_text().splitlines()
    assert len(lines) == 4 and [json.loads(line)["seed"] for line in lines] == [0, 0, 1, 1]
    # A writer was killed in its third line.
    (tmp_path / RUNS).write_text("\n".join([*lines[:2], lines[2][:50]]))
    bound = []
    real = ablation.bind_into

    def watched(plan, *rest):
        bound.append((plan.recipe.training, plan.recipe.anchor.head.type, plan.stages[0].config.seed))
        return real(plan, *rest)

    monkeypatch.setattr(ablation, "bind_into", watched)
    again = ablate(recipe(), over, seeds=2, workdir=tmp_path)
    assert [run for run in bound if run[1] == "linear"] == [("staged", "linear", 1), ("joint", "linear", 1)]
    assert len((tmp_path / RUNS).read_text().splitlines()) == 4
    told = [[m.value for m in f.measures] for f in (found, again)]
    assert told[0] == told[1]
    # Another split, other data or another key is another run.
    bound.clear()
    ablate(recipe(), {"lr": ["0.01", "0.02"]}, seeds=1, workdir=tmp_path, overrides=["defaults.head.type=linear"])
    assert bound == [("staged", "linear", 0)]  # lr=0.01 is what the recipe said


def test_some_modalities_bring_the_stages_they_require(recipe):
    found = ablate(recipe(), {"lr": ["0.01", "0.1"]}, modalities=["toy_c"], seeds=1)
    assert found.protocol["stages"] == "b, c"
    assert found.tables[0].columns == ("lr", "toy_a ↔ toy_c R@10 %", "binding s")
    assert any("single seed" in sentence for sentence in found.answer)
    assert all(measure.low is None for measure in found.measures)


def test_a_start_that_is_not_what_the_choice_says_is_a_failure(recipe, monkeypatch):
    """An encoder may have weights of its own, whatever its config says."""
    over = {"init": ["pretrained", "random"]}
    found = ablate(recipe(), over, modalities=["toy_b"], seeds=1)
    assert [table.title for table in found.tables] == ["Cells", "Effect of each choice"]
    assert any("drawn anew with every seed" in note for note in found.notes)
    real = towers.make_tower

    def brings_its_own(*args):
        tower = real(*args)
        tower.encoder.load_pretrained = lambda: "its own"
        return tower

    monkeypatch.setattr(towers, "make_tower", brings_its_own)
    found = ablate(recipe(), over, modalities=["toy_b"], seeds=1)
    (row,) = found.tables[-1].rows
    assert row == ("init=random", "init=random, but the anchor's encoder started from: its own.")


def test_the_command_prints_tables_and_writes_a_report(recipe, tmp_path):
    app = typer.Typer()
    app.command()(command)
    options = ["--over", "lr=0.01,0.1", "--modalities", "toy_b", "--seeds", "1", "--set", "stages.b.optim.epochs=2"]
    done = CliRunner().invoke(app, [recipe(), *options, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "What does each choice contribute?" in done.output and "toy_a ↔ toy_b R@10 %" in done.output
    assert {"report.html", "results.json", "ablation.png", RUNS} <= {file.name for file in (tmp_path / "out").iterdir()}
    (run, _) = map(json.loads, (tmp_path / "out" / RUNS).read_text().splitlines())
    assert run["cell"] == "lr=0.01" and run["all_pairs"]["split"] == "val"


def test_an_ablation_of_which_nothing_can_be_bound_says_why(recipe):
    with pytest.raises(GeobindError, match="not one of 2 runs could be finished; the first because: an identity head"):
        ablate(recipe(), {"lr": ["1", "2"]}, overrides=["defaults.head.type=identity"], seeds=1)


# -- what is told ---------------------------------------------------------------------------------


@pytest.fixture
def made_up(monkeypatch, recipe):
    """A finding from a function (choices, seed) → value of toy_a ↔ toy_b; None is a failed run."""

    def make(over, value, *, seeds=2, one_at_a_time=False):
        plan = load_plan(recipe(), get_plugins())
        made = cells(plan, over, seeds=1, one_at_a_time=one_at_a_time)
        trials = []
        for seed in range(seeds):
            for cell in made:
                found = value(dict(cell.choices), seed)
                result = (
                    None if found is None else {B: Reached(found, 0.01, 200, {"split": "val", "origin": "made up"})}
                )
                trials.append(Trial(cell, seed, result, 1.0, "" if found is not None else "no luck"))
        monkeypatch.setattr("geobind.studies.ablation.figures.reached", lambda result: result)
        return Grid(trials), finding(plan, over, trials, split="val", one_at_a_time=one_at_a_time)

    return make


def test_known_marginal_effects_come_out(made_up):
    """Loss adds 10 points, batch 2 points but only with infonce, seeds shift everything: paired, that cancels."""
    over = {"loss": ["infonce", "siglip"], "batch": ["16", "64"]}

    def value(choices, seed):
        siglip, large = choices["loss"] == "siglip", choices["batch"] == "64"
        return 0.3 + 0.1 * siglip + 0.02 * (large and not siglip) + 0.05 * seed + 0.01 * seed * siglip

    grid, found = made_up(over, value, seeds=3)
    loss, batch = grid.effects(over, one_at_a_time=False)
    assert (loss.axis, loss.choice, loss.against) == ("loss", "siglip", "infonce")
    # Against infonce, siglip gains 10 points at batch 16, and 8 at 64; and one more with every seed.
    assert loss.by_seed == pytest.approx((0.09, 0.10, 0.11))
    half = 4.303 * 0.01 / math.sqrt(3)
    assert loss.interval == pytest.approx((0.10 - half, 0.10 + half)) and loss.is_clear
    assert batch.by_seed == pytest.approx((0.01, 0.01, 0.01)) and batch.mean == pytest.approx(0.01)
    told = found.answer[1]
    assert "loss=siglip instead of infonce changes toy_a ↔ toy_b R@10 by +10.0 points [+7.5, +12.5]" in told
    assert (
        "highest with loss=siglip, batch=16: 46.0 ± 6.0 %, and lowest with loss=infonce, batch=16: 35.0"
        in found.answer[0]
    )
    assert "(chance 1.0 %)" in found.answer[0]
    (_, effects) = found.tables
    assert effects.rows[0] == ("loss", "siglip", "infonce", "+10.0 [+7.5, +12.5]")


def test_effects_of_one_axis_at_a_time_are_against_the_recipe(made_up):
    over = {"loss": ["siglip"], "batch": ["16", "64"]}

    def value(choices, seed):
        return {"siglip": 0.5, "16": 0.2, "64": 0.3, None: 0.4}[next(iter(choices.values()), None)] + 0.1 * seed

    grid, found = made_up(over, value, one_at_a_time=True)
    effects = grid.effects(over, one_at_a_time=True)
    assert [(e.axis, e.choice, e.against) for e in effects] == [
        ("loss", "siglip", "the recipe"), ("batch", "16", "the recipe"), ("batch", "64", "the recipe"),
    ]  # fmt: skip
    assert [e.mean for e in effects] == pytest.approx([0.1, -0.2, -0.1])
    assert found.tables[0].columns[0] == "cell" and found.tables[0].rows[0][0] == "the recipe"


def test_cells_that_failed_are_left_out_of_effects(made_up):
    """The first choice of an axis failed everywhere: the next one is what the others are held against."""
    over = {"head": ["identity", "linear", "mlp"], "lr": ["1", "2"]}

    def value(choices, seed):
        if choices["head"] == "identity" or (choices == {"head": "mlp", "lr": "2"} and seed):
            return None
        return 0.2 + 0.1 * (choices["head"] == "mlp") + 0.05 * (choices["lr"] == "2")

    grid, found = made_up(over, value)
    effects = {(e.axis, e.choice): e for e in grid.effects(over, one_at_a_time=False)}
    assert effects.keys() == {("head", "mlp"), ("lr", "2")}
    assert effects["head", "mlp"].against == "linear" and effects["head", "mlp"].mean == pytest.approx(0.1)
    assert effects["lr", "2"].mean == pytest.approx(0.05)  # with a linear head alone
    rows = {row[:2]: row for row in found.tables[0].rows}
    assert rows["mlp", "2"][2] == "35.0" and "●" in rows["mlp", "1"][2]  # one seed is no cell to be the best
    assert ("head=mlp, lr=2", "no luck") in found.tables[-1].rows


def test_intervals_are_students_t():
    assert t_interval([1.0]) is None
    assert t_interval([1.0, 2.0]) == pytest.approx((1.5 - 12.706 * 0.5, 1.5 + 12.706 * 0.5), rel=1e-4)
    many = t_interval([0.0, 1.0] * 10)
    assert many[1] - 0.5 == pytest.approx(2.228 * 0.51299 / math.sqrt(20), rel=1e-3)


def test_no_clear_effect_is_said(made_up):
    _, found = made_up({"lr": ["1", "2"]}, lambda choices, seed: 0.3 + 0.1 * seed * (choices["lr"] == "1"))
    assert "No effect's 95 % interval over 2 seeds leaves out zero." in found.answer

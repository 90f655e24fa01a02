"""Recipes: what is accepted, and how each mistake is told."""

from __future__ import annotations

import pytest

from geobind.errors import PluginError, RecipeError
from geobind.plan import load_plan, recipe_paths
from geobind.plugins import get_plugins


def plan_of(path, *overrides):
    return load_plan(str(path), get_plugins(), list(overrides))


def test_defaults_reach_stages_and_stage_keys_win(toy_recipe, write_recipe):
    toy_recipe["stages"][1]["optim"] = {"lr": 0.5}
    b, c = plan_of(write_recipe(toy_recipe)).stages
    assert (b.config.optim.lr, c.config.optim.lr) == (0.01, 0.5)
    assert c.config.optim.epochs == 3  # merged key by key
    assert b.config.head.hidden == 16 and b.config.train.anchor == "head"


def test_later_stages_require_those_that_train_the_anchor(toy_recipe, write_recipe):
    b, c = plan_of(write_recipe(toy_recipe)).stages
    assert b.requires == () and c.requires == ("b",)


@pytest.mark.parametrize(
    ("short", "anchor", "modality"),
    [
        ("anchor", "full", "frozen"),
        ("modality", "frozen", "full"),
        ("both", "full", "full"),
        ("heads", "head", "head"),
        ("none", "frozen", "frozen"),
    ],
)
def test_short_words_for_train(toy_recipe, write_recipe, short, anchor, modality):
    toy_recipe["stages"][0]["train"] = short
    train = plan_of(write_recipe(toy_recipe)).stages[0].config.train
    assert (train.anchor, train.modality, str(train)) == (anchor, modality, short)


def test_resolved_recipe_is_a_fixed_point(toy_recipe, write_recipe):
    first = plan_of(write_recipe(toy_recipe))
    again = plan_of(write_recipe(first.resolved(), "again"))
    assert first.resolved() == again.resolved()
    assert first.resolved()["stages"][0]["encoder"] == {"type": "toy", "width": 16, "noise": 0.0, "pretrained": False}


def test_set_reaches_stages_by_name_and_reads_yaml_and_exponents(toy_recipe, write_recipe):
    plan = plan_of(write_recipe(toy_recipe), "stages.c.optim.lr=1e-4", "stages.0.optim.betas=[0.8, 0.9]")
    assert plan.stages[1].config.optim.lr == 1e-4
    assert plan.stages[0].config.optim.betas == (0.8, 0.9)


def line_of(path, text):
    return next(i for i, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def test_unknown_key_names_the_nearest_and_the_line(toy_recipe, write_recipe):
    toy_recipe["stages"][1]["optim"] = {"epoch": 3}
    path = write_recipe(toy_recipe)
    with pytest.raises(RecipeError, match="unknown key 'stages.1.optim.epoch'. Did you mean 'epochs'") as caught:
        plan_of(path)
    assert caught.value.where == f"{path}:{line_of(path, 'epoch: 3')}"


def test_unknown_key_in_a_component_names_nearest_and_line(toy_recipe, write_recipe):
    toy_recipe["stages"][1]["encoder"] = {"type": "toy", "widht": 3}
    path = write_recipe(toy_recipe)
    with pytest.raises(RecipeError, match="unknown key 'widht'. Did you mean 'width'") as caught:
        plan_of(path)
    assert caught.value.where.startswith(f"{path}:{line_of(path, 'widht')},")


def test_mistakes_in_defaults_point_into_defaults(toy_recipe, write_recipe):
    toy_recipe["defaults"]["optim"]["epochs"] = 0
    path = write_recipe(toy_recipe)
    with pytest.raises(RecipeError, match="greater than or equal to 1") as caught:
        plan_of(path)
    assert caught.value.where == f"{path}:{line_of(path, 'epochs: 0')}"


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"anchor": {"modality": "toy_x", "encoder": {"type": "toy"}}}, PluginError, "unknown modality 'toy_x'.*toy_a"),
        ({"anchor": {"modality": "toy_a", "encoder": {"type": "toi"}}}, PluginError, "unknown encoder 'toi'.*'toy'"),
        ({"anchor": {"modality": "toy_a", "encoder": {}}}, PluginError, "unknown encoder None"),
        ({"anchor": {"encoder": {"type": "toy"}}}, PluginError, "unknown encoder 'toy' for modality 'satellite'"),
        ({"anchor": {"modality": "toy_b", "encoder": {"type": "toy"}}}, RecipeError, "to itself"),
        ({"stages": []}, RecipeError, "at least 1"),
        ({"space": {"dim": "wide"}}, RecipeError, "space.dim = 'wide'"),
        ({"spaces": {}}, RecipeError, "Did you mean 'space'"),
    ],
)
def test_wrong_values_are_told(toy_recipe, write_recipe, change, error, match):
    with pytest.raises(error, match=match):
        plan_of(write_recipe({**toy_recipe, **change}))


def test_stage_mistakes_are_told(toy_recipe, write_recipe):
    stage = toy_recipe["stages"][0]
    for change, error, match in (
        ({"train": "everything"}, RecipeError, "not one of anchor, modality"),
        ({"name": "c"}, RecipeError, "given twice: c"),
        ({"dataset": {"type": "nowhere"}}, PluginError, "unknown dataset 'nowhere'"),
        ({"loss": {"type": "infonce", "direction": "up"}}, RecipeError, "direction = 'up'"),
        ({"modality": "toy_q"}, PluginError, "unknown modality 'toy_q'"),
    ):
        toy_recipe["stages"][0] = {**stage, **change}
        with pytest.raises(error, match=match):
            plan_of(write_recipe(toy_recipe))


def test_yaml_itself_is_checked(tmp_path):
    path = tmp_path / "r.yaml"
    for text, match in (
        ("a: [1", "not valid YAML.*|r.yaml:1"),
        ("a: 1\na: 2", "given twice.*r.yaml:2"),
        ("- 1", "a recipe is a mapping"),
        ("a: !!python/object/apply:os.system [ls]", "not valid YAML"),
    ):
        path.write_text(text)
        with pytest.raises(RecipeError, match=match):
            plan_of(path)


@pytest.mark.parametrize(
    ("assignment", "match"),
    [
        ("stages.q.optim.lr=1", "no item 'q'.*Known: b, c"),
        ("nonsense", "no assignment"),
        ("space.dims=3", "unknown key 'space.dims'.*--set space.dims=3"),
        ("space.dim=[", "is not YAML"),
        ("stages.c.encoder={type: toy, noise: loud}", r"noise = 'loud'.*\(--set stages\.c\.encoder="),
    ],
)
def test_set_mistakes_are_told(toy_recipe, write_recipe, assignment, match):
    with pytest.raises(RecipeError, match=match):
        plan_of(write_recipe(toy_recipe), assignment)


def test_unknown_recipe_names_what_exists():
    with pytest.raises(RecipeError, match="Did you mean 'world'"):
        load_plan("wrld", get_plugins())
    with pytest.raises(RecipeError, match="does not exist"):
        load_plan("nowhere.yaml", get_plugins())


@pytest.mark.parametrize("name", ["world", "mini", "geobind"])
def test_every_recipe_of_the_registry_is_valid(name):
    assert name in recipe_paths(get_plugins())
    plan = load_plan(name, get_plugins())
    assert plan.recipe.summary and plan.recipe.anchor.modality == "satellite"

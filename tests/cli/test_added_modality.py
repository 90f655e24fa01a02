"""``bind --modality`` takes the stage from the recipe of the plugin that brings the modality."""

from __future__ import annotations

import json
import sys

import pytest
import yaml
from typer.testing import CliRunner

from geobind.cli import app
from geobind.cli.common import plan_of
from geobind.errors import RecipeError
from geobind.plan import recipe_that_binds
from geobind.plugins import get_plugins
from geobind.space.records import read_record

GIVER = """
import geobind
@geobind.hookimpl
def geobind_modalities():
    return [geobind.ModalitySpec(name="{modality}", item="array [6]", summary="A modality of the tests")]
@geobind.hookimpl
def geobind_encoders():
    import toy_modality
    return [geobind.EncoderSpec(name="toy", modality="{modality}", config=toy_modality.ToyConfig,
        build="toy_modality:build_toy")]
@geobind.hookimpl
def geobind_datasets():
    return [geobind.DatasetSpec(name="{modality}", config=geobind.Config, build="{module}:build_dataset")]
@geobind.hookimpl
def geobind_recipes():
    return [geobind.RecipeSpec(name=name, path=__file__[:-3] + ".yaml") for name in {recipes}]
def build_dataset(config):
    from dataclasses import replace
    data = geobind.build_dataset({{"type": "toy"}})
    items = data.items
    data.modalities = ("toy_a", "{modality}")
    data.items = lambda modality, split: (
        items("toy_a", split) if modality == "toy_a" else replace(items("toy_c", split), modality="{modality}"))
    return data
"""


@pytest.fixture
def give(toy_recipe, tmp_path):
    """Load a plugin that brings a modality and recipes that bind it to ``toy_a``."""

    def give(modality, *recipes):
        name = f"giver_of_{modality}"
        toy_recipe["stages"][1] |= {"name": modality, "modality": modality, "dataset": {"type": modality}}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(toy_recipe))
        path = tmp_path / f"{name}.py"
        path.write_text(GIVER.format(modality=modality, module=name, recipes=recipes))
        plugins = get_plugins()
        plugins.load_file(path)
        forget.append((plugins, plugins.records[-1], name))

    forget = []
    yield give
    for plugins, record, name in forget:
        plugins.manager.unregister(name=record.name)
        plugins.records.remove(record)
        del sys.modules[name]


def run(*args):
    result = CliRunner().invoke(app, list(map(str, args)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_the_stage_comes_into_the_space(give, toy_recipe, write_recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("bind", "--recipe", write_recipe(toy_recipe))
    before = read_record(tmp_path / "spaces/toy")
    with pytest.raises(RecipeError, match="no defaults any more"):  # they would change nothing
        run("bind", "--modality", "toy_c", "--set", "defaults.optim.epochs=1")
    give("toy_d", "d_recipe")
    run("bind", "--modality", "toy_d", "--set", "stages.toy_d.optim.epochs=1")
    after = read_record(tmp_path / "spaces/toy")
    assert after.towers.keys() == before.towers.keys() | {"toy_d"} and not after.stale
    assert {m: after.towers[m].fingerprint for m in before.towers} == {
        m: tower.fingerprint for m, tower in before.towers.items()
    }
    assert after.recipe["stages"][-1]["optim"]["epochs"] == 1
    assert [s["name"] for s in after.recipe["stages"]] == ["b", "c", "toy_d"]
    listed = json.loads(run("stages", "list", "--json"))["stages"]
    assert [row["bound"] for row in listed if row["stage"] == "toy_d" and row["recipe"] == "toy"] == ["yes"]
    run("bind", "--modality", "toy_d")  # now it is the space's own
    assert [s["name"] for s in read_record(tmp_path / "spaces/toy").recipe["stages"]] == ["b", "c", "toy_d"]
    assert "toy_b → toy_d" in run("evaluate", "--all-pairs")


def test_where_nothing_is_bound_the_recipe_itself_is_taken(give, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    give("toy_e", "e_recipe")
    run("bind", "--modality", "toy_e", "--with-required", "--set", "defaults.optim.epochs=1")
    assert read_record(tmp_path / "spaces/e_recipe").towers.keys() == {"toy_a", "toy_b", "toy_e"}


def test_no_choice_is_made_between_two(give):
    give("toy_f", "f_one", "f_two")
    with pytest.raises(RecipeError, match="several recipes have a stage for modality 'toy_f': 'f_one', 'f_two'"):
        plan_of(None, None, None, modality="toy_f")
    with pytest.raises(RecipeError, match="no stage for modality 'toy_f'"):
        plan_of("world", None, None, modality="toy_f").stages_of("toy_f")


def test_another_anchor_is_no_match(give):
    give("toy_g", "g_recipe")
    assert recipe_that_binds("toy_g", "satellite", get_plugins()) is None
    assert recipe_that_binds("toy_g", "toy_a", get_plugins()).name == "g_recipe"

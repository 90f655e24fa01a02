"""The space folder: what is refused, what is lazy, what is written whole."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

import geobind
from geobind.bind.binder import bind
from geobind.errors import DataError, PluginError, RecipeError, SpaceError, WeightsError
from geobind.plan import load_plan
from geobind.plugins import get_plugins
from geobind.space import checkpoint
from geobind.space.recipe import plan_of_record
from geobind.space.records import read_record


@pytest.fixture
def space(toy_recipe, write_recipe, tmp_path):
    plan = load_plan(str(write_recipe(toy_recipe)), get_plugins())
    bind(plan, plan.stages, space=tmp_path / "space", runs=tmp_path / "runs")
    return tmp_path / "space"


def tower_file(space, modality):
    return space / json.loads((space / "space.json").read_text())["towers"][modality]["file"]


def test_one_tower_loads_without_the_others(space):
    tower_file(space, "toy_b").unlink()
    tower_file(space, "toy_c").unlink()
    loaded = geobind.load(space)
    assert loaded.encode("toy_a", [np.ones(6)]).shape == (1, 8)
    with pytest.raises(SpaceError, match="tower file .* is missing"):
        loaded.encode("toy_b", [np.ones(6)])


def test_similarity_is_the_cosine(space):
    loaded = geobind.load(space)
    z = loaded.encode("toy_a", list(np.random.default_rng(0).normal(size=(4, 6))))
    np.testing.assert_allclose(loaded.similarity(z, z).diagonal(), 1, atol=1e-6)
    assert loaded.similarity(z, z[:2]).shape == (4, 2)


def test_no_items_give_no_rows_and_a_single_item_is_refused(space):
    loaded = geobind.load(space)
    assert loaded.encode("toy_a", []).shape == (0, 8)
    with pytest.raises(SpaceError, match="takes a list"):
        loaded.encode("toy_a", "file.jpg")
    with pytest.raises(SpaceError, match="'toy_x' is not bound.*toy_a"):
        loaded.encode("toy_x", [1])


def test_a_pickle_in_place_of_a_tower_is_refused(space):
    tower_file(space, "toy_a").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(WeightsError, match="not a safetensors file but a pickle"):
        geobind.load(space).tower("toy_a")


def test_a_tower_from_another_space_is_refused(space):
    tower_file(space, "toy_b").write_bytes(tower_file(space, "toy_c").read_bytes())
    with pytest.raises(SpaceError, match=r"SHA-256 .*, space.json says"):
        geobind.load(space).tower("toy_b")


def test_an_anchor_of_another_space_is_refused(space):
    """Two spaces' towers must not meet: the anchor's fingerprint ties them."""
    record = json.loads((space / "space.json").read_text())
    record["towers"]["toy_b"]["bound_to"] = "0123456789abcdef"
    (space / "space.json").write_text(json.dumps(record))
    with pytest.raises(SpaceError, match="bound to anchor 0123456789abcdef.*cannot be compared"):
        geobind.load(space).tower("toy_b")


@pytest.mark.parametrize(
    ("change", "match"),
    [({"format": 99}, "format 99"), ({"dim": "x"}, "dim = 'x'"), ({"extra": 1}, "unknown key 'extra'")],
)
def test_a_changed_record_is_refused(space, change, match):
    record = json.loads((space / "space.json").read_text())
    (space / "space.json").write_text(json.dumps({**record, **change}))
    with pytest.raises(SpaceError, match=match):
        geobind.load(space)


def test_a_modality_that_its_plugin_does_not_offer_here_is_told(space):
    """As where a plugin takes modalities from a file of the user's, and the space is opened in another folder."""
    text = (space / "space.json").read_text().replace('"toy_c"', '"toy_gone"')
    (space / "space.json").write_text(text)
    what = r"modality 'toy_gone' of the space is offered by no plugin here; its encoder 'toy' is, .*'toy_modality'"
    with pytest.raises(PluginError, match=what + r".* \(.*space\)\. Where a plugin takes modalities from files"):
        geobind.load(space).tower("toy_gone")
    with pytest.raises(PluginError, match=what):
        plan_of_record(read_record(space), "space.json", get_plugins())
    values = json.loads(text)
    values["towers"]["toy_gone"]["encoder"]["type"] = "strange"
    (space / "space.json").write_text(json.dumps(values))
    with pytest.raises(PluginError, match="unknown encoder 'strange' for modality 'toy_gone'"):
        geobind.load(space).tower("toy_gone")


def test_the_recipe_of_a_space_with_keys_laid_over_it(space):
    record, plugins = read_record(space), get_plugins()
    plan = plan_of_record(record, "space.json", plugins, ["stages.b.note=another"])
    assert plan.stage("b").config.note == "another" and record == read_record(space)
    with pytest.raises(RecipeError, match="no defaults any more"):
        plan_of_record(record, "space.json", plugins, ["defaults.optim.epochs=1"])


def test_no_space_says_how_to_make_one(tmp_path):
    with pytest.raises(SpaceError, match="there is no space.*geobind bind"):
        geobind.load(tmp_path)


def test_a_write_that_fails_leaves_the_old_space(space, monkeypatch):
    before = {file: file.read_bytes() for file in space.rglob("*") if file.is_file()}
    real = checkpoint.write_atomic

    def fail(path, data):
        if path.name == "space.json":
            raise OSError("disk full")
        return real(path, data)

    monkeypatch.setattr(checkpoint, "write_atomic", fail)
    record = read_record(space)
    other = geobind.load(space).tower("toy_c")
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save_space(space, record, {"toy_b": other})
    assert all(file.read_bytes() == content for file, content in before.items())
    assert geobind.load(space).encode("toy_b", [np.ones(6)]).shape == (1, 8)


def test_card_says_what_the_space_holds(space):
    card = (space / "README.md").read_text()
    assert "anchored in **toy_a**" in card and "made up for tests" in card and "random" in card


def test_bad_items_are_told_by_the_encoder(space):
    broken = load_plan(str(space.parent / "toy.yaml"), get_plugins(), ["defaults.dataset.bad=3"])
    items = broken.stages[0].dataset.build().items("toy_a", "train")
    with pytest.raises(DataError, match="row 3 is bad"):
        geobind.load(space).encode("toy_a", items)

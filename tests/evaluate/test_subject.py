"""What is evaluated: stored features give what the towers give, and what cannot be read is left out and told."""

from __future__ import annotations

import numpy as np
import pytest

import geobind
from geobind.bind.binder import bind
from geobind.errors import DataError, GeobindError
from geobind.evaluate.retrieval import all_pairs
from geobind.evaluate.subject import Subject
from geobind.features.cache import FeatureCache
from geobind.plan import load_plan
from geobind.plugins import get_plugins


@pytest.fixture
def bound(toy_recipe, write_recipe, tmp_path):
    """A toy space and a function that makes its dataset, with changes."""
    plan = load_plan(str(write_recipe(toy_recipe)), get_plugins())
    bind(plan, plan.stages, space=tmp_path / "space", runs=tmp_path / "runs")

    def dataset(**changes):
        toy_recipe["defaults"]["dataset"] = {"type": "toy", **changes}
        return load_plan(str(write_recipe(toy_recipe)), get_plugins()).stages[0].dataset.build()

    return geobind.load(tmp_path / "space"), dataset


def test_stored_features_give_what_the_towers_give(bound, tmp_path):
    space, dataset = bound
    stored = Subject(space, [dataset()], cache=FeatureCache(tmp_path / "features"))
    plain = Subject(space, [dataset()])
    for modality in ("toy_a", "toy_b", "toy_c"):
        first, second = stored.embedded(modality), plain.embedded(modality)
        np.testing.assert_allclose(first.vectors, second.vectors, atol=1e-6)
        assert first.items.place.tolist() == second.items.place.tolist()
    assert all_pairs(stored).get("toy_b", "toy_c").scores == all_pairs(plain).get("toy_b", "toy_c").scores


def test_an_item_that_cannot_be_read_is_left_out_and_told(bound, tmp_path, capsys):
    space, dataset = bound
    subject = Subject(space, [dataset(bad=170, bad_in="toy_b")], cache=FeatureCache(tmp_path / "features"))
    result = all_pairs(subject)
    assert "left out 1 toy_b items; the first: row 170 is bad" in capsys.readouterr().err
    assert subject.unreadable["toy_b"][0].startswith("row 170 is bad")
    assert (result.get("toy_a", "toy_b").protocol.queries, result.get("toy_a", "toy_b").protocol.left_out) == (39, 2)
    assert (result.get("toy_a", "toy_c").protocol.queries, result.get("toy_a", "toy_c").protocol.left_out) == (40, 0)
    assert len(subject.embedded("toy_b").items) == 39
    whole = all_pairs(Subject(space, [dataset()])).get("toy_a", "toy_c").scores
    assert result.get("toy_a", "toy_c").scores == whole


def test_other_splits_are_asked_by_name(bound):
    space, dataset = bound
    subject = Subject(space, [dataset()])
    assert [len(subject.embedded("toy_a", split).items) for split in ("train", "val", "test")] == [140, 20, 40]


def test_refusals(bound):
    space, dataset = bound
    with pytest.raises(GeobindError, match="unknown split 'tst'. Did you mean 'test'"):
        Subject(space, [dataset()], split="tst")
    with pytest.raises(GeobindError, match="no dataset to evaluate on"):
        Subject(space, [])
    with pytest.raises(DataError, match="no dataset holds elevation items in the split 'test'"):
        Subject(space, [dataset()]).embedded("elevation")

"""The three recipes with text as the anchor: what they say, that the small one learns, and how the large one fails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import geobind
from geobind.bind.binder import bind
from geobind.errors import DataError, WeightsError
from geobind.plan import load_plan
from geobind.plugins import get_plugins
from geobind.space.records import read_record

NAMES = ["geolangbind", "geolangbind-world", "geolangbind-mini"]


def plan_of(name, *overrides):
    return load_plan(name, get_plugins(), list(overrides))


@pytest.mark.parametrize("name", NAMES)
def test_text_is_a_locked_anchor_and_all_images_share_a_tower(name):
    plan = plan_of(name)
    assert plan.recipe.summary
    assert (plan.recipe.anchor.modality, plan.recipe.anchor.head.type) == ("text", "identity")
    assert {stage.config.tower for stage in plan.stages} == {"image"}
    assert {str(stage.config.train) for stage in plan.stages} == {"modality"}
    assert {stage.encoder.type for stage in plan.stages} == {"dynamic_vit"}


def test_the_published_one_has_its_stages_and_teachers_in_order():
    plan = plan_of("geolangbind")
    modalities = ["rgb", "sar", "multispectral", "hyperspectral", "infrared", "elevation"]
    assert [stage.config.modality for stage in plan.stages] == modalities
    assert [stage.config.merge is None for stage in plan.stages] == [True, *[False] * 5]
    for stage in plan.stages:
        loss = stage.loss.config
        assert [(teacher.name, teacher.weight) for teacher in loss.teachers] == [
            ("siglip", 2),
            ("dinov2", 1),
            ("supervised", 1),
        ]
        optim = stage.config.optim
        assert (optim.batch_size, optim.lr, optim.weight_decay, optim.betas) == (840, 5e-4, 1e-7, (0.9, 0.98))


def test_the_published_one_names_what_is_missing():
    plan = plan_of("geolangbind")
    for stage in plan.stages:
        with pytest.raises(DataError, match="'data/GeoLangBind-2M' does not exist"):
            stage.dataset.build()
        with pytest.raises(WeightsError, match=re.escape("ViT-B-16-SigLIP")):
            geobind.modality.load_object(stage.encoder.spec.weights)(stage.encoder.config)


def test_the_world_is_learnt_by_one_tower(tmp_path):
    """A step or two of each stage, of a tower that is smaller still: bound, shared, merged, of one space."""
    small = ("n=48", "encoder.width=32", "encoder.depth=1", "encoder.heads=2", "optim.epochs=1", "optim.batch_size=16")
    keys = [f"defaults.dataset.{small[0]}", *(f"defaults.{key}" for key in small[1:])]
    plan = plan_of("geolangbind-world", *keys)
    bind(plan, plan.stages, space=tmp_path / "space", runs=tmp_path / "runs")
    towers = read_record(tmp_path / "space").towers
    assert set(towers) == {"text", "rgb", "elevation"}
    assert towers["rgb"].sha256 == towers["elevation"].sha256 != towers["text"].sha256
    assert towers["elevation"].stages == ("rgb", "elevation")
    space, world = geobind.load(tmp_path / "space"), plan.stages[0].dataset.build()
    items = world.items("rgb", "test")
    assert space.encode("rgb", [items[0], items[1]]).shape == (2, 384)
    assert space.encode("elevation", [world.items("elevation", "test")[0]]).shape == (1, 384)


@pytest.mark.shared
def test_the_real_corpus_has_a_picture_and_its_captions(shared, monkeypatch):
    monkeypatch.chdir(Path(__file__).resolve().parents[1])
    dataset = plan_of("geolangbind-mini").stages[0].dataset.build()
    pictures, captions = (dataset.items(modality, "test") for modality in ("rgb", "text"))
    assert len(pictures) == 970 + 549
    assert set(pictures.place.tolist()) == set(captions.place.tolist())

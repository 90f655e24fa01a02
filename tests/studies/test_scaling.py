"""``--scaling`` on the toy recipe."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from geobind.errors import RecipeError, SpaceError
from geobind.studies.scaling import scaling


def test_frozen_pairs_are_the_same_to_the_bit(plan, tmp_path):
    found = scaling(plan(), workdir=tmp_path)
    assert "Nothing was forgotten over 1 addition" in found.answer[0] and "(largest change 0)" in found.answer[0]
    first, second = found.details["steps"]
    assert (first["modalities"], second["modalities"]) == (2, 3)
    assert second["fingerprints"].items() > first["fingerprints"].items()
    assert second["space_mb"] > first["space_mb"] > 0 and min(first["peak_mb"], second["peak_mb"]) > 10
    assert first["bind_s"] > 0 and first["evaluate_s"] > 0
    assert not second["moved"] and not second["lost"] and not second["differences"]
    was = {(p["protocol"]["query"], p["protocol"]["gallery"]): p["scores"] for p in first["all_pairs"]["results"]}
    now = {(p["protocol"]["query"], p["protocol"]["gallery"]): p["scores"] for p in second["all_pairs"]["results"]}
    assert len(was) == 2 and len(now) == 6 and all(now[pair] == scores for pair, scores in was.items())
    assert (tmp_path / "scaling" / "space" / "space.json").is_file()
    with pytest.raises(SpaceError, match="has left its space"):
        scaling(plan(), workdir=tmp_path)


def test_figures_carry_their_protocol(plan):
    found = scaling(plan(), split="val")
    assert found.protocol["split"] == "val" and found.protocol["stages"] == "b, c"
    assert {m.protocol["after"] for m in found.measures} == {"b", "c"}
    recalls = [m for m in found.measures if m.metric == "R@10"]
    assert len(recalls) == 2 + 6 and all(m.low <= m.value <= m.high and m.chance == pytest.approx(0.5) for m in recalls)
    assert all(m.protocol["origin"] == "made up for tests" for m in found.measures)
    cost, quality = found.tables
    assert [row[:2] for row in cost.rows] == [("b", 2), ("c", 3)]
    level = [row for row in quality.rows if {"toy_a", "toy_b"} == set(row[0].split(" → "))]
    assert len(level) == 2 and all(row[2] == row[3] for row in level)
    assert len([row for row in quality.rows if row[1] == "emergent" and row[2] == "–"]) == 2
    json.dumps(found.as_dict(), allow_nan=False)
    for picture in found.pictures:
        assert Image.open(io.BytesIO(picture.png)).size[0] > 400 and picture.alt and picture.caption


def test_a_stage_that_moves_the_anchor_is_told(plan):
    def change(recipe):
        recipe["stages"][1]["train"] = "heads"

    found = scaling(plan(change))
    assert "stage c" in found.answer[0] or "c changed the toy_a tower" in found.answer[0]
    assert "2 of 2 measurements of earlier pairs are lost" in found.answer[0]
    assert found.details["steps"][1]["stale"] == ["toy_b"]
    assert found.tables[0].rows[1][6:9] == (2, 0, 2)


def test_a_modality_bound_again_changes_its_pairs(plan):
    def change(recipe):
        recipe["stages"][1] = {**recipe["stages"][0], "name": "b2", "train": "modality"}

    found = scaling(plan(change))
    assert "kept their fingerprints; the largest change of R@10" in found.answer[0]
    assert found.tables[0].rows[1][6:9] == (2, 0, 0)
    assert found.details["steps"][1]["differences"].keys() == {"toy_a → toy_b", "toy_b → toy_a"}


def test_one_stage_has_nothing_to_forget(plan):
    found = scaling(plan(lambda recipe: recipe["stages"].pop()))
    assert found.answer[0].startswith("The recipe has one stage")


def test_a_joint_training_adds_nothing_to_anything(plan):
    with pytest.raises(RecipeError, match="at the same time"):
        scaling(plan(lambda recipe: recipe.update(training="joint")))

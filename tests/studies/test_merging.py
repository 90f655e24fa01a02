"""``geobind merge --sweep`` on the toy recipe: the curve, what is told of it, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from geobind.errors import GeobindError, RecipeError, SpaceError
from geobind.evaluate.scores import per_query
from geobind.space.merge import merge
from geobind.space.records import read_record
from geobind.studies.merging import sweep
from geobind.studies.merging.asked import Asked, ks_of
from geobind.studies.merging.told import to_csv
from geobind.studies.work import bind_into, evaluate_space, space_in

B, C = "toy_a>toy_b:R@10", "toy_c>toy_a:median rank"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder for what all tests look at, and what is in it."""
    return tmp_path_factory.mktemp("merging"), []


@pytest.fixture
def two(plan, kept):
    """The plan, a space, and the same space after it has learnt toy_b from other data; none is to be changed."""
    folder, known = kept

    def change(recipe):
        more = {**recipe["stages"][0], "name": "more", "train": "modality", "dataset": {"type": "toy", "seed": 5}}
        recipe["stages"].append({**more, "optim": {"epochs": 5, "lr": 0.02}})

    if not known:
        toy = plan(change)
        bind_into(toy, toy.stages[:2], folder / "before")
        shutil.copytree(folder / "before", folder / "after")
        bind_into(toy, toy.stages[2:], folder / "after")
        known += toy, space_in(folder / "before"), space_in(folder / "after")
    return known


def test_the_curve_is_that_of_merged_spaces(two, tmp_path):
    toy, a, b = two
    done = sweep(a, b, [1, 0.5, 0, 0.5], [B, "toy_b>toy_a:R@7"])
    assert [point.alpha for point in done.points] == [0, 0.5, 1] and done.split == "val"
    merge(a, b, 0.5, tmp_path / "half")
    for point, space in zip(done.points, (a, tmp_path / "half", b), strict=True):
        own = evaluate_space(space, toy, split="val", modalities=["toy_a", "toy_b"], ks=(1, 5, 7, 10))
        assert own.get("toy_a", "toy_b").scores == point.result.get("toy_a", "toy_b").scores
    values = done.values(done.asked[0])
    assert done.best.alpha == [0, 0.5, 1][int(np.argmax(values))]
    assert not (tmp_path / "merge").exists()

    found = done.finding()
    assert f"toy_a → toy_b R@10 is best at alpha {done.best.alpha:g}: {100 * max(values):.1f} %" in found.answer[0]
    assert "chance 50.0 %" in found.answer[0] and "20 queries of the val split" in found.answer[0]
    assert "errs upwards" in found.answer[-1]
    (table,) = found.tables
    assert [row[0].removesuffix(" ●") for row in table.rows] == ["0", "0.5", "1"]
    assert sum("●" in str(row[0]) for row in table.rows) == 1
    assert len(found.measures) == 6 and {m.protocol["alpha"] for m in found.measures} == {0, 0.5, 1}
    assert all(m.low <= m.value <= m.high and m.chance is not None for m in found.measures)
    json.dumps(found.as_dict(), allow_nan=False)
    lines = list(csv.DictReader(io.StringIO(to_csv(done))))
    assert [float(line["value"]) for line in lines[::2]] == values and lines[1]["metric"] == "R@7"
    image = Image.open(io.BytesIO(found.pictures[0].png))
    assert image.size[0] > 400 and "toy_a → toy_b R@10" in found.pictures[0].alt


def test_the_best_is_held_against_the_ends_over_the_same_queries(two):
    _, a, b = two
    done = sweep(a, b, [0, 0.5, 1], [B])
    hits = [per_query(p.result.rankings["toy_a", "toy_b"])["R@10"] for p in done.points]
    best = done.points.index(done.best)
    told = " ".join(done.finding().answer)
    for end in {0, 2} - {best}:
        if (hits[best] != hits[end]).any():
            assert f"{100 * (hits[best] - hits[end]).mean():+.1f} points [" in told


def test_of_a_rank_less_is_better_and_the_test_split_is_told(two):
    _, a, b = two
    done = sweep(a, b, [0, 0.3], [C], split="test", towers=["toy_c"])
    values = done.values(done.asked[0])
    assert values[0] == values[1] and done.best.alpha == 0, "toy_c is the same in both"
    answer = done.finding().answer
    assert "that is peeking" in answer[-1] and len(answer) == 2
    assert "it is" not in answer[0]


@pytest.mark.parametrize(
    ("metrics", "match"),
    [
        ([], "needs a figure to go by"),
        (["R@10"], "'R@10' names no figure of a direction.*'text>rgb:R@10'"),
        (["toy_a>toy_b:R@"], "has no figure 'R@'.*R@1"),
        (["toy_a>toy_d:R@10"], "'toy_d' is not bound"),
    ],
)
def test_a_metric_that_is_none(two, metrics, match):
    with pytest.raises(GeobindError, match=match):
        sweep(*two[1:], [0, 1], metrics)


def test_other_refusals(two, tmp_path):
    _, a, b = two
    with pytest.raises(RecipeError, match="over 1 alpha has no curve"):
        sweep(a, b, [0.5, 0.5], [B])
    with pytest.raises(RecipeError, match="no defaults any more"):  # they would change nothing
        sweep(a, b, [0, 1], [B], overrides=["defaults.optim.epochs=1"])
    with pytest.raises(SpaceError, match="alpha = 2"):
        sweep(a, b, [0, 2], [B])
    assert read_record(a).towers["toy_b"].merged is None


def test_figures_as_they_are_asked_for():
    asked = Asked.read(" text → rgb : nDCG@20 ")
    assert (asked.query, asked.gallery, asked.figure, asked.label) == ("text", "rgb", "nDCG@20", "text → rgb nDCG@20")
    assert ks_of([asked, Asked.read("a>b:D@3 km"), Asked.read("a>b:mAP")]) == (1, 3, 5, 10, 20)
    assert not Asked.read("a>b:median rank").is_share and asked.write(0.5) == "50.0 %"

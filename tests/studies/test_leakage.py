"""``--leakage`` on towns whose looks tell their region and nothing else."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geobind.data.geo import great_circle_km
from geobind.errors import DataError, GeobindError, RecipeError
from geobind.studies.leakage.figures import Direction, ratio
from geobind.studies.leakage.study import leakage, nearest_km


def test_the_random_split_lies_above_the_spatial_one(towns, tmp_path):
    found = leakage(towns(), workdir=tmp_path)
    assert all(sentence.startswith("The random split flatters R@10 of toy_") for sentence in found.answer[:2])
    figures = {(m.of, m.metric): m for m in found.measures}
    for pair in ("toy_a → toy_b", "toy_b → toy_a"):
        random, spatial = (figures[f"{pair}, {word} split", "R@10"] for word in ("random", "spatial"))
        assert random.low > spatial.high and random.chance == spatial.chance
        times = figures[pair, "R@10, random / spatial"]
        assert times.value == pytest.approx(random.value / spatial.value)
        assert 1 < times.low <= times.value <= times.high
        assert random.n == spatial.n
        median = figures[f"{pair}, random split", "median rank / gallery"]
        assert median.low <= median.value <= median.high < 0.5 and not median.higher_is_better
    km = {of: m.value for (of, metric), m in figures.items() if metric.startswith("km")}
    assert km["random split"] < 40 < 200 < km["spatial split"]
    sizes = [trial["places"] for trial in found.details["trials"]]
    assert len(sizes) == 4 and all(size == sizes[0] for size in sizes)
    galleries = {p["protocol"]["gallery_size"] for t in found.details["trials"] for p in t["all_pairs"]["results"]}
    assert galleries == {sizes[0]["test"]}
    assert found.protocol["stage"] == "b alone, learns: anchor head, modality full (in the recipe: modality)"
    assert "made up for tests" in found.protocol["pairs"]
    assert {path.name for path in (tmp_path / "leakage").iterdir()} == {"random-0", "blocks-0", "random-1", "blocks-1"}
    json.dumps(found.as_dict(), allow_nan=False)
    for picture in found.pictures:
        assert Image.open(io.BytesIO(picture.png)).size[0] > 400 and picture.alt


def test_what_cannot_be_asked(towns, plan):
    with pytest.raises(DataError, match="no stage of recipe 'toy' has items that share a place of known coordinates"):
        leakage(plan())
    with pytest.raises(DataError, match="no place has toy_a and toy_b items and coordinates"):
        leakage(towns(located=False), modality="toy_b")
    with pytest.raises(RecipeError, match="no stage for modality 'sound'"):
        leakage(towns(), modality="sound")
    with pytest.raises(DataError, match="blocks of 180° leave no place for the split"):
        leakage(towns(), degrees=180)
    with pytest.raises(GeobindError, match="no seed"):
        leakage(towns(), seeds=())


places = st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=20).map(np.array)


@given(places, places)
@settings(max_examples=50, deadline=None)
def test_the_nearest_place_is_the_nearest(points, others):
    every = great_circle_km(points[:, None], others[None])
    assert nearest_km(points, others) == pytest.approx(every.min(axis=1), abs=1e-3)


def direction(hits, blocks):
    rank = np.where(np.asarray(hits, dtype=bool), 1.0, 99.0)
    return Direction(
        by="random",
        k=10,
        rank=rank,
        gallery=np.full(len(rank), 100.0),
        block=np.asarray(blocks),
        by_seed=(),
        chance_recall=0.1,
        chance_median=0.5,
    )


def test_the_ratio_and_its_interval():
    alike = direction([1, 0] * 200, range(400))
    value, low, high = ratio(alike, alike)
    assert value == 1 and 0.75 < low < 1 < high < 1.3
    # Neighbours that share their fate count as one: the same share, from four blocks.
    clumped = direction([1] * 200 + [0] * 200, np.arange(400) // 100)
    value, low, high = ratio(alike, clumped)
    assert value == 1 and low < 0.7 and (high is None or high > 1.5)
    assert ratio(alike, direction([0] * 400, range(400))) is None
    seldom = direction([1] + [0] * 399, range(400))
    value, low, high = ratio(alike, seldom)
    assert value == 200 and high is None and low > 10

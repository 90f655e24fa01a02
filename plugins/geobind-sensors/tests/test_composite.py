import itertools

import numpy as np
import pytest
import torch
from geobind_satellite import EfficientNetLite0Config, TimmConfig
from geobind_satellite.timm import build as build_timm
from geobind_sensors import composite_tower, examples
from geobind_sensors.image import Band, SensorImage
from geobind_sensors.modalities import MODALITIES
from geobind_sensors.pictures import as_picture, choose, composite_picture, preview, preview_classes
from geobind_sensors.sensors import load_sensors, make_image
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geobind.errors import DataError


def names(bands):
    return [bands[row].name for row in choose(bands)]


@pytest.mark.parametrize(
    ("sensor", "bands", "shown"),
    [
        ("sentinel2", None, ["B04", "B03", "B02"]),
        ("sentinel2", ["B08", "B02", "B04", "B03"], ["B04", "B03", "B02"]),
        ("sentinel2", ["B08", "B11", "B12"], ["B12", "B11", "B08"]),  # none of the three: the longest is red
        ("enmap", None, ["B48", "B30", "B9"]),
        ("sentinel1", None, ["VV", "VH"]),
        ("thermal", None, ["temperature"]),
        ("rgbn", ["nir", "red", "green"], ["nir", "red", "green"]),  # colour infrared
        ("relief", None, ["red", "green", "blue"]),
    ],
)
def test_which_bands_a_sensor_shows(sensor, bands, shown):
    assert names(load_sensors()[sensor].bands(bands)) == shown


def test_the_202_bands_of_enmap_are_shown_as_published():
    """GeoLangBind shows bands 47, 29 and 8, counted from 0; without their declaration, wavelengths say nearly so."""
    bands = load_sensors()["enmap"].bands()
    assert len(bands) == 202 and choose(bands) == (47, 29, 8)
    bare = [Band(band.name, band.wavelength, band.units) for band in bands]
    assert [bare[row].wavelength for row in choose(bare)] == pytest.approx([0.665, 0.56, 0.49], abs=0.004)


def test_bands_without_wavelengths_are_shown_in_their_order():
    assert choose([Band(name, None, "dB") for name in "abcd"]) == (0, 1, 2)
    assert choose([Band("a", None, "1"), Band("b", 0.5, "1"), Band("c", 0.6, "1")]) == (0, 1, 2)


@settings(max_examples=30, deadline=None, database=None, derandomize=True)
@given(st.lists(st.floats(0.4, 12), min_size=3, max_size=9, unique=True).flatmap(st.permutations))
def test_the_order_of_bands_does_not_matter_to_what_is_shown(lengths):
    """The nearest three of all, whatever stands where; the longest is red."""
    bands = [Band(str(i), length, "1") for i, length in enumerate(lengths)]
    shown = [lengths[row] for row in choose(bands)]
    assert shown == sorted(shown, reverse=True)

    def off(three):
        return sum(abs(a - b) for a, b in zip(three, (0.665, 0.56, 0.49), strict=True))

    best = min(map(off, itertools.combinations(sorted(lengths, reverse=True), 3)))
    assert off(shown) == pytest.approx(best)


def test_bytes_are_shown_as_they_are():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    relief = make_image(pixels.transpose(2, 0, 1), "relief", convention="geolangbind")
    np.testing.assert_array_equal(composite_picture(relief), pixels)
    as_floats = SensorImage(relief.values + np.float32(0.4), relief.bands)
    np.testing.assert_array_equal(composite_picture(as_floats), pixels)


def ramp(**band):
    values = np.linspace(0, 100, 101, dtype=np.float32).reshape(1, 1, -1)
    return composite_picture(SensorImage(values, (Band("a", 11, "K", **band),)))[0, :, 0]


def test_values_are_stretched_by_what_is_declared_then_by_statistics_then_by_the_image():
    statistics = {"mean": 50.0, "std": 20.0}
    assert [int(ramp(display=(20, 60), **statistics)[at]) for at in (20, 40, 60)] == [0, 128, 255]
    assert [int(ramp(**statistics)[at]) for at in (10, 50, 90)] == [0, 128, 255]
    assert [int(ramp()[at]) for at in (2, 50, 98)] == [0, 128, 255]


def test_one_band_is_grey_and_the_second_of_two_is_shown_twice():
    grey = composite_picture(examples.infrared(0))
    assert (grey == grey[..., :1]).all()
    two = composite_picture(examples.sentinel1(0))
    assert (two[..., 1] == two[..., 2]).all() and (two[..., 0] != two[..., 1]).any()


def test_bands_can_be_asked_for():
    image = examples.sentinel2(0)
    np.testing.assert_array_equal(
        composite_picture(image, ["B8A", "B04", "B03"])[..., 1], composite_picture(image)[..., 0]
    )
    one = composite_picture(image, ["B04"])
    np.testing.assert_array_equal(one, one[..., :1].repeat(3, axis=2))
    with pytest.raises(DataError, match="no band 'B10'"):
        composite_picture(image, ["B10"])


def test_where_there_is_no_data_it_is_black_and_changes_nothing_else():
    image = examples.infrared(2)
    assert image.valid is not None and not image.valid[0, 0]
    spoilt = image.values.copy()
    spoilt[:, ~image.valid] = np.nan
    picture = composite_picture(SensorImage(spoilt, image.bands, image.valid))
    assert (picture[~image.valid] == 0).all()
    np.testing.assert_array_equal(picture, composite_picture(image))
    nothing = SensorImage(spoilt, image.bands, np.zeros_like(image.valid))
    assert (composite_picture(nothing) == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_data_that_is_no_number_is_refused(value):
    image = examples.sentinel2(0)
    image.values[image.names.index("B04"), 3, 3] = value
    with pytest.raises(DataError, match="band B04 holds NaN or infinity"):
        composite_picture(image)


def test_arrays_that_are_no_pictures_are_refused_and_pictures_pass(tmp_path):
    with pytest.raises(DataError, match="says nothing of its bands"):
        as_picture(np.zeros((12, 8, 8), np.uint8))
    path = tmp_path / "picture.png"
    Image.new("RGB", (5, 4)).save(path)
    assert as_picture(path) == path
    assert preview(path).size == (5, 4)


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_modality_has_a_preview_with_structure(modality):
    picture = preview(getattr(examples, modality)(0))
    assert np.asarray(picture).std() > 10


def test_maps_of_classes_have_a_colour_per_class():
    codes = np.arange(7).reshape(1, 7)
    colours = np.asarray(preview_classes(codes))[0]
    assert len({tuple(colour) for colour in colours}) == 7 and colours[0].tolist() == [255, 255, 255]
    with pytest.raises(DataError, match="no integers|map of classes"):
        preview_classes(np.zeros((2, 2)))


# -- towers ---------------------------------------------------------------------------------------

CONFIG = TimmConfig(model="test_vit", pretrained=False, image_size=32)


@pytest.fixture(scope="module")
def towers():
    """A tower behind a composite, and the same tower without."""
    built = []
    for build in (composite_tower.timm, build_timm):
        torch.manual_seed(0)
        built.append(build(CONFIG).eval())
    return built


def test_a_tower_sees_an_image_of_bytes_as_it_saw_the_picture(towers):
    """What was bound to relief pictures keeps its figures when they become images of a sensor."""
    behind, plain = towers
    pixels = np.random.default_rng(1).integers(0, 256, (40, 44, 3), dtype=np.uint8)
    image = make_image(pixels.transpose(2, 0, 1), "relief", convention="geolangbind")
    for train in (False, True):
        random = [torch.Generator().manual_seed(3) for _ in range(3)]
        seen = plain.preprocess(pixels, train=train, generator=random[0])
        for item, generator in ((image, random[1]), (pixels, random[2])):
            torch.testing.assert_close(behind.preprocess(item, train=train, generator=generator), seen, rtol=0, atol=0)
    with torch.no_grad():
        batch = plain.collate([seen])
        torch.testing.assert_close(behind(batch), plain(batch), rtol=0, atol=0)
        features, tokens = behind.features_and_tokens(batch)
        torch.testing.assert_close(features, plain(batch), rtol=0, atol=0)
        torch.testing.assert_close(tokens, plain.tokens(batch), rtol=0, atol=0)


def test_all_else_is_the_towers_own(towers):
    behind, plain = towers
    assert behind.embed_dim == plain.embed_dim
    assert behind.throughput_batch == plain.throughput_batch
    assert len(behind.blocks()) == len(plain.blocks()) > 0
    assert behind.depths() == {f"tower.{name}": depth for name, depth in plain.depths().items()}
    assert set(behind.depths()) == {name for name, _ in behind.named_parameters()}
    assert plain.describe_preprocessing().items() <= behind.describe_preprocessing().items()
    assert behind.load_pretrained() == "random"


def test_images_of_any_bands_share_a_tower(towers):
    samples = [
        towers[0].preprocess(getattr(examples, modality)(0), train=False)
        for modality in ("rgb", "sentinel2", "sentinel1", "hyperspectral", "infrared")
    ]
    with torch.no_grad():
        features = towers[0](towers[0].collate(samples))
    assert features.shape == (5, towers[0].embed_dim) and features.isfinite().all()


def test_bands_of_a_composite_can_be_chosen():
    plain = build_timm(CONFIG)
    chosen = composite_tower.Composite(plain, ["B12", "B8A", "B04"])
    image = examples.sentinel2(0)
    wanted = plain.preprocess(composite_picture(image, ["B12", "B8A", "B04"]), train=False)
    torch.testing.assert_close(chosen.preprocess(image, train=False), wanted, rtol=0, atol=0)
    assert chosen.describe_preprocessing()["bands"] == ["B12", "B8A", "B04"]


@pytest.mark.parametrize(
    ("build", "config"),
    [(composite_tower.efficientnet_lite0, EfficientNetLite0Config(pretrained=False, image_size=32))],
)
def test_efficientnet_stands_behind_one_too(build, config):
    assert build(config).embed_dim == 1280

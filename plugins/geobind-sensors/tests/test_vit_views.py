"""What the network is given: squares, standardised per band. Images are made up."""

import numpy as np
import pytest
import torch
from geobind_sensors.image import Band, SensorImage
from geobind_sensors.vit import DynamicVitConfig
from geobind_sensors.vit.encoder import build as build_vit
from geobind_sensors.vit.views import View, rgb_bands, whole_square
from PIL import Image

from geobind.errors import DataError

RED, HEAT = Band("red", 0.665, "reflectance", mean=0.2, std=0.1), Band("heat", 11.0, "K")


def build(**config):
    return build_vit(DynamicVitConfig(width=32, depth=1, heads=2, patch=8, **{"image_size": 16} | config))


ENCODER = build()


def prepare(item, encoder=ENCODER, **how):
    return encoder.preprocess(item, **{"train": False} | how)


def picture(height=48, width=64):
    y, x = np.mgrid[0:height, 0:width]
    channels = [np.sin(x / 9) + np.cos(y / 11), np.sin((x + y) / 10), np.cos(x / 23) * np.sin(y / 8)]
    return (127 + 60 * np.stack(channels, axis=-1)).clip(0, 255).astype(np.uint8)


def test_bands_are_standardised_by_their_own_statistics_or_by_the_images():
    values = np.random.default_rng(0).normal((0.3, 290.0), (0.1, 4.0), (16, 16, 2)).transpose(2, 0, 1)
    made = prepare(SensorImage(values, (RED, HEAT)))
    assert made["pixels"].dtype == made["wavelengths"].dtype == torch.float32
    assert made["wavelengths"].tolist() == pytest.approx([0.665, 11.0])
    assert np.allclose(made["pixels"][0], (values[0] - 0.2) / 0.1, atol=1e-4)
    assert np.allclose(made["pixels"][1], (values[1] - values[1].mean()) / values[1].std(), atol=1e-3)


def test_where_there_is_no_data_there_is_0_and_it_counts_for_nothing():
    values = np.random.default_rng(0).normal(280, 5, (2, 16, 16))
    valid = np.ones((16, 16), dtype=bool)
    valid[4:9, :7] = False
    spoilt = values.copy()
    spoilt[:, ~valid] = (-np.finfo(np.float64).max, np.nan)[0]
    spoilt[1, ~valid] = np.nan
    bands = (Band("a", 10.0, "K", mean=270.0, std=10.0), Band("b", 11.0, "K"))
    pixels = prepare(SensorImage(spoilt, bands, valid))["pixels"]
    assert bool((pixels[:, ~torch.from_numpy(valid)] == 0).all())
    inside = values[1][valid]
    assert np.allclose(pixels[1].numpy()[valid], (inside - inside.mean()) / inside.std(), atol=1e-4)
    assert np.allclose(pixels[0].numpy()[valid], (values[0][valid] - 270) / 10, atol=1e-4)
    # Resized, it does not run into what lies beside it as -1e308 would.
    assert float(prepare(SensorImage(spoilt, bands, valid), build(image_size=8))["pixels"].abs().max()) < 10


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (3, 2), (16, 16), (70, 33)])
@pytest.mark.parametrize("train", [False, True])
def test_images_of_any_size_become_the_square(shape, train):
    values = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        pixels = prepare(SensorImage(values, (RED, HEAT)), train=train, generator=generator)["pixels"]
        assert pixels.shape == (2, 16, 16)
        assert bool(pixels.isfinite().all())


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float16", "float64", "bool"])
def test_values_may_have_any_real_type(dtype):
    values = (np.arange(32).reshape(2, 4, 4) % 2).astype(dtype)
    assert torch.equal(prepare(SensorImage(values, (RED, RED)))["pixels"][0, 0, 0], torch.tensor((0 - 0.2) / 0.1))


def test_a_picture_is_red_green_and_blue(tmp_path):
    array = picture()
    image = Image.fromarray(array)
    image.save(tmp_path / "p.png")
    wanted = prepare(SensorImage(array.transpose(2, 0, 1), rgb_bands()))
    assert wanted["wavelengths"].tolist() == pytest.approx([0.665, 0.56, 0.49])
    for item in (array, image, tmp_path / "p.png", str(tmp_path / "p.png")):
        found = prepare(item)
        assert torch.equal(found["pixels"], wanted["pixels"])
        assert torch.equal(found["wavelengths"], wanted["wavelengths"])


def test_a_large_jpeg_is_decoded_near_the_size_that_is_seen(tmp_path, monkeypatch):
    Image.fromarray(picture(480, 640)).save(tmp_path / "p.jpg", quality=95)
    exact = prepare(np.asarray(Image.open(tmp_path / "p.jpg")))["pixels"]
    assert float((prepare(tmp_path / "p.jpg")["pixels"] - exact).abs().max()) < 0.1


def test_training_sees_crops_turned_by_the_generator_alone():
    values = np.random.default_rng(0).random((2, 40, 40), dtype=np.float32)
    image = SensorImage(values, (RED, HEAT))
    drawn = [
        prepare(image, train=True, generator=torch.Generator().manual_seed(seed))["pixels"] for seed in (0, 0, 1, 2)
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    still = build(augment="none")
    assert torch.equal(prepare(image, still, train=True)["pixels"], prepare(image, still)["pixels"])


def test_all_bands_are_cropped_and_turned_together():
    ramp = np.add.outer(np.arange(40.0), 3 * np.arange(40.0))
    image = SensorImage(np.stack([ramp, 2 * ramp]), (Band("a", 1.0, "1", 0.0, 1.0), Band("b", 2.0, "1", 0.0, 1.0)))
    orientations = set()
    for seed in range(40):
        first, second = prepare(image, train=True, generator=torch.Generator().manual_seed(seed))["pixels"]
        assert torch.allclose(second, 2 * first, atol=1e-3)
        corners = first[[0, 0, -1, -1], [0, -1, 0, -1]]
        orientations.add(tuple(corners.argsort().tolist()))
    assert len(orientations) == 8


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (np.zeros((4, 8, 8), dtype=np.float32), r"shape \[4, 8, 8\] and dtype float32 says nothing of its bands"),
        (np.zeros((8, 8), dtype=np.int16), r"shape \[8, 8\] and dtype int16"),
        (np.zeros((8, 8, 3), dtype=np.float32), r"shape \[8, 8, 3\] and dtype float32"),
        (torch.zeros(3, 8, 8), "is not an image"),
        ("scene.tif", r"'scene\.tif' is a TIFF.*geotiff"),
        (None, "None is not an image"),
        (SensorImage(np.zeros((1, 2, 2)), (RED,), np.zeros((2, 2), dtype=bool)), "without data"),
        (SensorImage(np.full((1, 2, 2), np.nan), (RED,)), "NaN or infinity"),
        (SensorImage(np.array([[[1.0, np.inf]]]), (RED,)), "NaN or infinity"),
        (SensorImage(np.zeros((1, 2, 2), dtype=complex), (RED,)), "complex128"),
        (SensorImage(np.zeros((1, 2, 2)), (Band("VV", None, "dB"),)), "VV without a wavelength"),
    ],
)
def test_what_is_no_image_is_refused_with_the_way_to_make_one(item, words):
    for train in (False, True):
        with pytest.raises(DataError, match=words) as told:
            prepare(item, train=train, generator=torch.Generator().manual_seed(0))
        assert told.value.fix


def test_geolangbinds_tower_gets_bytes_as_published():
    encoder = build(start={"type": "geolb", "checkpoint": "nowhere.pt"})
    assert encoder.view == View(16, (127.5, 127.5))
    array = picture(16, 16)
    assert np.allclose(prepare(array, encoder)["pixels"], (array.transpose(2, 0, 1) / 255 - 0.5) / 0.5, atol=1e-6)
    other = SensorImage(np.full((1, 16, 16), 0.3), (RED,))
    assert torch.allclose(prepare(other, encoder)["pixels"], whole_square(other, ENCODER.view))

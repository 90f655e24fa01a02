from collections import Counter

import numpy as np
import open_clip
import pytest
import torch
from geobind_satellite.augment import POLICIES, random_view
from geobind_satellite.images import ImageEncoder, View, preview
from PIL import Image

from geobind import DataError

VIEW = View(size=48, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("fit", "resize_mode"), [("crop", "shortest"), ("squash", "squash")])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_a_view_is_open_clips_own_transform(photo, fit, resize_mode, interpolation):
    view = View(size=48, mean=VIEW.mean, std=VIEW.std, fit=fit, interpolation=interpolation)
    theirs = open_clip.image_transform(
        48, False, mean=view.mean, std=view.std, resize_mode=resize_mode, interpolation=interpolation
    )(photo)
    encoder = ImageEncoder(view, "none")
    ours = encoder.pixels(encoder.collate([encoder.preprocess(photo, train=False)]))
    assert torch.allclose(ours[0], theirs, atol=1e-5)


def test_the_centre_crop_keeps_its_share(photo):
    whole, cut = View(size=45, mean=(0,), std=(1,)), View(size=45, mean=(0,), std=(1,), crop=0.5)
    assert cut(photo).size == whole(photo).size == (45, 45)
    # At 0.5 the shorter side (90) stays as it is, and the crop is the picture's own centre.
    assert np.array_equal(np.asarray(cut(photo)), np.asarray(photo)[22:67, 48:93])


@pytest.mark.parametrize("size", [(8, 8), (48, 48), (3, 200)])
def test_small_and_narrow_pictures_are_resized_up(size):
    assert VIEW(Image.new("RGB", size, (9, 9, 9))).size == (48, 48)


@pytest.mark.parametrize("augment", ["satellite", "photo"])
def test_random_views_come_from_the_given_generator_only(photo, augment):
    encoder = ImageEncoder(VIEW, augment)
    before = torch.random.get_rng_state()
    one, again, other = (encoder.preprocess(photo, train=True, generator=generator(s))["image"] for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_augment_none_trains_on_what_evaluation_sees(photo):
    encoder = ImageEncoder(VIEW, "none")
    draw = generator(0)
    trained = encoder.preprocess(photo, train=True, generator=draw)["image"]
    assert torch.equal(trained, encoder.preprocess(photo, train=False)["image"])
    assert torch.equal(draw.get_state(), generator(0).get_state())


@pytest.mark.parametrize(("augment", "symmetries"), [("satellite", 8), ("photo", 2)])
def test_every_symmetry_of_the_policy_is_drawn_alike(augment, symmetries):
    corner = Image.new("RGB", (32, 32))
    corner.paste((255, 0, 0), (0, 0, 16, 16))
    corner.paste((0, 255, 0), (16, 0, 32, 16))
    seen: Counter[tuple[int, int]] = Counter()
    draw = generator(0)
    for _ in range(800):
        view = random_view(corner, POLICIES[augment], size=32, resample=Image.Resampling.BILINEAR, generator=draw)
        array = np.asarray(view).astype(int)
        quadrants = [(0, 0), (0, -1), (-1, 0), (-1, -1)]
        red = max(range(4), key=lambda q: array[quadrants[q]][0])
        green = max(range(4), key=lambda q: array[quadrants[q]][1])
        seen[red, green] += 1
    assert len(seen) == symmetries
    assert min(seen.values()) > 0.6 * 800 / symmetries


def test_crops_keep_at_least_half_of_the_area():
    ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 256, 3)))
    draw = generator(3)
    spans = []
    for _ in range(200):
        view = random_view(ramp, POLICIES["photo"], size=64, resample=Image.Resampling.BILINEAR, generator=draw)
        column = np.asarray(view)[:, 0, 0].astype(int)
        spans.append((column.max() - column.min()) / 255)
    assert min(spans) > 0.5**0.5 * (3 / 4) ** 0.5 - 0.02
    assert min(spans) < 0.75 < max(spans)


def test_a_path_an_array_and_a_picture_are_one(photo, tmp_path):
    photo.save(tmp_path / "photo.png")
    encoder = ImageEncoder(VIEW, "none")
    results = [encoder.preprocess(i, train=False)["image"] for i in (photo, tmp_path / "photo.png", np.asarray(photo))]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    assert results[0].dtype == torch.uint8


def test_a_truncated_jpeg_is_named(photo, tmp_path):
    path = tmp_path / "cut.jpg"
    photo.save(path)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(DataError, match=r"cut\.jpg' cannot be decoded"):
        ImageEncoder(VIEW, "none").preprocess(path, train=False)


def test_the_normalisation_is_no_part_of_the_weights():
    assert ImageEncoder(VIEW, "none").state_dict() == {}


def test_preview_is_the_picture(photo):
    assert np.array_equal(np.asarray(preview(np.asarray(photo))), np.asarray(photo))

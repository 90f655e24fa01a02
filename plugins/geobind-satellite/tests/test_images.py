import math
from collections import Counter

import numpy as np
import open_clip
import pytest
import torch
from geobind_satellite import augment as augmentation
from geobind_satellite.augment import POLICIES, TURNS, draw_cut, random_view
from geobind_satellite.images import ImageEncoder, View, preview
from PIL import Image

from geobind import DataError
from geobind.data.decode import Picture, read_image

VIEW = View(size=48, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(seed: int) -> list[float]:
    return torch.rand(5, generator=generator(seed)).tolist()


def smooth(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    channels = [np.sin(x / 70) + np.cos(y / 110), np.sin((x + y) / 90), np.cos(x / 130) * np.sin(y / 60)]
    return Image.fromarray((127 + 60 * np.stack(channels, axis=-1)).astype(np.uint8))


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
        view = random_view(Picture(corner), POLICIES[augment], size=32, interpolation="bilinear", generator=draw)
        array = view.permute(1, 2, 0).numpy().astype(int)
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
        view = random_view(Picture(ramp), POLICIES["photo"], size=64, interpolation="bilinear", generator=draw)
        column = view[0, :, 0].numpy().astype(int)
        spans.append((column.max() - column.min()) / 255)
    assert min(spans) > 0.5**0.5 * (3 / 4) ** 0.5 - 0.02
    assert min(spans) < 0.75 < max(spans)


def test_turns_are_pillows_transposes():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 5, 3), dtype=np.uint8))
    wanted = [picture, *(picture.transpose(way) for way in Image.Transpose)]
    for (swapped, flipped), turned in zip(TURNS, wanted, strict=True):
        pixels = np.asarray(picture).transpose(1, 0, 2) if swapped else np.asarray(picture)
        assert np.array_equal(np.flip(pixels, [side - 1 for side in flipped]), np.asarray(turned))


@pytest.mark.parametrize("name", ["satellite", "photo"])
def test_the_crop_follows_from_the_draws_and_scales_with_the_picture(name):
    policy = POLICIES[name]
    for seed in range(50):
        area, stretch, x, y, turn = draws(seed)
        cut = draw_cut((640, 480), policy, generator(seed))
        ratio = (4 / 3) ** (2 * stretch - 1) if name == "photo" else 1
        width, height = ((0.5 + 0.5 * area) * 640 * 480 * np.array([ratio, 1 / ratio])) ** 0.5
        width, height = min(width, 640), min(height, 480)
        assert cut[:4] == pytest.approx((x * (640 - width), y * (480 - height), width, height))
        assert cut.turn == policy.turns[int(turn * len(policy.turns))]
        assert draw_cut((1920, 1440), policy, generator(seed))[:4] == pytest.approx([3 * edge for edge in cut[:4]])


@pytest.mark.parametrize("kind", ["array", "picture", "png", "small jpeg", "grey"])
@pytest.mark.parametrize("name", ["satellite", "photo"])
def test_what_is_decoded_in_full_is_resized_by_pillow_with_a_box_of_fractions(photo, tmp_path, kind, name):
    photo.save(tmp_path / "photo.png")
    photo.save(tmp_path / "photo.jpg")
    items = {"array": np.asarray(photo), "picture": photo, "grey": np.asarray(photo.convert("L"))}
    item = items.get(kind, tmp_path / ("photo.png" if kind == "png" else "photo.jpg"))
    encoder = ImageEncoder(VIEW, name)
    for seed in range(12):
        left, top, width, height, _ = draw_cut(photo.size, POLICIES[name], generator(seed))
        box = (left, top, left + width, top + height)
        view = read_image(item).resize((48, 48), Image.Resampling.BICUBIC, box=box)
        turn = int(draws(seed)[4] * len(POLICIES[name].turns))
        view = view.transpose(list(Image.Transpose)[turn - 1]) if turn else view
        pixels = encoder.preprocess(item, train=True, generator=generator(seed))["image"]
        assert np.array_equal(pixels.permute(1, 2, 0), np.asarray(view))


@pytest.mark.parametrize("size", [(800, 800), (1001, 763), (417, 890)])
@pytest.mark.parametrize(
    ("mode", "options"), [("RGB", {}), ("RGB", {"progressive": True}), ("L", {}), ("CMYK", {})], ids=str
)
def test_a_crop_of_a_jpeg_decoded_smaller_is_the_crop_of_the_whole(tmp_path, size, mode, options):
    path = tmp_path / "large.jpg"
    smooth(*size).convert(mode).save(path, quality=95, **options)
    whole = read_image(path)
    for name in POLICIES:
        encoder = ImageEncoder(View(size=96, mean=VIEW.mean, std=VIEW.std, interpolation="bilinear"), name)
        for seed in range(3):
            views = [encoder.preprocess(i, train=True, generator=generator(seed))["image"] for i in (path, whole, path)]
            assert views[0].shape == (3, 96, 96)
            assert views[0].dtype == torch.uint8
            assert (views[0].float() - views[1].float()).abs().mean() < 1.5
            assert torch.equal(views[0], views[2])


def test_a_jpeg_is_decoded_no_larger_than_its_crop_needs_and_no_smaller(tmp_path, monkeypatch):
    path = tmp_path / "large.jpg"
    seen: list[tuple[int, int]] = []
    resize = augmentation.tv.resize

    def watched(crop, *args, **options):
        seen.append(tuple(crop.shape[1:]))
        return resize(crop, *args, **options)

    monkeypatch.setattr(augmentation.tv, "resize", watched)
    for size in ((800, 800), (531, 1203)):
        smooth(*size).save(path)
        for seed in range(40):
            seen.clear()
            cut = draw_cut(size, POLICIES["photo"], generator(seed))
            scale = min(cut.width, cut.height) / 60
            random_view(Picture(path), POLICIES["photo"], size=60, interpolation="bicubic", generator=generator(seed))
            assert min(*seen[0]) >= 60
            assert seen[0] == pytest.approx(
                [side / 2 ** min(3, math.floor(math.log2(scale))) for side in (cut.height, cut.width)], abs=1
            )


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (3, 200)])
def test_tiny_pictures_have_random_views(tmp_path, size):
    Image.new("RGB", size, (9, 99, 199)).save(tmp_path / "tiny.jpg")
    pixels = ImageEncoder(VIEW, "satellite").preprocess(tmp_path / "tiny.jpg", train=True, generator=generator(0))
    assert pixels["image"].shape == (3, 48, 48)
    assert pixels["image"].flatten(1).float().mean(dim=1).tolist() == pytest.approx([9, 99, 199], abs=3)


def test_a_path_an_array_and_a_picture_are_one(photo, tmp_path):
    photo.save(tmp_path / "photo.png")
    encoder = ImageEncoder(VIEW, "none")
    results = [encoder.preprocess(i, train=False)["image"] for i in (photo, tmp_path / "photo.png", np.asarray(photo))]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    assert results[0].dtype == torch.uint8


@pytest.mark.parametrize("train", [False, True])
def test_a_truncated_jpeg_is_named(tmp_path, train):
    path = tmp_path / "cut.jpg"
    smooth(400, 400).save(path)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(DataError, match=r"cut\.jpg' cannot be decoded"):
        ImageEncoder(VIEW, "photo").preprocess(path, train=train, generator=generator(0))


def test_the_normalisation_is_no_part_of_the_weights():
    assert ImageEncoder(VIEW, "none").state_dict() == {}


def test_preview_is_the_picture(photo):
    assert np.array_equal(np.asarray(preview(np.asarray(photo))), np.asarray(photo))

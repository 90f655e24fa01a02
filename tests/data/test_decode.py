"""Reading images: what is accepted, and what a broken one says."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from geobind.data.decode import Picture, read_image
from geobind.errors import DataError


@pytest.fixture
def jpeg(tmp_path):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (50, 50, 3), dtype=np.uint8)
    path = tmp_path / "big.jpg"
    Image.fromarray(coarse).resize((800, 800), Image.Resampling.BICUBIC).save(path, quality=95)
    return path


def test_path_array_and_picture_are_the_same_image(tmp_path):
    array = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    Image.fromarray(array).save(tmp_path / "x.png")
    for item in (tmp_path / "x.png", str(tmp_path / "x.png"), array, Image.fromarray(array)):
        assert np.array_equal(np.asarray(read_image(item)), array)


def test_near_decodes_smaller_but_never_below_what_is_needed(jpeg):
    small = read_image(jpeg, near=224)
    assert 224 <= min(small.size) < 800
    full = read_image(jpeg).resize(small.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(full, dtype=float) - np.asarray(small, dtype=float)).mean() < 3


@pytest.mark.parametrize("near", [50, 51, 100, 101, 102, 224, 400, 401, 402, 801, 5000])
def test_the_smallest_jpeg_scale_that_suffices_is_taken(jpeg, tmp_path, near):
    path = tmp_path / "odd.jpg"
    read_image(jpeg).resize((803, 1001)).save(path)
    picture = Picture(path)
    shorter = min(picture.decode(near=near).size)
    # JPEG decodes to a half, a quarter or an eighth, rounded up; Pillow drops the remainder when it compares.
    assert shorter == next(-(-803 // scale) for scale in (8, 4, 2, 1) if 803 // scale >= near or scale == 1)
    assert picture.size == (803, 1001)


@pytest.mark.parametrize(("mode", "options"), [("L", {}), ("CMYK", {}), ("RGB", {"progressive": True})])
def test_jpegs_of_all_kinds_become_rgb(jpeg, tmp_path, mode, options):
    path = tmp_path / "kind.jpg"
    read_image(jpeg).convert(mode).save(path, quality=95, **options)
    small, full = read_image(path, near=400), read_image(path)
    assert (small.mode, small.size) == ("RGB", (400, 400))
    reduced = np.asarray(full.resize((400, 400), Image.Resampling.BOX), dtype=float)
    assert np.abs(reduced - np.asarray(small, dtype=float)).mean() < 3


def test_the_size_is_known_before_anything_is_decoded(jpeg, tmp_path):
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(jpeg.read_bytes()[:3000])
    picture = Picture(cut)
    assert picture.size == (800, 800)
    with pytest.raises(DataError, match="cut.jpg' cannot be decoded: .*truncated"):
        picture.decode(near=100)


def test_a_callers_picture_is_neither_changed_nor_handed_out(jpeg):
    with Image.open(jpeg) as item:
        result = read_image(item, near=100)
        assert result.size == item.size == (800, 800)
        assert result is not item
    plain = Image.new("RGB", (4, 4))
    read_image(plain).putpixel((0, 0), (9, 9, 9))
    assert plain.getpixel((0, 0)) == (0, 0, 0)


def test_the_orientation_tag_is_not_looked_at(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").size == (30, 20)


def test_broken_files_are_named(jpeg, tmp_path):
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(jpeg.read_bytes()[:3000])
    with pytest.raises(DataError, match="cut.jpg' cannot be decoded: .*truncated"):
        read_image(cut)
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(DataError, match="not an image that Pillow can read"):
        read_image(tmp_path / "text.jpg")
    with pytest.raises(DataError, match="does not exist"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(DataError, match="cannot be decoded: Is a directory"):
        read_image(tmp_path)
    for blank in ("", " \n"):
        with pytest.raises(DataError, match="is no path of an image"):
            read_image(blank)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_a_picture_of_more_than_8_bits_is_not_made_white(tmp_path, dtype):
    """Pillow would clip 3000 of 65535, which is nearly black, to 255."""
    deep = Image.fromarray(np.full((4, 4), 3000, dtype))
    deep.save(tmp_path / "deep.tif")
    for item in (deep, tmp_path / "deep.tif"):
        with pytest.raises(DataError, match="more than 8 bits a channel.*Scale its values"):
            read_image(item)


def test_a_picture_in_memory_may_be_broken_too(jpeg):
    cut = Image.open(io.BytesIO(jpeg.read_bytes()[:3000]))
    with pytest.raises(DataError, match="the image cannot be decoded: .*truncated"):
        read_image(cut)
    closed = Image.new("RGB", (4, 4))
    closed.close()
    with pytest.raises(DataError, match="the image cannot be decoded: Operation on closed image"):
        read_image(closed)


@pytest.mark.parametrize("item", [np.zeros((0, 0, 3), np.uint8), np.zeros((0, 5), np.uint8), Image.new("RGB", (0, 3))])
def test_a_picture_without_pixels_is_refused(item):
    with pytest.raises(DataError, match="has no pixels"):
        read_image(item)


@pytest.mark.parametrize("item", [np.zeros((2, 2)), np.zeros((2, 2, 4), dtype=np.uint8)])
def test_arrays_of_another_kind_are_refused(item):
    with pytest.raises(DataError, match=r"shape \(2, 2"):
        read_image(item)


def test_other_things_are_refused():
    with pytest.raises(DataError, match="3.5 is not an image"):
        read_image(3.5)
    with pytest.raises(DataError) as told:
        read_image([[1] * 1000] * 1000)
    assert len(str(told.value)) < 300

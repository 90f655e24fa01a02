"""Reading images: what is accepted, and what a broken one says."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from geobind.data.decode import read_image
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


@pytest.mark.parametrize("item", [np.zeros((2, 2)), np.zeros((2, 2, 4), dtype=np.uint8)])
def test_arrays_of_another_kind_are_refused(item):
    with pytest.raises(DataError, match=r"shape \(2, 2"):
        read_image(item)


def test_other_things_are_refused():
    with pytest.raises(DataError, match="3.5 is not an image"):
        read_image(3.5)

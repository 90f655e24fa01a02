"""From an item of a sensor to the square that the network sees. Shapes: C bands, H rows, W columns."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from geobind_satellite.augment import POLICIES, draw_cut
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from geobind.data.decode import read_image
from geobind.errors import DataError
from geobind_sensors.image import Band, SensorImage, refuse_bare_array
from geobind_sensors.pictures import EIGHT_BIT
from geobind_sensors.sensors import find_sensor

AS_PUBLISHED = (127.5, 127.5)
"""Mean and std by which GeoLangBind standardises every band, all of which it has on the scale 0 to 255."""
DECODE_MARGIN = 2
"""A JPEG is decoded at no less than this many times the side: a random crop keeps more than half of it."""
MAKE = "Give geobind_sensors.make_image(array, sensor=…), or read files with `dataset: {type: geotiff}`."


@dataclass(frozen=True, slots=True)
class View:
    """How an image becomes a square."""

    size: int
    """Side in pixels."""
    bytes_by: tuple[float, float] | None = None
    """Mean and std for every band on the scale 0 to 255; None for each band's own."""


def rgb_bands() -> tuple[Band, ...]:
    """What a picture holds: red, green and blue, as the registry has them."""
    return find_sensor("rgb").bands()


def as_image(item: Any, *, near: int) -> SensorImage:
    """An item of a sensor modality as an image whose bands are known.

    Args:
        item: A :class:`SensorImage`, or a picture: path of a JPEG or PNG, PIL image, uint8 ``[H, W, 3]``.
        near: Side in pixels that is wanted; a JPEG file is decoded near twice that.

    Raises:
        DataError: It is neither, or cannot be read. What its layers mean is never guessed.
    """
    if isinstance(item, SensorImage):
        return item
    if isinstance(item, str | Path) and Path(item).suffix.lower() in (".tif", ".tiff"):
        raise DataError(f"{str(item)!r} is a TIFF, and does not say what its bands are", fix=MAKE)
    refuse_bare_array(item)
    if not isinstance(item, str | Path | Image.Image | np.ndarray):
        raise DataError(f"{reprlib.repr(item)} is not an image", fix=f"Give a SensorImage or a picture. {MAKE}")
    picture = np.asarray(read_image(item, near=DECODE_MARGIN * near))
    return SensorImage(picture.transpose(2, 0, 1), rgb_bands(), where=str(item) if isinstance(item, str | Path) else "")


def whole_square(image: SensorImage, view: View) -> Tensor:
    """The whole image, standardised and resized: float32 ``[C, size, size]``.

    Raises:
        DataError: NaN, infinity, or no data at all.
    """
    return _resize(_standardised(image, view), view.size)


def random_square(image: SensorImage, view: View, generator: torch.Generator | None) -> Tensor:
    """A random crop of it, resized and turned: as :func:`whole_square`, and standardised as the whole is."""
    pixels = _standardised(image, view)
    rows, columns = pixels.shape[1:]
    left, top, width, height, (swapped, flipped) = draw_cut((columns, rows), POLICIES["satellite"], generator)
    x, right = _span(left, width, columns)
    y, bottom = _span(top, height, rows)
    square = _resize(pixels[:, y:bottom, x:right], view.size)
    return (square.mT if swapped else square).flip(flipped).contiguous()


def _standardised(image: SensorImage, view: View) -> Tensor:
    """Float32 ``[C, H, W]`` in standard deviations from the mean of each band; 0 where there is no data."""
    if image.values.dtype.kind not in "buif":
        raise DataError(f"values of type {image.values.dtype}", where=image.where, fix="Give real numbers.")
    with np.errstate(over="ignore"):  # no data is often the least float64
        pixels = torch.from_numpy(image.values.astype(np.float32))
    valid = None if image.valid is None else torch.from_numpy(image.valid)
    data = pixels.flatten(1) if valid is None else pixels[:, valid]
    if not data.numel():
        raise DataError("an image without data", where=image.where, fix="Drop it.")
    if not bool(data.isfinite().all()):
        raise DataError(
            "NaN or infinity in an image",
            where=image.where,
            fix="Mark such pixels as having no data: `valid`, False there.",
        )
    mean, std = (column[:, None, None] for column in _statistics(image, view, data))
    pixels = (pixels - mean) / std
    return pixels if valid is None else pixels.masked_fill(~valid, 0.0)


def _statistics(image: SensorImage, view: View, data: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each band, ``[C]`` each; of the data ``[C, N]`` for bands that know none."""
    given = [view.bytes_by if view.bytes_by and b.units == EIGHT_BIT else (b.mean, b.std) for b in image.bands]
    own = [mean is None or std is None for mean, std in given]
    known = torch.tensor([(0.0, 1.0) if lacks else pair for lacks, pair in zip(own, given, strict=True)])
    if any(own):
        rows = data[own].double()
        deviation = rows.std(dim=1, correction=0)
        known[own] = torch.stack([rows.mean(dim=1), deviation.where(deviation > 0, 1.0)], dim=1).float()
    return known[:, 0], known[:, 1]


def _span(start: float, length: float, whole: int) -> tuple[int, int]:
    """First pixel of ``length`` pixels from ``start`` on, and the one after the last; one pixel at least."""
    extent = max(1, round(length))
    first = min(round(start), whole - extent)
    return first, first + extent


def _resize(pixels: Tensor, size: int) -> Tensor:
    return F.interpolate(pixels[None], (size, size), mode="bilinear", antialias=True)[0]

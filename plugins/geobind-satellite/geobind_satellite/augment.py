"""Random views of a picture for training. All chance comes from the generator that is given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import geobind
from geobind.data.decode import Picture

with geobind.needs("torchvision", "pip install torchvision"):
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as tv

Interpolation = Literal["bilinear", "bicubic"]


class Turn(NamedTuple):
    """One of the eight symmetries of a square."""

    swapped: bool
    """Whether rows and columns change places."""
    flipped: tuple[int, ...]
    """What is reversed thereafter: dimension 1, the rows, 2, the columns, or both."""


TURNS = (
    Turn(False, ()),
    Turn(False, (2,)),
    Turn(False, (1,)),
    Turn(True, (1,)),
    Turn(False, (1, 2)),
    Turn(True, (2,)),
    Turn(True, ()),
    Turn(True, (1, 2)),
)
"""None, and then as Pillow orders its ``Transpose``: left-right, top-bottom, 90°, 180°, 270°, the two diagonals."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a random view may change."""

    scale: tuple[float, float]
    """Share of the picture's area that the crop keeps."""
    ratio: tuple[float, float]
    """Width / height of the crop, before it is stretched to a square."""
    turns: tuple[Turn, ...]
    """Equally likely."""


POLICIES = {
    # From above no side is up, and pixels are square on the ground: all eight symmetries, no stretching.
    "satellite": Policy(scale=(0.5, 1.0), ratio=(1.0, 1.0), turns=TURNS),
    "photo": Policy(scale=(0.5, 1.0), ratio=(3 / 4, 4 / 3), turns=TURNS[:2]),
}


class Cut(NamedTuple):
    """A crop, in pixels of the whole picture, and how it is turned."""

    left: float
    top: float
    width: float
    height: float
    turn: Turn


def draw_cut(size: tuple[int, int], policy: Policy, generator: torch.Generator | None) -> Cut:
    """Draw what a view shows of a picture of this width and height (Inception-style, arXiv 1409.4842 §6)."""
    draws: list[float] = torch.rand(5, generator=generator).tolist()
    width, height = size
    low, high = policy.scale
    area = width * height * (low + (high - low) * draws[0])
    low, high = map(math.log, policy.ratio)
    ratio = math.exp(low + (high - low) * draws[1])
    w, h = min(math.sqrt(area * ratio), width), min(math.sqrt(area / ratio), height)
    turn = policy.turns[int(draws[4] * len(policy.turns))]
    return Cut(draws[2] * (width - w), draws[3] * (height - h), w, h, turn)


def random_view(
    picture: Picture, policy: Policy, *, size: int, interpolation: Interpolation, generator: torch.Generator | None
) -> Tensor:
    """A random crop, resized to a square and turned: uint8 ``[3, size, size]``.

    The crop is drawn before anything is decoded, and a JPEG file is then decoded at the smallest scale at which the
    crop still has ``size`` pixels a side.

    Raises:
        DataError: The picture cannot be decoded.
    """
    whole = picture.size
    left, top, width, height, (swapped, flipped) = draw_cut(whole, policy, generator)
    image = picture.decode(near=math.ceil(min(whole) * size / min(width, height)))
    if image.size == whole:
        box = (left, top, left + width, top + height)
        square = to_tensor(image.resize((size, size), Image.Resampling[interpolation.upper()], box=box))
    else:
        # A large picture: torchvision resizes several times as fast as Pillow, but takes whole pixels only.
        x, right = _span(left, width, whole[0], image.width)
        y, bottom = _span(top, height, whole[1], image.height)
        crop = to_tensor(image.crop((x, y, right, bottom)))
        square = tv.resize(crop, [size, size], interpolation=InterpolationMode(interpolation))
    return (square.transpose(1, 2) if swapped else square).flip(flipped)


def _span(start: float, length: float, whole: int, pixels: int) -> tuple[int, int]:
    """First pixel and end of ``length`` out of ``whole`` from ``start`` on, if the whole was decoded to ``pixels``."""
    extent = round(length * pixels / whole)
    first = min(round(start * pixels / whole), pixels - extent)
    return first, first + extent


def to_tensor(image: Image.Image) -> Tensor:
    """The pixels of an RGB picture: uint8 ``[3, H, W]``."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)

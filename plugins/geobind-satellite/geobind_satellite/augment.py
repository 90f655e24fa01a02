"""Random views of a picture for training. All chance comes from the generator that is given."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from PIL import Image

Turn = Image.Transpose


@dataclass(frozen=True, slots=True)
class Policy:
    """What a random view may change."""

    scale: tuple[float, float]
    """Share of the picture's area that the crop keeps."""
    ratio: tuple[float, float]
    """Width / height of the crop, before it is stretched to a square."""
    turns: tuple[Turn | None, ...]
    """Mirrorings and rotations, equally likely; None leaves the crop as it is."""


POLICIES = {
    # From above no side is up, and pixels are square on the ground: all eight symmetries, no stretching.
    "satellite": Policy(scale=(0.5, 1.0), ratio=(1.0, 1.0), turns=(None, *Turn)),
    "photo": Policy(scale=(0.5, 1.0), ratio=(3 / 4, 4 / 3), turns=(None, Turn.FLIP_LEFT_RIGHT)),
}


def random_view(
    image: Image.Image,
    policy: Policy,
    *,
    size: int,
    resample: Image.Resampling,
    generator: torch.Generator | None,
) -> Image.Image:
    """A random crop, resized to ``size`` × ``size`` pixels and turned (Inception-style, arXiv 1409.4842 §6)."""
    draws: list[float] = torch.rand(5, generator=generator).tolist()
    width, height = image.size
    low, high = policy.scale
    area = width * height * (low + (high - low) * draws[0])
    low, high = map(math.log, policy.ratio)
    ratio = math.exp(low + (high - low) * draws[1])
    w, h = min(math.sqrt(area * ratio), width), min(math.sqrt(area / ratio), height)
    left, top = draws[2] * (width - w), draws[3] * (height - h)
    view = image.resize((size, size), resample, box=(left, top, left + w, top + h))
    turn = policy.turns[int(draws[4] * len(policy.turns))]
    return view if turn is None else view.transpose(turn)

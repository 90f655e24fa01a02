"""What every image tower does before its network: a picture in, a normalised square out.

Shapes: B batch, H = W pixels of the square.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

import geobind
from geobind.data.decode import Picture, read_image
from geobind.encoder import Batch
from geobind.errors import RecipeError
from geobind_satellite.augment import POLICIES, Interpolation, random_view, to_tensor

with geobind.needs("torchvision", "pip install torchvision"):
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as tv

DECODE_MARGIN = 2
"""Evaluation decodes a JPEG at no less than this many times the side: much cheaper, and hardly another picture."""


@dataclass(frozen=True, slots=True)
class View:
    """How a picture becomes the square that a network was trained on."""

    size: int
    """Side of the square in pixels."""
    mean: tuple[float, ...]
    """Per channel, on the scale 0 to 1."""
    std: tuple[float, ...]
    interpolation: Interpolation = "bicubic"
    fit: Literal["crop", "squash"] = "crop"
    """``crop`` keeps the aspect and cuts the longer side; ``squash`` stretches to the square."""
    crop: float = 1.0
    """Share of the resized side that the centre crop keeps (timm's ``crop_pct``)."""

    def __call__(self, image: Image.Image) -> Image.Image:
        """The square that evaluation sees."""
        side = math.floor(self.size / self.crop)
        shape = [side, side] if self.fit == "squash" else [side]
        resized = tv.resize(image, shape, interpolation=InterpolationMode(self.interpolation))
        square: Image.Image = tv.center_crop(resized, [self.size, self.size])
        return square


class ImageEncoder(geobind.Encoder):
    """Base of the image towers. A subclass sets ``embed_dim`` and writes ``forward`` out of :meth:`pixels`.

    Squares travel as uint8 and are normalised on the device: a quarter of the memory and of the traffic.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, view: View, augment: str) -> None:
        super().__init__()
        self.view = view
        self.augment = augment
        # They follow from the config, so they are no part of the weights.
        for name, values in (("mean", view.mean), ("std", view.std)):
            self.register_buffer(name, 255 * torch.tensor(values).view(3, 1, 1), persistent=False)

    def preprocess(self, item: Any, *, train: bool, generator: torch.Generator | None = None) -> Batch:
        """``{"image": uint8 [3, H, W]}``, a random view when ``train`` is set and augmentation is not ``none``."""
        view = self.view
        if not train or self.augment == "none":
            return {"image": to_tensor(view(read_image(item, near=DECODE_MARGIN * view.size)))}
        policy, how = POLICIES[self.augment], view.interpolation
        return {"image": random_view(Picture(item), policy, size=view.size, interpolation=how, generator=generator)}

    def pixels(self, batch: Batch) -> Tensor:
        """The normalised squares ``[B, 3, H, W]``, in the dtype of the network."""
        return (batch["image"].to(self.mean.dtype) - self.mean) / self.std

    def describe_preprocessing(self) -> dict[str, Any]:
        """Size, fit, interpolation and normalisation."""
        return {**asdict(self.view), "augment": self.augment, "decode_margin": DECODE_MARGIN}


def check_patches(size: int, patch: int, *, name: str) -> None:
    """A transformer sees whole patches only.

    Raises:
        RecipeError: The image size is no multiple of the patch size, with those nearest.
    """
    if size % patch:
        below = size - size % patch
        raise RecipeError(
            f"image_size = {size}, but {name} sees patches of {patch} pixels",
            fix=f"Take {f'{below} or ' if below else ''}{below + patch}.",
        )


def preview(item: Any) -> Image.Image:
    """The picture itself, for reports."""
    return read_image(item, near=256)

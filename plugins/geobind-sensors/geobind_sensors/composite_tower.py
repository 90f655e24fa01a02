"""Image towers that see three bands of a sensor's image as a picture.

Shapes: B batch, T tokens, E embedding width, d token width.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import geobind_satellite
import torch
from torch import Tensor, nn

import geobind
from geobind.encoder import Batch
from geobind_sensors.pictures import RULE, as_picture


class Composite(geobind.Encoder):
    """An image tower in front of which images become pictures; see :func:`pictures.composite_picture`.

    All else is the tower's own; its parameters have ``tower.`` before their names.

    Args:
        tower: Takes pictures.
        bands: One to three bands by name, for images that have them; None for those that an image is shown by.
    """

    def __init__(self, tower: geobind.Encoder, bands: Sequence[str] | None = None) -> None:
        super().__init__()
        self.tower = tower
        self.bands = None if bands is None else tuple(bands)
        self.embed_dim = tower.embed_dim
        self.throughput_batch = tower.throughput_batch

    def load_pretrained(self) -> str:
        """The tower's weights."""
        return self.tower.load_pretrained()

    def preprocess(self, item: Any, *, train: bool, generator: torch.Generator | None = None) -> Batch:
        """What the tower makes of the picture.

        Raises:
            DataError: No image and no picture, or one that cannot be shown.
        """
        return self.tower.preprocess(as_picture(item, self.bands), train=train, generator=generator)

    def batch_key(self, sample: Batch) -> Hashable:
        """The tower's."""
        return self.tower.batch_key(sample)

    def collate(self, samples: list[Batch]) -> Batch:
        """The tower's."""
        return self.tower.collate(samples)

    def forward(self, batch: Batch) -> Tensor:
        """``[B, E]``."""
        features: Tensor = self.tower(batch)
        return features

    def tokens(self, batch: Batch) -> Tensor:
        """``[B, T, d]``, rows of the picture first."""
        return self.tower.tokens(batch)

    def features_and_tokens(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The tower's."""
        return self.tower.features_and_tokens(batch)

    def blocks(self) -> Sequence[nn.Module]:
        """The tower's."""
        return self.tower.blocks()

    def depths(self) -> dict[str, int]:
        """The tower's."""
        return {f"tower.{name}": depth for name, depth in self.tower.depths().items()}

    def describe_preprocessing(self) -> dict[str, Any]:
        """How a picture comes about, and what the tower does with it."""
        bands = {} if self.bands is None else {"bands": list(self.bands)}
        return {"composite": RULE, **bands, **self.tower.describe_preprocessing()}


def open_clip(config: geobind_satellite.OpenClipImageConfig) -> Composite:
    """The image tower of a CLIP, with random weights; raises as ``geobind_satellite.open_clip.build_image``."""
    from geobind_satellite.open_clip import build_image

    return Composite(build_image(config))


def timm(config: geobind_satellite.TimmConfig) -> Composite:
    """A timm network, with random weights; raises as ``geobind_satellite.timm.build``."""
    from geobind_satellite.timm import build

    return Composite(build(config))


def efficientnet_lite0(config: geobind_satellite.EfficientNetLite0Config) -> Composite:
    """EfficientNet-Lite0, with random weights."""
    from geobind_satellite.efficientnet import build

    return Composite(build(config))

"""The wavelength-conditioned ViT. Shapes: B batch, C bands, H = W pixels, T patches, d width of a token."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import geobind
from geobind.encoder import Batch
from geobind.errors import DataError
from geobind_sensors.vit import DynamicVitConfig, GeolbStart
from geobind_sensors.vit.patches import DynamicPatchEmbed
from geobind_sensors.vit.views import (
    AS_PUBLISHED,
    DECODE_MARGIN,
    View,
    as_image,
    random_square,
    rgb_bands,
    whole_square,
)

with geobind.needs("timm", "pip install timm"):
    from timm.models.vision_transformer import VisionTransformer


class DynamicVit(geobind.Encoder):
    """A timm ViT whose patch kernels are made from wavelengths; any number of bands, in any order."""

    throughput_batch = 16

    def __init__(self, config: DynamicVitConfig) -> None:
        super().__init__()
        self.config = config
        width, depth, heads, mlp_ratio = config.shape
        self.embed_dim = width
        self.view = View(config.image_size, AS_PUBLISHED if isinstance(config.start, GeolbStart) else None)
        self.trunk: Any = VisionTransformer(  # a Module; timm declares no type for what its networks share
            img_size=config.image_size,
            patch_size=config.patch,
            embed_dim=width,
            depth=depth,
            num_heads=heads,
            mlp_ratio=mlp_ratio,
            pre_norm=config.pre_norm,
            act_layer=config.activation,
            class_token=False,
            num_classes=0,
            global_pool="avg" if config.pool == "mean" else "map",
            fc_norm=False,
            embed_layer=partial(DynamicPatchEmbed, padding=config.padding, told=config.wavelengths),
        )

    def load_pretrained(self) -> str:
        """Fill the network from the weights that ``start`` names.

        Raises:
            RecipeError: They are of a network of other sizes; the keys to change are named.
            WeightsError: They are missing, altered, or their licence is not accepted.
        """
        if self.config.start is None:
            return "random"
        if isinstance(self.config.start, GeolbStart):
            from geobind_sensors.vit.checkpoint import load_geolb

            return load_geolb(self, self.config.start)
        from geobind_sensors.vit.start import load_start

        return load_start(self, self.config.start)

    def preprocess(self, item: Any, *, train: bool, generator: torch.Generator | None = None) -> Batch:
        """``{"pixels": float32 [C, H, W] standardised, "wavelengths": float32 [C] µm}``.

        Raises:
            DataError: Not an image, no data in it, or a band without a wavelength.
        """
        image = as_image(item, near=self.config.image_size)
        wavelengths = torch.tensor(image.wavelengths(), dtype=torch.float32)
        if train and self.config.augment == "satellite":
            return {"pixels": random_square(image, self.view, generator), "wavelengths": wavelengths}
        return {"pixels": whole_square(image, self.view), "wavelengths": wavelengths}

    def batch_key(self, sample: Batch) -> Hashable:
        """Its wavelengths in order: a batch has one list of bands."""
        return tuple(sample["wavelengths"].tolist())

    def collate(self, samples: list[Batch]) -> Batch:
        """``{"pixels": [B, C, H, W], "wavelengths": [C]}``.

        Raises:
            DataError: There are no samples, or their bands differ.
        """
        for sample in samples[1:]:
            if not torch.equal(sample["wavelengths"], samples[0]["wavelengths"]):
                lists = " and ".join(_listed(one["wavelengths"]) for one in (samples[0], sample))
                raise DataError(
                    f"a batch of unlike bands: {lists}",
                    fix="Give it images of one list of bands in one order; `batch_key` tells them apart.",
                )
        batch = super().collate(samples)
        return {**batch, "wavelengths": batch["wavelengths"][0]}

    def forward(self, batch: Batch) -> Tensor:
        """``[B, d]``."""
        return self.features_and_tokens(batch)[0]

    def tokens(self, batch: Batch) -> Tensor:
        """``[B, T, d]`` after the last norm, rows of the image first."""
        pixels = batch["pixels"].to(self.trunk.pos_embed.dtype)
        tokens: Tensor = self.trunk.forward_features((pixels, batch["wavelengths"]))
        return tokens

    def features_and_tokens(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Both in one pass."""
        tokens = self.tokens(batch)
        return self.trunk.forward_head(tokens, pre_logits=True), tokens

    def blocks(self) -> Sequence[nn.Module]:
        """Those of the trunk; that of the kernel generator is a part of the patch embedding."""
        return list(self.trunk.blocks)

    def describe_preprocessing(self) -> dict[str, Any]:
        """Size, standardisation and augmentation."""
        return {
            "image_size": self.view.size,
            "resized": "whole image to a square, bilinear with antialiasing",
            "standardised": "per band by its mean and std, or by those of the image",
            "bands_of_0_to_255": list(self.view.bytes_by or ()) or "as other bands",
            "pictures": {band.name: [band.wavelength, band.mean, band.std] for band in rgb_bands()},
            "no_data": 0.0,
            "decode_margin": DECODE_MARGIN,
            "augment": self.config.augment,
        }


def build(config: DynamicVitConfig) -> DynamicVit:
    """The encoder with random weights."""
    return DynamicVit(config)


def _listed(wavelengths: Tensor) -> str:
    """``0.665, 0.56, 0.49 µm``; the first and the last of many."""
    values = [f"{value:.6g}" for value in wavelengths.tolist()]
    return f"{', '.join(values if len(values) < 16 else [*values[:4], '…', values[-1]])} µm ({len(values)})"

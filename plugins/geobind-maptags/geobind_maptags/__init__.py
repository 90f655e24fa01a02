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


class MapTagsConfig(WorldConfig):
    """The places of world, and the tags of all that a map has around each."""

    path: Path | None = None
    """JSON lines of your own, ``{"id": …, "lat": …, "lon": …, "tags": {"place=village": 12}}``; null for GeoNames."""
    radius_km: float = Field(150.0, gt=0)
    """Tags of lines at most so far from a place are added up; a tile of world is 355 km wide unless told otherwise."""


@geobind.hookimpl
def geobind_modalities() -> list[geobind.ModalitySpec]:
    """The word that recipes and `geobind bind --modality` use, and what one item is."""
    return [
        geobind.ModalitySpec(
            name="maptags",
            item='mapping of tags to counts above 0, {"place=village": 12}, or the path of a JSON file that holds one',
            units="1",
            summary="What a map says around a place: a bag of key=value tags with counts.",
            example="geobind_maptags.items:example",
            preview="geobind_maptags.items:preview",
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
            config=MapTagsConfig,
            build="geobind_maptags.dataset:Places",
            modalities=("maptags", *MODALITIES),
            summary="The places of world, with the tags around each: of GeoNames, or of your own file.",
            licence="GeoNames: CC BY 4.0; the rest as of the data set world",
            example="geobind_maptags.dataset:example_config",
        )
    ]


@geobind.hookimpl
def geobind_recipes() -> list[geobind.RecipeSpec]:
    """What `geobind bind --recipe maptags` reads."""
    path = str(Path(__file__).with_name("recipes") / "maptags.yaml")
    return [geobind.RecipeSpec(name="maptags", path=path, summary="Text and the tags of GeoNames, to satellites")]

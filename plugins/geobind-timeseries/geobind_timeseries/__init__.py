"""The modality timeseries for geobind. Only specs live here; nothing heavy is imported."""

from pathlib import Path

import geobind
from geobind_world import MODALITIES, WorldConfig
from pydantic import Field


class CNNConfig(geobind.Config):
    """A small convolutional network, to be trained from nothing."""

    width: int = Field(32, ge=1)
    """Channels of the first layer; the second has twice as many, and the embedding four times."""
    mean: float = 0.0
    """Mean of all numbers of the training items; the network sees it as 0."""
    std: float = Field(1.0, gt=0)
    """Their standard deviation; the network sees it as 1."""


@geobind.hookimpl
def geobind_modalities() -> list[geobind.ModalitySpec]:
    """The word that recipes and `geobind bind --modality` use, and what one item is."""
    return [
        geobind.ModalitySpec(
            name="timeseries",
            item="float32 array [16, 16], or the path of a .npy file that holds one",
            units="1",  # of an item's numbers, such as "K" or "mm/day"; "1" where they have none
            summary="A window of timeseries values around a place.",
            example="geobind_timeseries.dataset:example_item",
        )
    ]


@geobind.hookimpl
def geobind_encoders() -> list[geobind.EncoderSpec]:
    """What a recipe calls `encoder: {type: timeseries_cnn}`."""
    return [
        geobind.EncoderSpec(
            name="timeseries_cnn",
            modality="timeseries",
            config=CNNConfig,
            build="geobind_timeseries.encoder:CNN",
            summary="A small convolutional network, to train from nothing.",
        )
    ]


@geobind.hookimpl
def geobind_datasets() -> list[geobind.DatasetSpec]:
    """What a recipe calls `dataset: {type: timeseries}`."""
    return [
        geobind.DatasetSpec(
            name="timeseries",
            config=WorldConfig,
            build="geobind_timeseries.dataset:Places",
            modalities=("timeseries", *MODALITIES),
            summary="The places of world, with made-up timeseries values.",
            example="geobind_timeseries.dataset:example_config",
        )
    ]


@geobind.hookimpl
def geobind_recipes() -> list[geobind.RecipeSpec]:
    """What `geobind bind --recipe timeseries` reads."""
    path = Path(__file__).with_name("recipes") / "timeseries.yaml"
    return [geobind.RecipeSpec(name="timeseries", path=str(path), summary="Text and timeseries")]

"""The modality timeseries for geobind: daily measurements at a place. Only specs; nothing heavy is imported."""

from pathlib import Path

import geobind
from geobind_world import MODALITIES, WorldConfig
from pydantic import Field


class SeriesCNNConfig(geobind.Config):
    """Dilated convolutions over weeks, to be trained from nothing."""

    channels: int = Field(1, ge=1)
    """Columns of an item, such as 2 for temperature and precipitation."""
    width: int = Field(128, ge=1)
    """Channels of every layer, and of the embedding."""
    mean: float = 0.0
    """Mean of all numbers of the training items; the network sees it as 0."""
    std: float = Field(1.0, gt=0)
    """Their standard deviation; the network sees it as 1."""


@geobind.hookimpl
def geobind_modalities() -> list[geobind.ModalitySpec]:
    """The word that recipes and `geobind bind --modality` use, and what one item is."""
    spec = geobind.ModalitySpec(
        name="timeseries",
        item="float32 array [days, channels] from a 1 January on, NaN where missing, or path of such a .npy file",
        units="those of your series; °C where synthesised",
        summary="Daily measurements at a place.",
        example="geobind_timeseries.dataset:example_item",
    )
    return [spec]


@geobind.hookimpl
def geobind_encoders() -> list[geobind.EncoderSpec]:
    """What a recipe calls `encoder: {type: series_cnn}`."""
    spec = geobind.EncoderSpec(
        name="series_cnn",
        modality="timeseries",
        config=SeriesCNNConfig,
        build="geobind_timeseries.encoder:SeriesCNN",
        summary="Dilated convolutions over weeks that know the season, to train from nothing.",
        unchecked={"refuses_a_single_nan": "NaN is a missing value of a series"},
    )
    return [spec]


@geobind.hookimpl
def geobind_datasets() -> list[geobind.DatasetSpec]:
    """What a recipe calls `dataset: {type: timeseries}`."""
    spec = geobind.DatasetSpec(
        name="timeseries",
        config=WorldConfig,
        build="geobind_timeseries.dataset:Places",
        modalities=("timeseries", *MODALITIES),
        summary="The places of world, with a year of synthesised daily temperature.",
        example="geobind_timeseries.dataset:example_config",
    )
    return [spec]


@geobind.hookimpl
def geobind_recipes() -> list[geobind.RecipeSpec]:
    """What `geobind bind --recipe timeseries` reads."""
    path = Path(__file__).with_name("recipes") / "timeseries.yaml"
    return [geobind.RecipeSpec(name="timeseries", path=str(path), summary="Text and synthesised temperatures")]

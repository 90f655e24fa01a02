"""The modality timeseries for geobind: daily measurements at a place. Only specs; nothing heavy is imported."""

from pathlib import Path
from typing import Any

import geobind
from pydantic import Field


class Channel(geobind.Config):
    """One measured quantity, a column of an item."""

    name: str
    """What is measured."""
    units: str
    """Its units; `1` for none."""
    mean: float = 0.0
    """Mean of the training items; the network sees it as 0."""
    std: float = Field(1.0, gt=0)
    """Their standard deviation; the network sees it as 1."""


class SeriesCNNConfig(geobind.Config):
    """Dilated convolutions over weeks, to be trained from nothing."""

    channels: tuple[Channel, ...] = Field((Channel(name="temperature", units="°C", mean=10, std=14),), min_length=1)
    """The columns of an item, in order."""
    width: int = Field(64, ge=1)
    """Channels of every layer; the embedding has twice as many."""


class TimeseriesConfig(geobind.Config):
    """The places of another data set, and a series for each."""

    places: dict[str, Any] = {"type": "world", "n": 600}
    """`{type: NAME, …}`: the data set whose places, splits and other modalities are taken."""
    table: Path | None = None
    """CSV or .parquet file with the columns `place`, `date` and one per channel, in the order of the encoder's. Without
    one, a year of temperature (°C) is synthesised from latitude."""
    origin: str = "as the table of series says"
    """How a series of the table came to its place, such as `true location`."""


@geobind.hookimpl
def geobind_modalities() -> list[geobind.ModalitySpec]:
    """The word that recipes and `geobind bind --modality` use, and what one item is."""
    return [
        geobind.ModalitySpec(
            name="timeseries",
            item="float32 array [days, channels] from a 1 January on, NaN where missing, or path of such a .npy file",
            units="those of each channel, in the encoder's `channels`; °C by default",
            summary="Daily measurements at a place.",
            example="geobind_timeseries.examples:item",
            preview="geobind_timeseries.items:preview",
        )
    ]


@geobind.hookimpl
def geobind_encoders() -> list[geobind.EncoderSpec]:
    """What a recipe calls `encoder: {type: series_cnn}`."""
    return [
        geobind.EncoderSpec(
            name="series_cnn",
            modality="timeseries",
            config=SeriesCNNConfig,
            build="geobind_timeseries.encoder:SeriesCNN",
            summary="Dilated convolutions over weeks that know the season, to train from nothing.",
            unchecked={"refuses_a_single_nan": "NaN is a missing value; tests/ see to it that infinity is refused"},
        )
    ]


@geobind.hookimpl
def geobind_datasets() -> list[geobind.DatasetSpec]:
    """What a recipe calls `dataset: {type: timeseries}`."""
    return [
        geobind.DatasetSpec(
            name="timeseries",
            config=TimeseriesConfig,
            build="geobind_timeseries.dataset:Series",
            summary="Your table of daily values at the places of any data set, or synthesised temperatures.",
            example="geobind_timeseries.examples:data_set",
            unchecked={"items_can_be_loaded": "NaN is a missing value; tests/ load items and see to the rest"},
        )
    ]


@geobind.hookimpl
def geobind_recipes() -> list[geobind.RecipeSpec]:
    """What `geobind bind --recipe timeseries` reads."""
    path = Path(__file__).with_name("recipes") / "timeseries.yaml"
    return [geobind.RecipeSpec(name="timeseries", path=str(path), summary="Text and synthesised temperatures")]

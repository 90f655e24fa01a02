"""The data set timeseries: the places of `world`, and a made-up year of temperature for each."""

import hashlib
from dataclasses import replace
from pathlib import Path

import geobind
import numpy as np
from geobind_world import MODALITIES, WorldConfig
from numpy.typing import NDArray


def synthesised(place: str, lat: float) -> NDArray[np.float32]:
    """A made-up year of daily temperature in °C, float32 ``[365, 1]``, of a place's id and latitude in degrees."""
    season = np.sin(np.radians(lat)) * np.cos(2 * np.pi * (np.arange(365) - 20) / 365.2425)  # highest in winter
    noise = np.random.default_rng(list(place.encode())).normal(0, 2, 365 + 19)
    weather = np.convolve(noise, 0.8 ** np.arange(20), mode="valid")  # lasts for days
    return np.asarray(27 - 45 * np.sin(np.radians(lat)) ** 2 - 20 * season + weather, dtype=np.float32)[:, None]


class Places(geobind.Dataset):
    """All that `world` holds (satellite tiles, captions, …), and the temperatures of each place."""

    modalities = ("timeseries", *MODALITIES)

    def __init__(self, config: WorldConfig) -> None:
        self.world = geobind.build_dataset({"type": "world", **config.model_dump()})

    def items(self, modality: str, split: str) -> geobind.Items:
        """The items of one modality in `train`, `val` or `test`; those of one place are pairs."""
        if modality != "timeseries":
            return self.world.items(modality, split)
        at = self.world.items("location", split)
        arrays = [synthesised(str(place), lat) for place, (lat, _) in zip(at.place, at, strict=True)]
        keys = np.array([hashlib.sha256(array.tobytes()).hexdigest() for array in arrays], dtype=np.str_)
        return replace(at, modality="timeseries", load=arrays.__getitem__, key=keys)

    def origin(self, a: str, b: str) -> str:
        """How pairs came about; it stands beside every figure."""
        return "synthesised from latitude" if "timeseries" in (a, b) else self.world.origin(a, b)

    @property
    def fingerprint(self) -> str:
        """A hash of what it holds: figures on equal fingerprints are comparable."""
        keys = [key for split in geobind.SPLITS for key in self.items("timeseries", split).key]
        return hashlib.sha256("".join([self.world.fingerprint, *keys]).encode()).hexdigest()[:16]


def example_item(index: int) -> NDArray[np.float32]:
    """A made-up series for checks, another for every index, of unequal lengths."""
    return synthesised(str(index), 17.0 * index % 180 - 90)[: 365 - 30 * (index % 3)]


def example_config(folder: Path) -> dict[str, int]:
    """A small data set for checks; it needs no files in the folder."""
    return {"n": 60}

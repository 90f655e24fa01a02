"""The data set template: the places of ``world``, and the template item of each."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import geobind
import numpy as np
from geobind_world import MODALITIES, WorldConfig
from numpy.typing import NDArray

from geobind_template.encoder import SIDE


def at(lat: float, lon: float) -> NDArray[np.float32]:
    """The item of a place (degrees, WGS84): float32 ``[16, 16]``, 30° wide. **Made up**: waves over the globe.

    Your own data go in here: cut the window out of your raster, or open the file that belongs to the place.
    """
    offsets = np.linspace(-15, 15, SIDE)
    lats, lons = np.radians(lat - offsets)[:, None], np.radians(lon + offsets)
    return np.asarray(np.sin(3 * lats) + np.cos(lats) * np.cos(2 * lons), dtype=np.float32)


class Places(geobind.Dataset):
    """All that ``world`` holds (satellite tiles, captions, …), and the template item of each place."""

    modalities = ("template", *MODALITIES)

    def __init__(self, config: WorldConfig) -> None:
        self.world = geobind.build_dataset({"type": "world", **config.model_dump()})

    def items(self, modality: str, split: str) -> geobind.Items:
        """The items of one modality in ``train``, ``val`` or ``test``; those of one place are pairs."""
        if modality != "template":
            return self.world.items(modality, split)
        locations = self.world.items("location", split)
        arrays = [at(lat, lon) for lat, lon in locations]
        # Features are stored under the keys of items: equal keys, equal items.
        keys = np.array([hashlib.sha256(array.tobytes()).hexdigest() for array in arrays], dtype=np.str_)
        return replace(locations, modality="template", load=arrays.__getitem__, key=keys)

    def origin(self, a: str, b: str) -> str:
        """How pairs came about; it stands beside every figure."""
        return "synthesised from the location" if "template" in (a, b) else self.world.origin(a, b)

    @property
    def fingerprint(self) -> str:
        """A hash of what it holds: figures on equal fingerprints are comparable."""
        keys = [key for split in geobind.SPLITS for key in self.items("template", split).key]
        return hashlib.sha256("".join([self.world.fingerprint, *keys]).encode()).hexdigest()[:16]


def example_item(index: int) -> NDArray[np.float32]:
    """An item for checks, another for every index."""
    return at(*np.random.default_rng(index).uniform((-90, -180), (90, 180)))


def example_config(folder: Path) -> dict[str, Any]:
    """A small data set for checks; it needs no files in the folder."""
    return {"n": 60}

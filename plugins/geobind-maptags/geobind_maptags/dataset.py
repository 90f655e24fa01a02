"""The data set maptags: the places of ``world``, and the tags of all that GeoNames has around each."""

import csv
import hashlib
import json
from collections import Counter
from dataclasses import replace

import geobind
import numpy as np
from geobind_world import MODALITIES, WorldConfig
from geobind_world.maps import unit_vectors
from geobind_world.sources import TOWNS
from numpy.typing import NDArray

RADIUS_KM = 150.0
"""Tags at most so far from a place are counted; a tile of ``world`` is 355 km wide."""


def geonames() -> tuple[NDArray[np.float64], list[tuple[str, str, str]]]:
    """The 144,563 places of GeoNames that captions of ``world`` name: (lat, lon) ``[N, 2]`` in degrees, and tags."""
    rows = [*csv.DictReader(TOWNS.locate().read_text(encoding="utf-8").splitlines())]
    tags = [("place=populated", f"country={row['cc']}", f"admin1={row['cc']}/{row['admin1']}") for row in rows]
    return np.array([(row["lat"], row["lon"]) for row in rows], dtype=np.float64), tags


class Places(geobind.Dataset):
    """All that ``world`` holds (satellite tiles, captions, …), and the bag of tags around each place that has any."""

    modalities = ("maptags", *MODALITIES)

    def __init__(self, config: WorldConfig) -> None:
        self.world = geobind.build_dataset({"type": "world", **config.model_dump()})
        degrees, tags = geonames()
        points, near = unit_vectors(degrees), np.cos(RADIUS_KM / 6371.0)
        self.tables: dict[str, geobind.Items] = {}
        earlier: set[str] = set()  # a bag that an earlier split has is left out: no content is in two splits
        for split in geobind.SPLITS:
            places = self.world.items("location", split)
            around = [np.flatnonzero(points @ place >= near) for place in unit_vectors(np.reshape([*places], (-1, 2)))]
            bags = [Counter(tag for row in rows for tag in tags[row]) for rows in around]
            keys = [hashlib.sha256(json.dumps(bag, sort_keys=True).encode()).hexdigest() for bag in bags]
            kept = np.flatnonzero([bool(bag) and key not in earlier for bag, key in zip(bags, keys, strict=True)])
            every = replace(places, modality="maptags", load=bags.__getitem__, key=np.array(keys, dtype=np.str_))
            self.tables[split] = every.take(kept)
            earlier.update(keys)

    def items(self, modality: str, split: str) -> geobind.Items:
        """The items of one modality in ``train``, ``val`` or ``test``; those of one place are pairs."""
        return self.tables[split] if modality == "maptags" else self.world.items(modality, split)

    def origin(self, a: str, b: str) -> str:
        """How pairs came about: tags, like tiles, by where they truly lie."""
        return self.world.origin(*("satellite" if name == "maptags" else name for name in (a, b)))

    @property
    def fingerprint(self) -> str:
        """A hash of what it holds: figures on equal fingerprints are comparable."""
        keys = [key for table in self.tables.values() for key in table.key]
        return hashlib.sha256("".join([self.world.fingerprint, *keys]).encode()).hexdigest()[:16]

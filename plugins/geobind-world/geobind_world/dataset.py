"""The data set ``world``: places of the globe and everything about them, held in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from geobind_sensors.image import Band, SensorImage
from geobind_sensors.sensors import find_sensor
from numpy.typing import NDArray

from geobind.data.items import SPLITS, Dataset, Items
from geobind.data.splits import split_by_blocks
from geobind.errors import DataError, nearest
from geobind_world import MODALITIES, WorldConfig, landscape, soundscape, sources
from geobind_world.captions import PER_PLACE, captions
from geobind_world.climate import CODES, NO_CLASS
from geobind_world.facts import Facts, country_name, gather
from geobind_world.maps import cut_classes, cut_tiles
from geobind_world.places import draw_places

GENERATOR = 1
"""Version of all code here that decides what an item holds; raise it when any item changes."""

SYNTHESISED = ("ground", "audio")
"""Modalities made from the facts; the others are real."""

SAME_PICTURE = ("satellite", "rgb")
"""Modalities that are one tile: the anchor of spaces around satellite images, and a sensor around others."""

_TEXT, _GROUND, _AUDIO = 1, 2, 3
"""Random streams of the modalities; the draw of the places is stream 0."""


def build(config: WorldConfig) -> World:
    """Builder of ``dataset: {type: world}``; a few seconds for 4,000 places.

    Raises:
        WeightsError: A package that holds the maps is absent, another release, or altered.
    """
    return World(config)


class World(Dataset):
    """Land places drawn by area: real tiles, true facts, and pictures and sounds made from the facts.

    P places. The first ones do not depend on how many there are, nor on the splits.
    """

    modalities = MODALITIES

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        land, (koppen, zones), towns = sources.read_land_mask(), sources.read_koppen(), sources.read_towns()
        lat_lon, climates = draw_places(config.n, config.seed, land, koppen, zones)
        self.place: NDArray[np.str_] = np.array([f"w{row:05d}" for row in range(config.n)])
        self.split = split_by_blocks(lat_lon, degrees=config.block_deg, fractions=config.fractions, seed=config.seed)
        self.satellite = cut_tiles(sources.read_map(sources.BLUE_MARBLE), lat_lon, config.tile)
        self.elevation = cut_tiles(sources.read_map(sources.RELIEF), lat_lon, config.tile)
        # Heights have no wavelength. Red, green and blue are a stand-in that has to be asked for by its name.
        self.relief_bands = find_sensor("relief").bands(convention="geolangbind")
        self.facts = gather(lat_lon, climates, self.elevation, land, towns)
        self.captions: list[str] = []
        for row in range(config.n):
            self.captions += captions(self.facts[row], np.random.default_rng([config.seed, _TEXT, row]))
        content = {
            "generator": GENERATOR,
            "sources": [asdict(source) for source in sources.SOURCES],
            "countries": {code: country_name(code) for code in np.unique(towns.country).tolist()},
            "seed": config.seed,
            "tile": config.tile,
        }
        self._content = _digest(content)
        self._relief = _digest({"content": self._content, "bands": [asdict(band) for band in self.relief_bands]})
        self._fingerprint = _digest({"content": self._relief, "config": config.model_dump(mode="json")})

    @cached_property
    def classes(self) -> NDArray[np.uint8]:
        """Köppen classes ``[P, tile, tile]`` of the satellite tiles' pixels, as codes of :data:`climate.CODES`.

        The class under a pixel's centre, of a map that is finer than the tiles; it is read when it is first asked for.
        """
        koppen, zones = sources.read_koppen()
        code_of = np.array([CODES.get(zones.get(value, ""), NO_CLASS) for value in range(256)], dtype=np.uint8)
        return code_of[cut_classes(koppen, self.facts.lat_lon, self.config.tile, sources.DEGREES)]

    @property
    def fingerprint(self) -> str:
        """Hash of the config, the pinned files, what the bands of relief mean, the country names, :data:`GENERATOR`."""
        return self._fingerprint

    def items(self, modality: str, split: str) -> Items:
        """The items of one modality in one split; ground and audio are made when they are loaded.

        In training a place has every caption. For validation and test it has its fullest one, so that
        galleries of all modalities are alike and captions of one place do not crowd each other out.

        Raises:
            DataError: No such modality or split.
        """
        for value, known in ((modality, self.modalities), (split, SPLITS)):
            if value not in known:
                raise DataError(f"the data set world has no {value!r}", fix=nearest(value, known))
        rows = np.flatnonzero(self.split == split)
        each = PER_PLACE if modality == "text" else 1
        taken = np.arange(each) if split == "train" else np.array([each - 1])  # the last caption is the fullest
        of_item = np.repeat(rows, len(taken))
        which = np.tile(taken, len(rows))
        places = self.place[of_item]
        content = self._relief if modality == "elevation" else self._content
        keys = [f"{content}:{place}:{modality}:{k}" for place, k in zip(places, which, strict=True)]
        return Items(
            modality=modality,
            load=_Load(self._loader(modality), of_item * each + which),
            place=places,
            key=np.array(keys, dtype=np.str_),
            lat_lon=self.facts.lat_lon[of_item],
            tags={"koppen": self.facts.koppen[of_item], "country": self.facts.country[of_item]},
        )

    def origin(self, a: str, b: str) -> str:
        """True location, unless the two are one picture, or one of them is text or synthesised."""
        if {a, b} == set(SAME_PICTURE):
            return "the same picture"
        parts = []
        if a in SYNTHESISED or b in SYNTHESISED:
            parts.append("synthesised from true climate and relief")
        if "text" in (a, b):
            parts.append("captions from true facts of the place")
        return "; ".join(parts) or "true location"

    def _loader(self, modality: str) -> Callable[[int], Any]:
        match modality:
            case "satellite" | "rgb":
                return _Tiles(self.satellite)
            case "elevation":
                return _Reliefs(self.elevation, self.relief_bands)
            case "classmap":
                return _Tiles(self.classes)
            case "location":
                return _Locations(self.facts.lat_lon)
            case "text":
                return self.captions.__getitem__
            case "ground":
                return _Landscapes(self.facts, self.elevation, self.config.seed)
            case _:
                return _Soundscapes(self.facts, self.config.seed)


# Loaders are values rather than closures, so that items can travel to worker processes.


@dataclass(frozen=True)
class _Load:
    """Item number → whatever ``source`` gives for its row."""

    source: Callable[[int], Any]
    rows: NDArray[np.int64] = field(repr=False)

    def __call__(self, index: int) -> Any:
        return self.source(int(self.rows[index]))


@dataclass(frozen=True)
class _Tiles:
    tiles: NDArray[np.uint8] = field(repr=False)

    def __call__(self, row: int) -> NDArray[np.uint8]:
        return np.array(self.tiles[row])  # a copy: its taker may change it


@dataclass(frozen=True)
class _Reliefs:
    tiles: NDArray[np.uint8] = field(repr=False)
    bands: tuple[Band, ...]

    def __call__(self, row: int) -> SensorImage:
        return SensorImage(np.array(self.tiles[row].transpose(2, 0, 1), order="C"), self.bands)


@dataclass(frozen=True)
class _Locations:
    lat_lon: NDArray[np.float64] = field(repr=False)

    def __call__(self, row: int) -> tuple[float, float]:
        lat, lon = self.lat_lon[row].tolist()
        return lat, lon


@dataclass(frozen=True)
class _Landscapes:
    facts: Facts = field(repr=False)
    elevation: NDArray[np.uint8] = field(repr=False)
    seed: int

    def __call__(self, row: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng([self.seed, _GROUND, row])
        return landscape.draw(self.facts[row], self.elevation[row], rng)


@dataclass(frozen=True)
class _Soundscapes:
    facts: Facts = field(repr=False)
    seed: int

    def __call__(self, row: int) -> tuple[NDArray[np.float32], int]:
        rng = np.random.default_rng([self.seed, _AUDIO, row])
        return soundscape.synthesise(self.facts[row], rng), soundscape.RATE


def _digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]

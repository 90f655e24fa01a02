"""The geotiff dataset: a table of places, and rasters around them. N items of a modality, F files of an image."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geobind.builtin import ManifestItems
from geobind.data.items import SPLITS, Items
from geobind.data.manifest import ManifestDataset, as_strings, read_table
from geobind.errors import DataError
from geobind_sensors.readers import GeoTiffConfig, RasterImages
from geobind_sensors.readers.locate import Locator
from geobind_sensors.readers.raster import Window
from geobind_sensors.readers.source import Source, resolve


@dataclass(frozen=True, eq=False)
class Images:
    """The images of a modality, before any is read."""

    source: Source | None
    """None where there are none."""
    row: NDArray[np.int64]
    """``[N]`` of the table, from 0."""
    place: NDArray[np.str_]
    """``[N]``"""
    paths: pa.Array
    """``[N * F]``"""
    windows: NDArray[np.int64]
    """``[N, F, 4]`` in pixels of each file; ``[N, 0, 4]`` where all of it is taken."""


class GeoTiffDataset(ManifestDataset):
    """Rasters beside a table; see :class:`geobind_sensors.readers.GeoTiffConfig`.

    Files are looked at when items are first asked for: that they are there and, for windows and chips, their headers.
    Values are read when an item is loaded, and only those of its window.

    An item's key has its files' paths, sizes and times of change (``mtime`` and ``ctime``), its window, and all that
    turns numbers into values. Contents are not read for it, as a raster may be larger than all items cut from it: a
    file that is written over, and a copy of the data, are embedded anew.

    Raises:
        DataError: As a manifest, or (``strict``) a row whose image is missing or lies outside of its raster.
    """

    config: GeoTiffConfig

    def __init__(self, config: GeoTiffConfig) -> None:
        super().__init__(config)
        self.modalities = (*config.images, *config.items)
        self.root = self.root.resolve()
        for how in config.images.values():
            self._require([*how.where, *(name for part in how.parts for name in part.columns)])
        self._images: dict[str, Images] = {}
        self._cells: dict[str, list[str]] = {}
        self._locator = Locator(self.root, self._column, self._lat_lon, config.chips)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the config, the table's bytes, what sensors say, and every raster's path, size and time of change."""
        lines = [super().fingerprint]
        for modality in self.config.images:
            images = self._images_of(modality)
            lines.append(images.source.identity if images.source else "")
            for path in images.paths.unique().to_pylist():
                stat = os.stat(path)  # noqa: PTH116
                lines.append(f"{os.path.relpath(path, self.root)}\0{stat.st_size}\0{stat.st_mtime_ns}")
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def items(self, modality: str, split: str) -> Items:
        """The items of one modality in one split."""
        if modality in self.config.images and modality not in self._cache:
            self._cache[modality] = self._table(modality)
        return self._cache[modality][split] if modality in self._cache else super().items(modality, split)

    # -- tables ------------------------------------------------------------------------------------

    def _table(self, modality: str) -> dict[str, Items]:
        images, config = self._images_of(modality), self.config
        row = images.row
        load = _Load(images.source, images.paths, images.windows, images.place, row, str(config.path))
        items = Items(
            modality=modality,
            load=load,
            place=images.place,
            key=np.array([load.key(index) for index in range(len(row))], dtype=np.str_),
            group=None if config.group is None else as_strings(self.table[config.group])[row],
            lat_lon=None if self._lat_lon is None else self._lat_lon[row],
            tags={tag: as_strings(self.table[tag])[row] for tag in config.tags},
            kind=np.full(len(row), images.source.kind if images.source else ""),
        )
        return {split: items.take(np.flatnonzero(self._splits[row] == split)) for split in SPLITS}

    def _read(self, modality: str, how: ManifestItems) -> dict[str, Items]:
        """What the table itself holds: where images are cut into chips, for every chip of its place."""
        tables = super()._read(modality, how)
        if self.config.chips is None:
            return tables
        for name in self.config.images:
            self._images_of(name)  # fills the grids
        return {split: self._spread(items) for split, items in tables.items()}

    def _spread(self, items: Items) -> Items:
        rows, places = [], []
        for row, place in enumerate(items.place.tolist()):
            names = self._locator.chips_of(place)
            rows += [row] * len(names)
            places += names
        return replace(items.take(np.array(rows, dtype=np.int64)), place=np.array(places, dtype=np.str_))

    # -- images ------------------------------------------------------------------------------------

    def _images_of(self, modality: str) -> Images:
        if modality not in self._images:
            if self.config.chips is not None:
                for earlier in list(self.config.images)[: list(self.config.images).index(modality)]:
                    self._images_of(earlier)  # the first modality that has a place gives its grid
            self._images[modality] = self._find(modality, self.config.images[modality])
        return self._images[modality]

    def _find(self, modality: str, how: RasterImages) -> Images:
        source, locator = None, self._locator
        rows: list[int] = []
        places: list[str] = []
        paths: list[str] = []
        windows: list[tuple[Window, ...]] = []
        for row in self._rows_of(ManifestItems(where=how.where)).tolist():
            place = str(self._ids[row])
            where = f"{self.config.path}:{row + 2}, id {place!r}"
            try:
                files = locator.files(how, row, where)
                cut = list(locator.cut(how, files, row, place, where)) if files else []
                headers = [locator.header(path, where) for path in files] if cut and source is None else []
            except DataError as error:
                if self.config.strict:
                    raise
                self._skipped.append(str(error))
                continue
            if headers:
                source = resolve(modality, how, headers, [f"{path}, {where}" for path in files])
            for name, window in cut:
                rows.append(row)
                places.append(name)
                paths += map(str, files)
                windows.append(window)
        return Images(
            source,
            np.array(rows, dtype=np.int64),
            np.array(places, dtype=np.str_),
            pa.array(paths, pa.large_string()),
            np.array(windows, dtype=np.int64).reshape(len(rows), -1 if rows else 0, 4),
        )

    def _column(self, name: str) -> list[str]:
        """A column as texts, empty where the cell is; of a CSV file as it stands there, so that ``007`` stays that."""
        if name not in self._cells:
            column = self.table[name]
            if not pa.types.is_string(column.type):
                column = read_table(self.config.path, self.config.delimiter, texts=(name,))[name]
            self._cells[name] = as_strings(column).tolist()
        return self._cells[name]


@dataclass(frozen=True)
class _Load:
    """Reads item ``i``; a value rather than a closure, so that items can travel to worker processes."""

    source: Source | None
    paths: pa.Array = field(repr=False)
    windows: NDArray[np.int64] = field(repr=False)
    place: NDArray[np.str_] = field(repr=False)
    row: NDArray[np.int64] = field(repr=False)
    table: str

    def __call__(self, index: int) -> Any:
        assert self.source is not None  # noqa: S101  (there is no item without one)
        files, windows = self._of(index)
        where = f"{self.table}:{self.row[index] + 2}, id {str(self.place[index])!r}"
        return self.source.load([Path(file) for file in files], windows or [None] * len(files), where)

    def key(self, index: int) -> str:
        """The first file's path, and a hash of all that decides what is read."""
        assert self.source is not None  # noqa: S101
        files, windows = self._of(index)
        parts = [self.source.identity, *map(str, windows)]
        for file in files:
            stat = os.stat(file)  # noqa: PTH116
            parts.append(f"{file}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}")
        digest = hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
        return f"{files[0]} #{digest[:12]}"

    def _of(self, index: int) -> tuple[list[str], list[Window]]:
        per = len(self.paths) // len(self.row)
        windows = [Window(*window) for window in self.windows[index].tolist()]
        return self.paths[index * per : (index + 1) * per].to_pylist(), windows


def build(config: GeoTiffConfig) -> GeoTiffDataset:
    """Builder of the ``geotiff`` spec."""
    return GeoTiffDataset(config)

"""What the files of a modality hold: which layers are which bands, and how numbers become values in their units.

Shapes: C bands, H rows, W columns.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader

from geobind.errors import DataError, nearest
from geobind_sensors.image import Band, SensorImage
from geobind_sensors.modalities import CLASSMAP
from geobind_sensors.readers import RasterFile, RasterImages
from geobind_sensors.readers.raster import Header, Window, opened, read, resized
from geobind_sensors.sensor import Sensor
from geobind_sensors.sensors import find_sensor

NO_CLASS = -1
"""Code of a pixel of a class map where there is no data and neither the config nor the file has a code for that."""

SHOWN = 16
"""Bands that are named in a kind; of more it has a hash, since there is one per item."""


@dataclass(frozen=True)
class Numbers:
    """What a number in a file means; None where nothing is said."""

    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None


@dataclass(frozen=True)
class Layer:
    """A layer of a file that is a band of the image."""

    number: int
    """Counted from 1."""
    name: str
    description: str
    """What the file must call it, where its name was taken from that; empty otherwise."""
    config: Numbers
    """Comes before what the file says of itself."""
    sensor: Numbers
    """Counts where neither says anything."""


@dataclass(frozen=True)
class Source:
    """Turns the files of one image into an item; picklable."""

    kind: str
    """Sensor and bands: images of unequal kind are never trained in one batch."""
    counts: tuple[int, ...]
    """Layers that each file must have."""
    layers: tuple[tuple[Layer, ...], ...]
    """Of each file, those that are read."""
    order: tuple[int, ...]
    """Where each band of the image stands among the layers read."""
    bands: tuple[Band, ...]
    """C of them; none for a map of classes."""

    @cached_property
    def identity(self) -> str:
        """All that decides what an item is made of a file's bytes."""
        return json.dumps(asdict(self), sort_keys=True)

    def load(self, paths: Sequence[Path], windows: Sequence[Window | None], where: str) -> Any:
        """An item.

        Args:
            paths: Of each file.
            windows: Of each file; None for all of it.
            where: Row, for messages.

        Returns:
            A SensorImage, float32: a pixel without data in any band is masked, and has the mean of the others where
            its own is missing. Or the codes ``[H, W]`` of a map of classes, int32.

        Raises:
            DataError: A file cannot be read, has other layers, or there is no data in it.
        """
        values: list[NDArray[np.float32]] = []
        masks: list[NDArray[np.bool_]] = []
        for path, window, layers, count in zip(paths, windows, self.layers, self.counts, strict=True):
            if not layers:
                continue
            place = f"{path}, {where}" + (f", {window}" if window else "")
            with opened(path, place) as raster:
                _require_count(raster.count, count, place)
                _require_described(raster, layers, place)
                raw, valid = read(raster, [layer.number for layer in layers], window)
                if not self.bands:
                    return _codes(raster, layers[0], raw[0], valid[0], place)
                found, valid = _in_units(raster, layers, raw, valid, place)
            shape = values[0].shape[1:] if values else found.shape[1:]
            found, valid = resized(found, valid, (int(shape[0]), int(shape[1])))
            values.append(found)
            masks.append(valid)
        joined = values[0] if len(values) == 1 else np.concatenate(values)
        everywhere: NDArray[np.bool_] = np.all([mask.all(axis=0) for mask in masks], axis=0)
        return SensorImage(
            values=joined if self.order == tuple(range(len(joined))) else joined[list(self.order)],
            bands=self.bands,
            valid=None if everywhere.all() else everywhere,
            where=place if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more, {where}",
        )


def resolve(modality: str, how: RasterImages, headers: Sequence[Header], places: Sequence[str]) -> Source:
    """What the files of a modality hold.

    Args:
        modality: Its word.
        how: What the config says.
        headers: Of the files of one image, for what the config leaves to them; the others must be like it.
        places: Those files and their row, for messages.

    Raises:
        DataError: No such sensor, band or convention, or files whose layers nobody names.
    """
    if modality == CLASSMAP:
        layer = Layer(1, "code", "", Numbers(nodata=how.nodata), Numbers())
        return Source(CLASSMAP, (1,), ((layer,),), (0,), ())
    sensor = find_sensor(how.sensor or modality)
    told = Numbers(how.scale, how.offset, how.nodata)
    named = []
    for part, header, place in zip(how.parts, headers, places, strict=True):
        named.append(_names(part, header, sensor, place))
        _require_count(header.count, len(named[-1]), place)
    known = [[name for name in names if not how.select or sensor.find(name)] for names in named]
    every = sensor.resolve([name for names in known for name in names])
    chosen = sensor.resolve(how.select) if how.select else every
    if absent := [name for name in chosen if name not in every]:
        raise DataError(f"no band {absent[0]!r} in the files of {modality!r}", fix=nearest(absent[0], every))
    layers = []
    for part, header, names in zip(how.parts, headers, named, strict=True):
        words = [""] * len(names) if part.bands else header.descriptions
        own = [(at, sensor.find(name)) for at, name in enumerate(names)]
        layers.append(
            tuple(Layer(at + 1, band, words[at], told, _said(sensor, band)) for at, band in own if band in chosen)
        )
    read = [layer.name for each in layers for layer in each]
    return Source(
        kind=f"{sensor.name}: {' '.join(chosen)}" if len(chosen) <= SHOWN else f"{sensor.name}: {_digest(chosen)}",
        counts=tuple(map(len, named)),
        layers=tuple(layers),
        order=tuple(read.index(name) for name in chosen),
        bands=sensor.bands(chosen, how.convention),
    )


def _require_count(found: int, wanted: int, where: str) -> None:
    """Raise DataError unless a file has as many layers as are named."""
    if found != wanted:
        raise DataError(
            f"the file has {found} layers, and {wanted} {'band is' if wanted == 1 else 'bands are'} named",
            where=where,
            fix="Name every layer of the file in `bands`, in its order; `select` keeps some of them.",
        )


def _require_described(raster: DatasetReader, layers: Sequence[Layer], where: str) -> None:
    """Raise DataError if a file calls its layers by other names than the one that they were learnt from."""
    for layer in layers:
        found = raster.descriptions[layer.number - 1] or ""
        if layer.description not in ("", found):
            raise DataError(
                f"layer {layer.number} is described as {found!r}, and that of other files as {layer.description!r}",
                where=where,
                fix="Name the layers with `bands`, or part the rows by `where`.",
            )


def _names(part: RasterFile, header: Header, sensor: Sensor, where: str) -> tuple[str, ...]:
    """Names of the layers of a file: as the config has them, as it describes them, or of a sensor's only band."""
    if part.bands:
        return part.bands
    if header.count == 1 == len(sensor.names):
        return sensor.names
    if all(map(sensor.find, header.descriptions)):
        return header.descriptions
    raise DataError(
        f"nothing says which bands the {header.count} layers of {part.file!r} are: it describes them as "
        f"{', '.join(repr(name) for name in header.descriptions[:4])}{' …' if header.count > 4 else ''}",
        where=where,
        fix=f"Name them with `bands`, in the file's order. Bands of {sensor.name!r}: {', '.join(sensor.entry.bands)}.",
    )


def _said(sensor: Sensor, band: str) -> Numbers:
    return Numbers(*(sensor.said(band, key) for key in ("scale", "offset", "nodata")))


def _in_units(
    raster: DatasetReader, layers: Sequence[Layer], raw: NDArray[Any], valid: NDArray[np.bool_], where: str
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values ``[C, H, W]`` in the units of their bands, and where they are data."""
    values = np.empty(raw.shape, dtype=np.float32)
    exact = np.float32 if raw.dtype.itemsize <= 2 else np.float64  # holds every number of the file
    for row, layer in enumerate(layers):
        at, own = layer.number - 1, _nodata(raster, layer)
        if own is not None:
            valid[row] &= raw[row] != own
        if not valid[row].any():
            raise DataError(f"no data in band {layer.name}", where=where, fix="Drop the row, or widen the window.")
        tagged = raster.scales[at] != 1 or raster.offsets[at] != 0
        said = Numbers(raster.scales[at], raster.offsets[at]) if tagged else layer.sensor
        scale = said.scale if layer.config.scale is None else layer.config.scale
        offset = said.offset if layer.config.offset is None else layer.config.offset
        found = raw[row].astype(exact)
        found *= exact(1 if scale is None else scale)
        found += exact(offset or 0)
        values[row] = found if valid[row].all() else np.where(valid[row], found, found[valid[row]].mean())
    return values, valid


def _codes(
    raster: DatasetReader, layer: Layer, raw: NDArray[Any], valid: NDArray[np.bool_], where: str
) -> NDArray[np.int32]:
    """The codes ``[H, W]`` of a map of classes."""
    whole = raw[valid]
    if raw.dtype.kind not in "iu" and not (whole == np.round(whole)).all():
        fix = "Codes of classes are whole numbers; name the file's sensor if it holds values."
        raise DataError(f"the map of classes holds {raw.dtype} values", where=where, fix=fix)
    none = _nodata(raster, layer)
    return np.where(valid, raw, NO_CLASS if none is None else int(none)).astype(np.int32)


def _nodata(raster: DatasetReader, layer: Layer) -> float | None:
    """The number that means no data: by the config, by the file, or by the sensor."""
    own = raster.nodatavals[layer.number - 1]
    for value in (layer.config.nodata, own, layer.sensor.nodata):
        if value is not None and np.isfinite(value):
            return float(value)
    return None


def _digest(names: Sequence[str]) -> str:
    return f"{len(names)} bands #{hashlib.sha256(' '.join(names).encode()).hexdigest()[:8]}"

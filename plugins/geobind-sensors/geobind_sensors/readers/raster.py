"""Raster files: what they are, windows of them, and where there is no data.

Files are opened for each call and closed again: handles of GDAL belong to one thread and cannot travel to another
process. Shapes: C layers, H rows, W columns, N points.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
import rasterio.warp
import rasterio.windows
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import MaskFlags
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader

from geobind.errors import DataError

DEGREE_M = 111_195.0
"""Metres of a degree of latitude on the mean sphere (6371 km)."""
_QUIET = ("ignore", None, NotGeoreferencedWarning, None, 0)
_lock = threading.Lock()


class Window(NamedTuple):
    """A part of a raster, in its pixels; may reach beyond the edge."""

    row: int
    column: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"rows {self.row}:{self.row + self.height}, columns {self.column}:{self.column + self.width}"


@dataclass(frozen=True)
class Header:
    """What a raster file says of itself."""

    count: int
    """Layers."""
    height: int
    width: int
    crs: Any
    """rasterio's CRS; None for a picture without coordinates."""
    crs_name: str
    """All that the CRS says, for telling two apart."""
    transform: Any
    """Pixel to coordinates, an affine matrix."""
    descriptions: tuple[str, ...]
    """Of each layer, empty where there is none."""

    @property
    def pixel(self) -> tuple[float, float]:
        """Height and width of a pixel in the units of the coordinates."""
        t = self.transform
        return float(np.hypot(t.b, t.e)), float(np.hypot(t.a, t.d))


def quiet() -> None:
    """Let no warning come of pictures without coordinates, which are the rule among chips.

    The filter stays: `warnings.catch_warnings` would take away what other threads set meanwhile.
    """
    with _lock:
        if _QUIET not in warnings.filters:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)


@contextmanager
def opened(path: Path, where: str = "") -> Iterator[DatasetReader]:
    """A raster file, for reading in this thread.

    Raises:
        DataError: It does not exist, is no raster that GDAL can read, or is damaged.
    """
    quiet()
    try:
        # GDAL before 3.7 takes a JPEG file that ends too early for a grey one.
        with rasterio.Env(GDAL_ERROR_ON_LIBJPEG_WARNING=True), rasterio.open(path) as raster:
            yield raster
    except RasterioIOError as error:
        cause = error.__cause__ or error
        reason = getattr(cause, "errmsg", None) or str(cause)
        raise DataError(
            f"raster {str(path)!r} cannot be read: {reason.rstrip('.')}", where=where, fix="Replace or drop it."
        ) from error


def describe(path: Path, where: str = "") -> Header:
    """The header of a raster file; its values are not read.

    Raises:
        DataError: As :func:`opened`.
    """
    with opened(path, where) as raster:
        names = tuple(name or "" for name in raster.descriptions)
        crs = raster.crs
        name = crs.to_wkt() if crs else ""
        return Header(raster.count, raster.height, raster.width, crs, name, raster.transform, names)


def project(lat_lon: NDArray[np.float64], crs: Any) -> NDArray[np.float64]:
    """Points ``[N, 2]`` of latitude and longitude in degrees as ``[N, 2]`` x and y of a coordinate system.

    Not finite where a point has no coordinates, or lies where the system is not defined.
    """
    out = np.full(lat_lon.shape, np.nan)
    located = np.isfinite(lat_lon).all(axis=1)
    if located.any():
        lat, lon = lat_lon[located].T.tolist()
        try:
            out[located] = np.stack(rasterio.warp.transform("EPSG:4326", crs, lon, lat)[:2], axis=1)
        except (RasterioError, CRSError) as error:
            raise DataError(
                f"coordinates cannot be turned into those of the raster ({crs}): {error}",
                fix="Warp the raster into a system that holds the places, for example EPSG:4326.",
            ) from error
    return out


def size_in_pixels(header: Header, metres: float, lat: float) -> tuple[float, float]:
    """Rows and columns of a square of so many metres, at a latitude in degrees."""
    height, width = header.pixel
    if header.crs.is_geographic:  # its units are degrees
        return metres / DEGREE_M / height, metres / DEGREE_M / max(np.cos(np.radians(lat)), 1e-6) / width
    per_unit = float(header.crs.linear_units_factor[1])
    return metres / per_unit / height, metres / per_unit / width


def around(header: Header, x: float, y: float, size: tuple[float, float]) -> Window | None:
    """The window of ``size`` rows and columns whose centre is nearest to a point; None if it lies wholly outside.

    Args:
        header: The raster.
        x: In its coordinates.
        y: In its coordinates.
        size: Rows and columns, rounded to one or more.
    """
    if not (np.isfinite(x) and np.isfinite(y)):
        return None
    inverse = ~header.transform
    column, row = inverse.a * x + inverse.b * y + inverse.c, inverse.d * x + inverse.e * y + inverse.f
    height, width = (max(1, round(side)) for side in size)
    top, left = int(np.floor(row - height / 2 + 0.5)), int(np.floor(column - width / 2 + 0.5))
    if top >= header.height or left >= header.width or top + height <= 0 or left + width <= 0:
        return None
    return Window(top, left, height, width)


def read(
    raster: DatasetReader, layers: Sequence[int], window: Window | None = None
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Layers of a window as the file holds them; no more of the file is read than the blocks that it touches.

    Args:
        raster: The open file.
        layers: C of them, counted from 1.
        window: Part of the raster, which it may leave on any side; None for the whole.

    Returns:
        Values ``[C, H, W]``, 0 beyond the edge, and where they are data ``[C, H, W]``: False beyond the edge, where
        the file's own mask, alpha layer or nodata value says so, and for NaN and infinities.
    """
    height, width = raster.shape
    window = window or Window(0, 0, height, width)
    top, left = max(window.row, 0), max(window.column, 0)
    bottom, right = min(window.row + window.height, height), min(window.column + window.width, width)
    part = rasterio.windows.Window(left, top, right - left, bottom - top)
    if all(flags == [MaskFlags.all_valid] for flags in raster.mask_flag_enums):
        found = raster.read(list(layers), window=part)
        sound = np.ones(found.shape, dtype=bool)
    else:
        inside = raster.read(list(layers), window=part, masked=True)
        found, sound = np.asarray(inside.data), ~np.ma.getmaskarray(inside)
    if found.dtype.kind not in "iub":
        sound &= np.isfinite(found)
    if found.shape[1:] == (window.height, window.width):
        return found, sound
    values = np.zeros((len(layers), window.height, window.width), found.dtype)
    valid = np.zeros(values.shape, dtype=bool)
    at = np.s_[:, top - window.row : bottom - window.row, left - window.column : right - window.column]
    values[at], valid[at] = found, sound
    return values, valid


def resized(
    values: NDArray[np.float32], valid: NDArray[np.bool_], shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values and their mask ``[C, H, W]`` on another grid, bilinear; a pixel that invalid ones touch is invalid."""
    if values.shape[1:] == shape:
        return values, valid
    side, how = (shape[1], shape[0]), Image.Resampling.BILINEAR
    layers = [np.asarray(Image.fromarray(layer).resize(side, how)) for layer in values]
    masks = [np.asarray(Image.fromarray(layer.astype(np.float32)).resize(side, how)) > 0.999 for layer in valid]
    return np.stack(layers), np.stack(masks)

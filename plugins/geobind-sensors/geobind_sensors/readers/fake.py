"""Made-up data sets of a few kilobytes in the true layout of each reader, for checks and tests."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from geobind.data.items import SPLITS
from geobind.files import write_atomic
from geobind_sensors.readers.raster import quiet
from geobind_sensors.readers.shards import write_shard

PLACES = 8
SIDE = 16
VOID = -32768
"""No data in the terrain model."""
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
"""Layers of a Sentinel-2 chip of Level-2A."""
PARTS = {
    "rgb": (3, "[0.665, 0.56, 0.49]"),
    "sar": (2, "[3.75, 3.75]"),
    "hyperspectral": (12, str([round(0.42 + 0.18 * band, 2) for band in range(12)])),
    "elevation": (0, "[0, 0, 0]"),
}
"""Modality → layers (0 for a grey picture without an axis of them) and wavelengths as a shard has them."""


def write_geotiff_example(folder: Path) -> dict[str, Any]:
    """Write a table of made-up places with captions, a Sentinel-2 chip, aerial pictures and a map of classes for each,
    and one terrain model around all of them, all of it noise; the config keys that describe them.
    """
    rng = np.random.default_rng(0)
    north, west, pixel = 47.0, 8.0, 1 / 120
    heights = rng.integers(200, 3000, (1, 60, 60), dtype=np.int16)
    heights[0, :8, :8] = VOID
    write_raster(folder / "dem.tif", heights, crs="EPSG:4326", origin=(west, north), pixel=pixel, nodata=VOID)
    with (folder / "places.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "lat", "lon", "split", "caption"])
        for row in range(PLACES):
            name, lat, lon = f"p{row}", north - rng.uniform(0.05, 0.45), west + rng.uniform(0.05, 0.45)
            writer.writerow([name, f"{lat:.5f}", f"{lon:.5f}", SPLITS[row % 4 % 3], f"made-up place number {row}"])
            chip = rng.integers(1, 6000, (len(BANDS), SIDE, SIDE), dtype=np.uint16)
            utm = (400_000.0 + 1_000 * row, 5_200_000.0)
            write_raster(folder / f"s2/{name}.tif", chip, crs="EPSG:32632", origin=utm, pixel=10, nodata=0, bands=BANDS)
            for part, layers in {"rgb": 3, "near_ir": 1}.items():
                picture = rng.integers(0, 256, (layers, SIDE, SIDE), dtype=np.uint8)
                write_raster(folder / f"aerial/{name}_{part}.jpg", picture)
            classes = rng.integers(0, 4, (1, SIDE, SIDE), dtype=np.uint8)
            write_raster(folder / f"cover/{name}.tif", classes, nodata=0)
    aerial = [
        {"file": "aerial/{id}_rgb.jpg", "bands": ["red", "green", "blue"]},
        {"file": "aerial/{id}_near_ir.jpg", "bands": ["nir"]},
    ]
    return {
        "path": str(folder / "places.csv"),
        "id": "id",
        "lat": "lat",
        "lon": "lon",
        "split": "split",
        "items": {"text": {"column": "caption", "text": True}},
        "images": {
            "sentinel2": {"file": "s2/{id}.tif"},
            "multispectral": {"files": aerial, "sensor": "rgbn"},
            "elevation": {"file": "dem.tif", "window": SIDE, "convention": "geobind"},
            "classmap": {"file": "cover/{id}.tif"},
        },
        "origin": "made up",
    }


def write_raster(
    path: Path,
    values: NDArray[Any],
    *,
    crs: str | None = None,
    origin: tuple[float, float] = (0, 0),
    pixel: float = 1,
    nodata: float | None = None,
    bands: Sequence[str] = (),
) -> None:
    """Write layers ``[C, H, W]`` as a raster file, GeoTIFF or what the ending of its name says.

    Args:
        path: The file; folders on the way are made.
        values: Of a type that the format holds.
        crs: Coordinate system, such as ``EPSG:32632``.
        origin: x and y of the upper left corner, in its units.
        pixel: Side of a pixel, in its units.
        nodata: Number that means no data.
        bands: Descriptions of the layers.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    transform = rasterio.Affine(pixel, 0, origin[0], 0, -pixel, origin[1]) if crs else None
    with rasterio.MemoryFile() as memory:
        quiet()
        driver = "JPEG" if path.suffix == ".jpg" else "GTiff"
        keys = {"count": count, "height": height, "width": width, "dtype": values.dtype, "nodata": nodata}
        with memory.open(driver=driver, crs=crs, transform=transform, **keys) as raster:
            raster.write(values)
            raster.descriptions = tuple(bands) or raster.descriptions
        write_atomic(path, memory.read())


def write_geolangbind_example(folder: Path) -> dict[str, Any]:
    """Write a made-up shard of eight samples per modality, images of noise; the config keys that describe them."""
    rng = np.random.default_rng(0)
    for modality, (bands, waves) in PARTS.items():
        samples = {}
        for number in range(PLACES):
            lat, lon = rng.uniform((-60, -180), (75, 180)).round(4).tolist()
            shape = (SIDE, SIDE, bands) if bands else (SIDE, SIDE)
            samples[f"{number:08}"] = {
                "image": _npy(rng.integers(0, 256, shape, dtype=np.uint8)),
                "text": f"made-up {modality} image number {number}".encode(),
                "wavelength": waves.encode(),
                "geoloc": str([lat, lon] if number % 3 else []).encode(),
            }
        write_shard(folder / f"fake_{modality}_train-000000-train.tar", samples)
    return {
        "root": str(folder),
        "parts": {modality: [f"fake_{modality}_train-*-train.tar"] for modality in PARTS},
        "convention": "geolangbind",
        "geoloc": "lat_lon",
        "fractions": [0.5, 0.25, 0.25],
        "origin": "made up",
    }


def _npy(values: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()

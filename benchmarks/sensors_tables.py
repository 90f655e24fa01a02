"""Tables of real images of several sensors with true captions, for sensors_real.py. No pixel is copied.

EuroSAT has the captions of its manifest. Chips of Sentinel-2 and of GeoLifeCLEF 2022 are captioned by what
is true of the place (nearest town, climate, relief, sea: looked up from the coordinates) and of the chip: what spectral
indices say of it, or what its land-cover mask says. Splits are by place.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import rasterio
import rasterio.warp
import yaml
from geobind_world import sources
from geobind_world.captions import sea, terrain, whereabouts
from geobind_world.climate import CODES
from geobind_world.facts import Fact, gather
from geobind_world.maps import cut_classes, cut_tiles

from geobind.plan import registry

CHIP = 32
"""Pixels: 320 m of Sentinel-2, some 32 m of GeoLifeCLEF's aerial pictures."""
TILE = 48
"""Pixels of the relief map around a place, as the data set world has them."""
ADDED = 1000
"""What Sentinel-2's baseline 04.00 added to every number."""
Row = dict[str, Any]


def write_tables(data: Path, out: Path) -> dict[str, dict[str, int]]:
    """Write ``rgb.parquet``, ``sentinel2.parquet``, ``glc22.parquet``, ``sensors.yaml``; rows by table and split."""
    views = out / "views"
    views.mkdir(parents=True, exist_ok=True)
    tables = {"rgb": eurosat(data / "mini"), "sentinel2": sentinel2(data / "sentinel2_sample", views)}
    tables["glc22"] = glc22(data / "glc22_sample", views)
    for name, rows in tables.items():
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), out / f"{name}.parquet")
    heights = [row["heights"] for row in tables["glc22"] if row["split"] == "train"]
    (out / "sensors.yaml").write_text(yaml.safe_dump({"altitude": heights_sensor(heights)}), encoding="utf-8")
    return {
        name: {split: sum(row["split"] == split for row in rows) for split in ("train", "val", "test")}
        for name, rows in tables.items()
    }


def eurosat(folder: Path) -> list[Row]:
    """EuroSAT's pictures in their own split: by blocks of one degree."""
    rows = pyarrow.parquet.read_table(folder / "manifest.parquet").to_pylist()
    return [
        {
            "id": row["id"],
            "split": row["split"],
            "place": row["place"],
            "lat": row["lat"],
            "lon": row["lon"],
            "path": str((folder / row["path"]).resolve()),
            "text": texts(json.loads(row["captions"])[1:], row["split"]),  # the first names the class alone
        }
        for row in rows
        if row["source"] == "EuroSAT"
    ]


def sentinel2(folder: Path, views: Path) -> list[Row]:
    """Chips of 22 places, as windows around their centres; the 23rd lies in the sea, of which no fact is known.

    From baseline 04.00 on, ESA adds 1,000 to every number. The files do not say which baseline they are of. In ten of
    them the darkest hundredth of no band is below 870, in the others that of some band is below 440: from the ten the
    1,000 are taken off, in a view of the file.
    """
    centres, chips = [], []
    for file in sorted((folder / "images").glob("*.tif")):
        with rasterio.open(file) as raster:
            numbers, to_xy = raster.read(), raster.transform
            middle = np.arange(CHIP / 2, raster.width, CHIP)
            columns, rows = (grid.ravel() for grid in np.meshgrid(middle, middle))
            x, y = to_xy * (columns, rows)
            lon, lat = rasterio.warp.transform(raster.crs, "EPSG:4326", x, y)
            added = ADDED if np.quantile(numbers, 0.01, axis=(1, 2)).min() > ADDED / 2 else 0
            if added:
                file = harmonised(views / f"{file.stem}.vrt", raster)
        centres.append((np.mean(lat), np.mean(lon)))
        values = np.maximum(numbers.astype(float) - added, 0) / 1e4
        chips.append((file, values, np.stack([rows, columns], axis=1).astype(int), lat, lon))
    facts = facts_of(np.array(centres))
    on_land = [(chip, fact) for chip, fact in zip(chips, facts, strict=True) if fact]
    found = []
    for ((file, values, at, lats, lons), fact), part in zip(on_land, split_places(len(on_land)), strict=True):
        for number, ((row, column), lat, lon) in enumerate(zip(at.tolist(), lats, lons, strict=True)):
            half = CHIP // 2
            cover = seen_by_indices(values[:, row - half : row + half, column - half : column + half])
            found.append(
                {
                    "id": f"{file.stem}/{number}",
                    "split": part,
                    "place": file.stem,
                    "lat": lat,
                    "lon": lon,
                    "file": str(file.resolve()),
                    "text": texts(described("A Sentinel-2 image", cover, fact), part),
                }
            )
    return found


def glc22(folder: Path, views: Path) -> list[Row]:
    """Chips of nine places. Their files have no coordinates, so that each chip is a small VRT file: a view of them."""
    legend = yaml.safe_load((registry() / "segmentation.yaml").read_text(encoding="utf-8"))["glc22"]["legend"]
    masks = sorted(folder.glob("patches-*/*/*/*_landcover.tif"))
    known = coordinates(folder / "observations")
    located = [int(mask.name.split("_")[0]) for mask in masks]
    here = [number for number in located if number in known]
    facts = dict(zip(here, facts_of(np.array([known[number] for number in here])), strict=True))
    found = []
    for mask, number, part in zip(masks, located, split_places(len(masks)), strict=True):
        stem = mask.name.removesuffix("_landcover.tif")
        rgb, nir, altitude = (mask.with_name(f"{stem}_{layer}") for layer in ("rgb.jpg", "near_ir.jpg", "altitude.tif"))
        codes, metres = (rasterio.open(file).read(1) for file in (mask, altitude))
        country = "France" if "patches-fr" in str(mask) else "United States"
        for row in range(0, codes.shape[0], CHIP):
            for column in range(0, codes.shape[1], CHIP):
                at = np.s_[row : row + CHIP, column : column + CHIP]
                name = f"{stem}-{row}-{column}"
                cover = in_words([legend[code] for code in codes[at].ravel().tolist() if code in legend])
                height = f"at {round(float(metres[at].mean()))} m"
                described_as = described("An aerial image", f"{cover}, {height}", facts.get(number), country)
                found.append(
                    {
                        "id": name,
                        "split": part,
                        "place": stem,
                        "image": view(views / f"{name}.vrt", [(rgb, 1), (rgb, 2), (rgb, 3), (nir, 1)], row, column),
                        "heights": view(views / f"{name}-altitude.vrt", [(altitude, 1)], row, column, "Int16"),
                        "text": texts(described_as, part),
                    }
                )
    return found


def texts(captions: list[str], split: str) -> list[str]:
    """All of them in training; the fullest one, which comes last, where a space is evaluated."""
    return captions if split == "train" else captions[-1:]


def split_places(count: int) -> list[str]:
    """60 % of places for train, 10 % for val, the others for test: drawn once and for all."""
    names = ["train"] * round(0.6 * count) + ["val"] * round(0.1 * count)
    names += ["test"] * (count - len(names))
    return [names[rank] for rank in np.random.default_rng(0).permutation(count).tolist()]


def facts_of(lat_lon: np.ndarray) -> list[Fact | None]:
    """What is true of places, as the data set world knows it; None in the sea."""
    codes, zones = sources.read_koppen()
    around = cut_classes(codes, lat_lon, 9, sources.DEGREES)
    koppen = []
    for classes in around.reshape(len(around), -1):
        land = [zones[code] for code in classes.tolist() if zones.get(code) in CODES]
        koppen.append(max(sorted(set(land)), key=land.count, default=""))
    relief = cut_tiles(sources.read_map(sources.RELIEF), lat_lon, TILE)
    facts = gather(lat_lon, np.array(koppen), relief, sources.read_land_mask(), sources.read_towns())
    return [facts[row] if climate else None for row, climate in enumerate(koppen)]


def described(image: str, cover: str, fact: Fact | None, country: str = "") -> list[str]:
    """Captions for training, the fullest one last."""
    if fact is None:  # GeoLifeCLEF's sample has no coordinates of it
        return [f"{image}, {country}: {cover}.", f"{cover}, {country}."]
    land = ", ".join(phrase for phrase in (terrain(fact), sea(fact)) if phrase)
    return [
        f"{image}, {fact.country}: {cover}.",
        f"{cover}; {fact.climate.plain}; {land}.",
        f"{cover}, {whereabouts(fact)}, {fact.climate.name} climate, {land}.",
    ]


def seen_by_indices(reflectance: np.ndarray) -> str:
    """What covers a chip ``[12, H, W]`` of Sentinel-2, Level-2A, by thresholds that are in common use."""
    green, red, nir, swir = (reflectance[band] for band in (2, 3, 7, 10))
    ndvi, ndwi, ndsi = ((a - b) / (a + b + 1e-6) for a, b in ((nir, red), (green, nir), (green, swir)))
    snow = (ndsi > 0.4) & (green > 0.4)
    water = (ndwi > 0) & ~snow
    kinds = np.select(
        [snow, water, ndvi > 0.6, ndvi > 0.35, ndvi > 0.15, red > 0.25],
        ["snow or cloud", "water", "dense vegetation", "vegetation", "sparse vegetation", "bright bare ground"],
        "dark bare ground",
    )
    return in_words(kinds.ravel().tolist())


def in_words(kinds: list[str]) -> str:
    """How much of a chip is of which kind: ``"mostly forest, some road and houses and gardens"``."""
    names, counts = np.unique(kinds, return_counts=True)
    shares = sorted(zip((counts / len(kinds)).tolist(), names.tolist(), strict=True), reverse=True)
    words = []
    for least, word in ((0.95, "all"), (0.7, "mostly"), (0.3, ""), (0.05, "some")):
        found = [name for share, name in shares if share >= least]
        shares = shares[len(found) :]
        if found:
            words.append(f"{word} {' and '.join(found[:2])}".strip())
    return ", ".join(words)


def coordinates(folder: Path) -> dict[int, tuple[float, float]]:
    """Observation → latitude and longitude, of GeoLifeCLEF's tables."""
    found = {}
    for file in sorted(folder.glob("*.csv")):
        table = pyarrow.csv.read_csv(file, parse_options=pyarrow.csv.ParseOptions(delimiter=";"))
        columns = (table[name].to_pylist() for name in ("observation_id", "latitude", "longitude"))
        found |= {number: (lat, lon) for number, lat, lon in zip(*columns, strict=True)}
    return found


def heights_sensor(files: list[str]) -> Row:
    """A sensor like ``elevation`` with the statistics of files, so that a chip's height is not standardised away."""
    metres = np.concatenate([rasterio.open(file).read(1).ravel() for file in files]).astype(float)
    return {
        "like": "elevation",
        "summary": "Heights of GeoLifeCLEF 2022's sample",
        "statistics": "the places of the split train",
        "bands": {"height": {"mean": round(float(metres.mean()), 1), "std": round(float(metres.std()), 1)}},
    }


def harmonised(path: Path, raster: rasterio.DatasetReader) -> Path:
    """Write a VRT file that shows a file of Sentinel-2 without what its baseline added."""
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{band}"><ComplexSource><SourceFilename>{raster.name}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand><ScaleOffset>{-ADDED}</ScaleOffset></ComplexSource></VRTRasterBand>"
        for band in raster.indexes
    )
    transform = ", ".join(map(str, raster.transform.to_gdal()))
    where = f"<SRS>{escape(raster.crs.to_wkt())}</SRS><GeoTransform>{transform}</GeoTransform>"
    size = f'rasterXSize="{raster.width}" rasterYSize="{raster.height}"'
    path.write_text(f"<VRTDataset {size}>{where}{bands}</VRTDataset>", encoding="utf-8")
    return path


def view(path: Path, layers: list[tuple[Path, int]], row: int, column: int, kind: str = "Byte") -> str:
    """Write a VRT file that shows a chip of some layers; its path."""
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{number}"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{file.resolve()}</SourceFilename><SourceBand>{band}</SourceBand>'
        f'<SrcRect xOff="{column}" yOff="{row}" xSize="{CHIP}" ySize="{CHIP}"/>'
        f'<DstRect xOff="0" yOff="0" xSize="{CHIP}" ySize="{CHIP}"/></SimpleSource></VRTRasterBand>'
        for number, (file, band) in enumerate(layers, start=1)
    )
    path.write_text(f'<VRTDataset rasterXSize="{CHIP}" rasterYSize="{CHIP}">{bands}</VRTDataset>', encoding="utf-8")
    return str(path)

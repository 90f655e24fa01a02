"""Readers of images of any sensor: a table of GeoTIFF files, and GeoLangBind's shards. Only specs live here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

import geobind
from geobind.builtin import ManifestConfig, ManifestItems, Shares
from geobind_sensors.modalities import CLASSMAP

TEXT = "text"


class RasterFile(geobind.Config):
    """One file of an image."""

    file: str
    """Path below `root`, the same for all rows (`dem.tif`) or a pattern: `{column}` is the row's value of that column,
    `*` anything but a `/`. A row whose column is empty has no image."""
    bands: tuple[str, ...] = ()
    """Names of its layers, in the file's order; when empty, the file's own descriptions of them are taken."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the pattern names."""
        return tuple(re.findall(r"{(\w+)}", self.file))


class RasterImages(geobind.Config):
    """Where the images of one modality are, and what their values mean."""

    file: str | None = None
    """The file of an image, as `file` of `files`."""
    bands: tuple[str, ...] = ()
    """Names of the layers of `file`, as `bands` of `files`."""
    files: tuple[RasterFile, ...] = ()
    """Several files that make up one image, instead of `file`. Files of another grid are resampled to the first
    one's (bilinear)."""
    sensor: str | None = None
    """Sensor that knows the bands; the modality's own name when absent. A `classmap` has none: its one layer holds
    whole numbers, which are taken as they are."""
    convention: str | None = None
    """Whose stand-ins bands without a wavelength get: dofa_v1, dofa_v2, clay, physical, geolangbind or geobind. Never
    guessed."""
    select: tuple[str, ...] = ()
    """Bands to keep, in this order; all of them, in the files' order, when empty."""
    window: int | None = Field(None, ge=1)
    """Side in pixels, of the first file, of the window around the row's `lat` and `lon`; the whole file when absent."""
    metres: float | None = Field(None, gt=0)
    """Side of the window in metres, instead of `window`."""
    scale: float | None = None
    """Value = number in the file × scale + offset; the file's own tags, else the sensor's, when absent."""
    offset: float | None = None
    """In the units of the bands; see `scale`."""
    nodata: float | None = None
    """Number in the file that means no data, beside what the file itself declares; the sensor's when absent."""
    where: dict[str, str] = Field(default_factory=dict)
    """Only rows whose columns have these values."""

    @property
    def parts(self) -> tuple[RasterFile, ...]:
        """The files of an image."""
        return self.files or (RasterFile(file=self.file or "", bands=self.bands),)

    @model_validator(mode="after")
    def _check(self) -> RasterImages:
        if (self.file is None) == (not self.files):
            raise ValueError("give either `file` or `files`")
        if self.files and self.bands:
            raise ValueError("`bands` belongs to each of `files`")
        if self.window is not None and self.metres is not None:
            raise ValueError("give `window` (pixels) or `metres`, not both")
        return self


class GeoTiffConfig(ManifestConfig):
    """A table of places and the rasters around them; all that a manifest may say holds too."""

    items: dict[str, ManifestItems] = Field(default_factory=dict)
    """Modality → how the table itself holds it, as in a manifest: texts, coordinates, paths of pictures."""
    images: dict[str, RasterImages] = Field(min_length=1)
    """Modality → where its rasters are: GeoTIFF, JPEG 2000, JPEG, PNG or whatever else GDAL reads."""
    chips: int | None = Field(None, ge=1)
    """Cut every image into chips of so many pixels of the first modality in `images`; what is left at the right and
    at the bottom is dropped. A chip is a place of its own, `id/row/column`, in its image's split. Images of the other
    modalities are cut into as many parts, and what the table holds goes with every chip."""

    @model_validator(mode="after")
    def _check_images(self) -> GeoTiffConfig:
        if both := set(self.images) & set(self.items):
            raise ValueError(f"{sorted(both)} stand both in `images` and in `items`")
        for modality, how in self.images.items():
            windowed = how.window is not None or how.metres is not None
            if windowed and not (self.lat and self.lon):
                raise ValueError(f"images.{modality} has a window: name the columns `lat` and `lon` that it is around")
            if windowed and self.chips:
                raise ValueError(f"images.{modality} has a window, and `chips` cuts whole images: choose one")
            if modality == CLASSMAP and (how.sensor or how.select or len(how.parts) > 1):
                raise ValueError("images.classmap holds the codes of one file: no `sensor`, no `select`, no `files`")
        return self


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Patterns = Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)]


class GeoLangBindConfig(geobind.Config):
    """Shards of images of any sensor, each with its text and its wavelengths (arXiv 2503.06312)."""

    root: Path = Path()
    """Folder that the patterns start from; a relative one starts where the command runs."""
    parts: dict[str, Patterns] = Field(min_length=1)
    """Modality → pattern of its shards below `root`, or several: `skyscript_train-*-train.tar`; `*` is anything but a
    `/`. The shards do not say which modality they hold. The texts of all parts are the modality `text`."""
    convention: Literal["geolangbind"] | None = None
    """Needed where wavelengths are all 0, as those of elevation are: `geolangbind` gives such images the wavelengths of
    red, green and blue, as the published training does. Never assumed."""
    geoloc: Literal["none", "lat_lon", "lon_lat"] = "none"
    """Order of the two degrees in `.geoloc`, which its publishers do not say; `none` leaves them unread."""
    fractions: Shares = (0.98, 0.01, 0.01)
    """Shares of the *texts* for train, val and test. Published shards are all for training: the split follows from a
    hash of the text and `seed`, so that samples of equal texts are never in two splits, and shards added later move
    nobody. It is not spatial: near places may be in two splits."""
    seed: int = 0
    """Of the split."""
    strict: bool = True
    """Stop at the first sample that cannot be used; false skips, counts and lists them. Damaged shards always stop."""
    origin: str = "as published in GeoLangBind-2M"
    """How images and texts came together."""

    @model_validator(mode="after")
    def _check(self) -> GeoLangBindConfig:
        if TEXT in self.parts:
            raise ValueError("`parts` names modalities of images; the texts of all of them are the modality `text`")
        return self


def specs() -> list[geobind.DatasetSpec]:
    """The datasets ``geotiff`` and ``geolangbind``."""
    return [
        geobind.DatasetSpec(
            name="geotiff",
            config=GeoTiffConfig,
            build="geobind_sensors.readers.geotiff:build",
            summary="A table of places and rasters of any bands: chips, or windows around points",
            example="geobind_sensors.readers.fake:write_geotiff_example",
        ),
        geobind.DatasetSpec(
            name="geolangbind",
            config=GeoLangBindConfig,
            build="geobind_sensors.readers.geolangbind:build",
            summary="GeoLangBind's shards: image, text, wavelengths and place in WebDataset tars",
            example="geobind_sensors.readers.fake:write_geolangbind_example",
        ),
    ]

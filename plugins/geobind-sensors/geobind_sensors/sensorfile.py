"""A file of sensors, as ``registry/sensors.yaml`` and a user's ``sensors.yaml`` are: read, and checked to the line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, model_validator

import geobind
from geobind.errors import RecipeError, explain, nearest
from geobind.yamlfile import Document, read_document
from geobind_sensors.modalities import CLASSMAP, MODALITIES

CONVENTIONS = "conventions"
"""The key of a file that is no sensor."""
EXAMPLE = "registry/sensors.yaml"

NANOMETRES = (100.0, 3000.0)
"""What lies between was written in nm: no sensor of images has bands of 100 to 3 000 µm."""


def _micrometres(value: float) -> float:
    if not value > 0:
        raise ValueError("a wavelength is above 0 µm; leave it out where there is none")
    if NANOMETRES[0] < value < NANOMETRES[1]:
        raise ValueError(f"wavelengths are in µm, and {value:g} nm are {value / 1000:g} µm")
    return value


Micrometres = Annotated[float, AfterValidator(_micrometres)]


class Convention(geobind.Config):
    """A way to give wavelengths to bands that have none, or others than their own."""

    summary: str
    """What it says, in one line."""
    source: str
    """Who follows it."""


class _Values(geobind.Config):
    """What a sensor says for all its bands, or a band for itself."""

    units: str = "unstated"
    """Of a value once it is scaled."""
    scale: float = 1.0
    """``value = number in the file * scale + offset``."""
    offset: float = 0.0
    """In ``units``."""
    nodata: float | None = None
    """The number in the file that means none."""
    gsd_m: float | None = Field(default=None, gt=0)
    """Metres between samples on the ground."""
    display: tuple[float, float] | None = None
    """Shown as black and as full, in ``units``."""

    @model_validator(mode="after")
    def _check_display(self) -> _Values:
        if self.display and self.display[0] >= self.display[1]:
            raise ValueError(f"display = {list(self.display)} is not [low, high]")
        if self.scale == 0:
            raise ValueError("scale = 0 makes all values equal")
        return self


class BandEntry(_Values):
    """A band."""

    wavelength: Micrometres | None = None
    """Centre in µm."""
    width: float | None = Field(default=None, gt=0)
    """In µm, between the half maxima."""
    common: str = ""
    """Its common name, such as ``red``."""
    mean: float | None = None
    """In ``units``."""
    std: float | None = Field(default=None, gt=0)
    """In ``units``."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """A number alone is the wavelength."""
        return {"wavelength": value} if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _check(self) -> BandEntry:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std come together")
        return self


class SensorEntry(_Values):
    """A sensor."""

    summary: str = ""
    """One line."""
    modality: str = ""
    """Of this plugin; empty for one of the sensor's own name."""
    like: str = ""
    """The sensor that this was laid over."""
    source: str = ""
    """The document that the numbers are from."""
    licence: str = ""
    """Of the data."""
    statistics: str = ""
    """Where mean and std are from."""
    bands: dict[str, BandEntry] = Field(min_length=1)
    """In the order of the files."""
    left_out: tuple[str, ...] = ()
    """Bands that are meant only where they are named."""
    composite: tuple[str, str, str] | None = None
    """Bands shown as red, green and blue."""
    conventions: dict[str, dict[str, Micrometres]] = Field(default_factory=dict)
    """Stand-ins for wavelengths, by convention and band."""

    @model_validator(mode="after")
    def _check(self) -> SensorEntry:
        commons = [band.common for band in self.bands.values() if band.common]
        if twice := {name for name in commons if commons.count(name) > 1}:
            raise ValueError(f"several bands are called {sorted(twice)[0]!r} in common")
        if taken := {n for n in commons if n in self.bands and self.bands[n].common != n}:
            raise ValueError(f"{sorted(taken)[0]!r} is the name of one band and the common name of another")
        known = {"left_out": self.left_out, "composite": self.composite or ()}
        known |= {f"conventions.{name}": tuple(bands) for name, bands in self.conventions.items()}
        for key, names in known.items():
            if unknown := [name for name in names if name not in self.bands]:
                raise ValueError(f"{key}: no band {unknown[0]!r}. {nearest(unknown[0], self.bands).rstrip('.')}")
        if self.composite and len(set(self.composite)) < 3:
            raise ValueError(f"composite = {list(self.composite)} is not three bands")
        if set(self.left_out) == set(self.bands):
            raise ValueError("left_out names all bands")
        if not self.statistics and any(band.mean is not None for band in self.bands.values()):
            raise ValueError("mean and std need `statistics`, a sentence on where they are from")
        if self.modality and self.modality not in MODALITIES:
            known_modalities = nearest(self.modality, MODALITIES).rstrip(".")
            raise ValueError(
                f"modality {self.modality!r} is not for sensors. {known_modalities}; "
                "leave it out for a modality of the sensor's own name"
            )
        return self


@dataclass(frozen=True)
class Entry:
    """A sensor and where it was declared."""

    values: SensorEntry
    where: str
    """``file:line``."""


@dataclass(frozen=True)
class Catalogue:
    """What files of sensors say."""

    sensors: dict[str, Entry] = field(default_factory=dict)
    conventions: dict[str, Convention] = field(default_factory=dict)

    def __or__(self, other: Catalogue) -> Catalogue:
        """Both; raises RecipeError where they declare one sensor twice."""
        for name in self.sensors.keys() & other.sensors.keys():
            _refuse_taken(name, self, other.sensors[name].where)
        return Catalogue(self.sensors | other.sensors, self.conventions | other.conventions)


def read_file(path: Path, known: Catalogue) -> Catalogue:
    """The sensors of one file.

    Args:
        path: A YAML file.
        known: What was declared before: its sensors may be followed by ``like``, its names are taken.

    Returns:
        What the file adds.

    Raises:
        RecipeError: No such file, no YAML, or something in it that is not understood; with file and line.
    """
    if not path.is_file():
        raise RecipeError(f"no file of sensors {str(path)!r}", fix="Mend GEOBIND_SENSORS.")
    document = read_document(path, "file of sensors", example=EXAMPLE)
    found = Catalogue({}, _conventions(document))
    for name, values in document.values.items():
        if name == CONVENTIONS:
            continue
        where = document.where((name,))
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise RecipeError(f"a sensor is called {name!r}", where=where, fix="Write [a-z][a-z0-9_]*.")
        _refuse_taken(name, known, where)
        entry = _sensor(document, name, values, known | found)
        if not entry.modality and name in (*MODALITIES, CLASSMAP):
            what = f"sensor {name!r} names no modality, and there is one called like it"
            fix = "Rename it." if name == CLASSMAP else f"Say `modality: {name}`, or rename it."
            raise RecipeError(what, where=where, fix=fix)
        found.sensors[name] = Entry(entry, where)
    return found


def _refuse_taken(name: str, known: Catalogue, where: str) -> None:
    if taken := known.sensors.get(name):
        raise RecipeError(f"there is a sensor {name!r} already, in {taken.where}", where=where, fix="Rename this one.")


def _conventions(document: Document) -> dict[str, Convention]:
    found = {}
    told = document.values.get(CONVENTIONS) or {}
    if not isinstance(told, Mapping):
        what = f"{CONVENTIONS} = {told!r} are no mapping of names"
        raise RecipeError(what, where=document.where((CONVENTIONS,)), fix=f"See {EXAMPLE}.")
    for name, values in told.items():
        try:
            found[name] = Convention.model_validate(values)
        except ValidationError as error:
            raise _told(error, document, (CONVENTIONS, name), Convention) from error
    return found


def _sensor(document: Document, name: str, values: Any, known: Catalogue) -> SensorEntry:
    values = _lengthened(values)
    if isinstance(values, Mapping) and (like := values.get("like")):
        if not isinstance(like, str) or like not in known.sensors:
            where = document.where((name, "like"))
            raise RecipeError(f"no sensor {like!r} to be like", where=where, fix=nearest(str(like), known.sensors))
        values = _over(known.sensors[like].values.model_dump(exclude_unset=True), values)
    try:
        entry = SensorEntry.model_validate(values)
    except ValidationError as error:
        inside = error.errors()[0]["loc"]
        model = BandEntry if len(inside) > 2 and inside[0] == "bands" else SensorEntry
        raise _told(error, document, (name,), model) from error
    for convention in entry.conventions:
        if convention not in known.conventions:
            where = document.where((name, CONVENTIONS, convention))
            fix = f"{nearest(convention, known.conventions)} Or describe it under `{CONVENTIONS}` of this file."
            raise RecipeError(f"unknown convention {convention!r}", where=where, fix=fix)
    return entry


def _lengthened(values: Any) -> Any:
    """Bands in their long form, so that another sensor can be laid under them."""
    if not isinstance(values, Mapping) or not isinstance(values.get("bands"), Mapping):
        return values
    bands = values["bands"].items()
    return {**values, "bands": {k: {"wavelength": v} if isinstance(v, int | float) else v for k, v in bands}}


def _over(base: Any, values: Any) -> Any:
    """``values`` laid over ``base``, mapping by mapping."""
    if not isinstance(base, Mapping) or not isinstance(values, Mapping):
        return values
    return {**base, **{key: _over(base.get(key), value) for key, value in values.items()}}


def _told(error: ValidationError, document: Document, key: tuple[str, ...], model: type[geobind.Config]) -> RecipeError:
    """The first fault of an entry, at its line."""
    item = error.errors()[0]
    what = f"{key[-1]!r}: {explain(dict(item), model.model_fields)}"
    return RecipeError(what, where=document.where((*key, *item["loc"])), fix=f"See {EXAMPLE}.")

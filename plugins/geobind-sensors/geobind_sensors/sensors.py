"""Sensors by name: the registry's and the user's. No torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geobind.errors import DataError, GeobindError, nearest
from geobind.progress import say
from geobind_sensors.sensor import Sensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geobind_sensors.image import SensorImage
    from geobind_sensors.sensorfile import Catalogue, Convention

FILE = "sensors.yaml"
"""Read in the working folder, and in the registry."""
VARIABLE = "GEOBIND_SENSORS"
"""More files, parted as paths are on this system."""


def load_sensors() -> dict[str, Sensor]:
    """All sensors by name: those of the registry, of ``./sensors.yaml`` and of the files GEOBIND_SENSORS names.

    Raises:
        RecipeError: A file of the user's that cannot be understood, with file and line.
    """
    catalogue = _registry()
    for path in user_files():
        catalogue |= _user_file(path, _stamp(path))
    return _sensors(catalogue)


def sound_sensors() -> dict[str, Sensor]:
    """As :func:`load_sensors`, for lists: a file that cannot be understood is left out, and told in a sentence."""
    return _sensors(_registry() | _sound())


def find_sensor(name: str) -> Sensor:
    """One sensor; the user's files are read only for one that the registry does not have.

    Raises:
        DataError: There is none of that name.
        RecipeError: As for :func:`load_sensors`.
    """
    known = _registry_sensors()
    if name not in known and name not in (known := load_sensors()):
        raise DataError(f"unknown sensor {name!r}", fix=f"{nearest(name, known)} Or declare it in {FILE}.")
    return known[name]


def conventions() -> dict[str, Convention]:
    """All conventions for wavelengths by name; files with a fault are left out as in :func:`sound_sensors`."""
    return (_registry() | _sound()).conventions


def user_modalities() -> dict[str, str]:
    """The modalities that sensors of the user are by themselves, by name, each with the ``file:line`` that declares it.

    A file that cannot be understood is left out and told in a sentence, since whoever lists plugins asks for no sensor;
    :func:`load_sensors` raises its fault.
    """
    if not user_files():
        return {}
    found = sorted(_sound().sensors.items())
    return {name: entry.where for name, entry in found if not entry.values.modality}


def user_files() -> list[Path]:
    """Files of sensors beside the registry's."""
    named = [Path(name) for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]
    files = [*([Path(FILE)] if Path(FILE).is_file() else []), *named]
    return list({path.resolve(): path for path in reversed(files)}.values())[::-1]


def make_image(
    array: NDArray[Any],
    sensor: str,
    bands: Sequence[str] | None = None,
    *,
    convention: str | None = None,
    nodata: float | None = None,
    where: str = "",
) -> SensorImage:
    """An item of a sensor's modality out of the numbers of a file.

    Args:
        array: ``[C, H, W]``, before the sensor's scale and offset, which are applied.
        sensor: Its name.
        bands: The C bands by name or common name; None for all that the sensor has by default.
        convention: Gives wavelengths to bands that have none: ``dofa_v1``, ``dofa_v2``, ``clay``, ``physical``,
            ``geolangbind`` or ``geobind``; see ``geobind sensors show``.
        nodata: The number that means none; None for the sensor's own.
        where: File or row, for messages.

    Raises:
        DataError: Unknown names, or an array of another shape than the bands say.
        RecipeError: As for :func:`load_sensors`.
    """
    import numpy as np

    from geobind_sensors.image import SensorImage

    found, numbers = find_sensor(sensor), np.asarray(array)
    names = found.resolve(bands)
    if numbers.ndim != 3 or len(numbers) != len(names):
        raise DataError(
            f"an array of shape {list(numbers.shape)} for {len(names)} bands of {sensor!r}: {_few(names)}",
            where=where,
            fix="An image is [bands, rows, columns]; name its bands with bands=[…] if they are others.",
        )
    return SensorImage(
        found.scale(numbers, names), found.bands(names, convention), found.valid(numbers, names, nodata), where
    )


def _sound() -> Catalogue:
    """What the user's files say, but for those with a fault."""
    from geobind_sensors.sensorfile import Catalogue

    catalogue = Catalogue()
    for path in user_files():
        stamp = _stamp(path)
        try:
            catalogue |= _user_file(path, stamp)
        except GeobindError as error:
            _tell(f"sensors of {path} are left out: {error}", stamp)
    return catalogue


@cache
def _tell(line: str, stamp: tuple[Any, ...]) -> None:
    """Once for each state of a file, though several hooks ask for it."""
    say(line)


@cache
def _registry() -> Catalogue:
    from geobind.plan import registry
    from geobind_sensors.sensorfile import Catalogue, read_file

    return read_file(registry() / FILE, Catalogue())


@cache
def _registry_sensors() -> dict[str, Sensor]:
    return _sensors(_registry())


@cache
def _user_file(path: Path, stamp: tuple[Any, ...]) -> Catalogue:
    from geobind_sensors.sensorfile import read_file

    return read_file(path, _registry())


def _stamp(path: Path) -> tuple[Any, ...]:
    """What changes when a file does."""
    try:
        stat = path.stat()
    except OSError:
        return (Path.cwd(),)
    return (Path.cwd(), stat.st_mtime_ns, stat.st_size, stat.st_ino)


def _sensors(catalogue: Catalogue) -> dict[str, Sensor]:
    known = tuple(catalogue.conventions)
    return {name: Sensor(name, entry.values, entry.where, known) for name, entry in catalogue.sensors.items()}


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 16 else f"{', '.join(names[:8])} … {names[-1]}"

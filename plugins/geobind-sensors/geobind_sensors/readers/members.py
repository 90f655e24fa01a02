"""What the members of a sample of GeoLangBind hold, read without trust: nothing in them is ever run.

Shapes: C layers, H rows, W columns.
"""

from __future__ import annotations

import ast
import io
import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geobind.data.geo import check_lat_lon
from geobind.errors import DataError
from geobind_sensors.image import RGB_WAVELENGTHS

LONGEST = 65_536
"""Bytes of a list written out; 202 wavelengths take 2 kB."""


def layers(data: bytes, bands: int, where: str) -> NDArray[np.uint8]:
    """The values ``[C, H, W]`` of an npy file.

    As the published reader does, a grey picture with three wavelengths is shown three times, and a picture of red,
    green, blue and opacity with three loses the opacity.

    Raises:
        DataError: No npy file, of another type or shape, or with another number of layers than wavelengths.
    """
    try:
        image = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, TypeError, MemoryError, OverflowError) as error:
        raise DataError(f"the image is no npy file: {error}", where=where, fix="Drop the sample.") from error
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or not image.size:
        raise DataError(
            f"the image has the shape {list(image.shape)} and the type {image.dtype}",
            where=where,
            fix="It is uint8 [H, W, C] or [H, W].",
        )
    found = np.moveaxis(np.atleast_3d(image), 2, 0)
    if bands == 3 and len(found) in (1, 4):
        found = np.repeat(found, 3, axis=0) if len(found) == 1 else found[:3]
    if len(found) != bands:
        fix = "Every layer has one wavelength: drop the sample."
        raise DataError(f"the image has {len(found)} layers, and {bands} wavelengths", where=where, fix=fix)
    return np.ascontiguousarray(found)


def wavelengths(data: bytes, convention: str | None, where: str) -> tuple[float, ...]:
    """Centres of the bands in µm, from a list written out.

    Raises:
        DataError: No list of positive numbers, or all of them 0 without a convention that says what this means.
    """
    found = _numbers(data, "wavelengths", where)
    if found and not any(found):
        if convention is None:
            raise DataError(
                "all wavelengths are 0, as those of elevation: the bands have none",
                where=where,
                fix="Choose what stands for it: `convention: geolangbind` takes those of red, green and blue, as the "
                "published training does. It is never guessed.",
            )
        return RGB_WAVELENGTHS
    if not found or not all(0 < wave < math.inf for wave in found):
        raise DataError(
            f"the wavelengths are {list(found)}", where=where, fix="They are positive, in µm: drop the sample."
        )
    return found


def located(data: bytes, order: str, where: str) -> tuple[float, float]:
    """Latitude and longitude in degrees, from a list written out; NaN where it is empty.

    Raises:
        DataError: Not two numbers, or none on Earth.
    """
    if data.strip() in (b"", b"[]", b"()", b"None", b"null"):
        return math.nan, math.nan
    found = _numbers(data, "geoloc", where)
    if len(found) != 2:
        raise DataError(f"geoloc has {len(found)} numbers", where=where, fix="Leave it unread by `geoloc: none`.")
    if any(math.isnan(value) for value in found):
        return math.nan, math.nan
    lat, lon = found if order == "lat_lon" else found[::-1]
    return check_lat_lon(lat, lon, where=f"{where}, read as {order}")


def _numbers(data: bytes, what: str, where: str) -> tuple[float, ...]:
    """The numbers of a list or tuple written out in Python or JSON; nothing in it is ever run."""
    text = data.decode("utf-8", "replace").strip()
    try:
        if len(data) > LONGEST:
            raise ValueError(f"longer than {LONGEST} bytes")
        try:
            values: Any = json.loads(text)
        except ValueError:
            values = ast.literal_eval(text)
        if not isinstance(values, (list, tuple)) or not all(type(value) in (int, float) for value in values):
            raise ValueError("no list of numbers")
        return tuple(map(float, values))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, OverflowError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else error
        shown = text if len(text) < 60 else f"{text[:60]}…"
        raise DataError(f"{what} {shown!r} cannot be read: {reason}", where=where, fix="Drop the sample.") from error


def decoded(data: bytes, where: str) -> str:
    """The text of a member; raises DataError where it is not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"text is not UTF-8: {error.reason}", where=where, fix="Drop the sample.") from error

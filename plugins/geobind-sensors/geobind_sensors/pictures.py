"""A sensor's image as a picture of three bands: for previews, and for networks that know nothing else. No torch.

Shapes: C bands, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geobind.data.decode import read_image
from geobind.errors import DataError
from geobind.palette import SERIES
from geobind_sensors.image import RGB_WAVELENGTHS, Band, SensorImage, refuse_bare_array
from geobind_sensors.sensor import SHOWN_AS

EIGHT_BIT = "0 … 255"
"""Units of bands that are shown as they are."""
SPREAD = 2.0
"""Standard deviations about the mean that are shown."""
PERCENTILES = (2.0, 98.0)
RULE = (
    "bands declared or called red, green, blue, else those nearest in wavelength; one band grey, the second of two "
    "twice; 0 … 255 as it is, else the declared range, mean ± 2 std, or the image's own 2-98 %"
)
"""What :func:`composite_picture` does, in one line."""
NEAR = 3
"""Bands looked at for each of red, green and blue."""


def composite_picture(image: SensorImage, bands: Sequence[str] | None = None) -> NDArray[np.uint8]:
    """Three bands as red, green and blue.

    Which: ``bands``; or those that the sensor declares as its composite or calls red, green and blue; or the three
    whose wavelengths are nearest to 0.665, 0.56 and 0.49 µm together, longest first; without wavelengths the first
    three. The second of two bands is shown twice, a single one is grey.

    How: values of ``0 … 255`` as they are. Others are stretched to it from the band's declared range; without one
    from mean - 2 std to mean + 2 std; without statistics from the 2nd to the 98th percentile of this image.

    Args:
        image: Any bands.
        bands: One to three names.

    Returns:
        ``[H, W, 3]``, black where there is no data.

    Raises:
        DataError: A band it does not have, or NaN or infinity where there is data.
    """
    shown = image.select(bands) if bands is not None else image
    rows = (0, 1, 2)[: len(shown.bands)] if bands is not None else choose(shown.bands)
    layers = [_layer(shown, row) for row in dict.fromkeys(rows)]
    layers += layers[-1:] * (3 - len(layers))
    return np.stack(layers[:3], axis=-1)


def as_picture(item: Any, bands: Sequence[str] | None = None) -> Any:
    """An item of a sensor's modality as what image towers take.

    Args:
        item: A :class:`SensorImage`, which becomes a PIL image; or a picture, which stays what it is.
        bands: As for :func:`composite_picture`.

    Raises:
        DataError: An array that is no picture, or as :func:`composite_picture`.
    """
    if isinstance(item, SensorImage):
        return Image.fromarray(composite_picture(item, bands))
    refuse_bare_array(item)
    return item


def preview(item: Any) -> Image.Image:
    """The picture of an item, for reports."""
    return read_image(as_picture(item), near=256)


def preview_classes(item: Any) -> Image.Image:
    """A map of classes in the house's colours, one for each code modulo their number; 0 is white.

    Raises:
        DataError: No integers ``[H, W]``.
    """
    codes = np.asarray(item)
    if codes.ndim != 2 or codes.dtype.kind not in "iu" or not codes.size:
        raise DataError(
            f"a map of classes of shape {list(codes.shape)} and dtype {codes.dtype}", fix="Give integers [H, W]."
        )
    colours = np.array(SERIES, dtype=np.uint8)
    return Image.fromarray(np.where((codes == 0)[..., None], np.uint8(255), colours[(codes - 1) % len(colours)]))


def choose(bands: Sequence[Band]) -> tuple[int, ...]:
    """Which one to three bands a picture shows; see :func:`composite_picture`."""
    if len(bands) < len(SHOWN_AS):
        return tuple(range(len(bands)))
    roles = {band.shown_as or band.name: row for row, band in enumerate(bands)}
    if all(role in roles for role in SHOWN_AS):
        return tuple(roles[role] for role in SHOWN_AS)
    lengths = {row: band.wavelength for row, band in enumerate(bands) if band.wavelength is not None}
    if len(lengths) < len(SHOWN_AS):
        return (0, 1, 2)

    def off(row: int, target: float) -> float:
        return abs(lengths[row] - target)

    near = {row for target in RGB_WAVELENGTHS for row in sorted(lengths, key=lambda r: off(r, target))[:NEAR]}
    ordered = sorted(near, key=lambda row: (-lengths[row], row))
    return min(combinations(ordered, 3), key=lambda rows: sum(map(off, rows, RGB_WAVELENGTHS)))


def stretch(band: Band, values: NDArray[Any]) -> tuple[float, float]:
    """What is shown as black and as full of a band whose units are not ``0 … 255``.

    Args:
        band: The band.
        values: ``[N]``, where there is data; one at least.
    """
    if band.display is not None:
        return band.display
    if band.mean is not None and band.std is not None:
        return band.mean - SPREAD * band.std, band.mean + SPREAD * band.std
    low, high = np.percentile(values, PERCENTILES).tolist()
    return low, high


def _layer(image: SensorImage, row: int) -> NDArray[np.uint8]:
    values, band, valid = image.values[row], image.bands[row], image.valid
    there = values if valid is None else values[valid]
    if there.dtype.kind == "f" and not np.isfinite(there).all():
        raise DataError(
            f"band {band.name} holds NaN or infinity where there is data", where=image.where, fix="Mask it, or drop it."
        )
    if band.units == EIGHT_BIT:
        shown = values if values.dtype == np.uint8 else np.nan_to_num(values).round().clip(0, 255).astype(np.uint8)
    else:
        low, high = stretch(band, there) if there.size else (0.0, 1.0)
        unit = (values.astype(np.float32) - low) / max(high - low, np.finfo(np.float32).tiny)
        shown = (np.nan_to_num(unit).clip(0, 1) * 255).round().astype(np.uint8)
    return shown if valid is None else np.where(valid, shown, np.uint8(0))

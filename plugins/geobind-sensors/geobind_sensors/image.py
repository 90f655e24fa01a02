"""What an item of a sensor is: values, and bands that say what each layer of them means.

Shapes: C bands, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geobind.errors import DataError, nearest

RGB_WAVELENGTHS = (0.665, 0.56, 0.49)
"""Micrometres of red, green and blue (GeoLangBind, arXiv 2503.06312)."""


@dataclass(frozen=True, slots=True)
class Band:
    """One layer of an image."""

    name: str
    """The sensor's word for it: ``B04``, ``VV``, ``red``."""
    wavelength: float | None
    """Centre in µm, or the stand-in that a named convention gives a band that has none; None where neither is said."""
    units: str
    """Of the values, after scale and offset: ``reflectance``, ``dB``, ``K``, ``m``, ``0 … 255``."""
    mean: float | None = None
    """In those units; None to standardise each image by its own mean."""
    std: float | None = None
    """In those units; None with ``mean``."""
    width: float | None = None
    """Bandwidth in µm."""
    shown_as: str = ""
    """``red``, ``green`` or ``blue``, where its sensor says so: its part in a picture of three bands."""
    display: tuple[float, float] | None = None
    """Shown as black and as full, in those units."""
    conventions: tuple[str, ...] = ()
    """Those that would give it a wavelength."""


@dataclass(frozen=True, eq=False)
class SensorImage:
    """An image with any bands.

    Raises:
        DataError: Values of another shape than the bands say, or none.
    """

    values: NDArray[Any] = field(repr=False)
    """``[C, H, W]`` in the units of the bands; any real dtype."""
    bands: tuple[Band, ...]
    """C of them."""
    valid: NDArray[np.bool_] | None = field(default=None, repr=False)
    """``[H, W]``, False where there is no data; None where all of it is."""
    where: str = ""
    """File or row, for messages."""

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or len(self.values) != len(self.bands):
            raise DataError(
                f"values of shape {list(self.values.shape)} for {len(self.bands)} bands",
                where=self.where,
                fix="An image is [bands, rows, columns].",
            )
        if not self.values.size:
            raise DataError(f"an image without pixels, {list(self.values.shape)}", where=self.where, fix="Drop it.")
        if self.valid is not None and self.valid.shape != self.values.shape[1:]:
            raise DataError(
                f"a mask of shape {list(self.valid.shape)} for values {list(self.values.shape)}", where=self.where
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the bands."""
        return tuple(band.name for band in self.bands)

    def wavelengths(self) -> tuple[float, ...]:
        """Centres of all bands in µm.

        Raises:
            DataError: A band has none; the ways to give it one are named.
        """
        if absent := [band for band in self.bands if band.wavelength is None]:
            fitting = [name for name in absent[0].conventions if all(name in band.conventions for band in absent)]
            raise DataError(
                f"{'band' if len(absent) == 1 else 'bands'} {', '.join(band.name for band in absent)} without a "
                "wavelength",
                where=self.where,
                fix=f"Choose a convention that has one: {', '.join(fitting)}. `geobind sensors show` tells them apart."
                if fitting
                else "Declare it in µm in sensors.yaml, or leave the band out: no convention has one.",
            )
        return tuple(float(band.wavelength) for band in self.bands if band.wavelength is not None)

    def select(self, names: Sequence[str]) -> SensorImage:
        """The same image with some of its bands, in the order given.

        Raises:
            DataError: A band it does not have.
        """
        rows = []
        for name in names:
            if name not in self.names:
                raise DataError(f"no band {name!r}", where=self.where, fix=nearest(name, self.names))
            rows.append(self.names.index(name))
        return replace(self, values=self.values[rows], bands=tuple(self.bands[row] for row in rows))


def refuse_bare_array(item: Any) -> None:
    """An array that is no picture says nothing of its bands.

    Raises:
        DataError: ``item`` is an array other than uint8 ``[H, W]`` or ``[H, W, 3]``.
    """
    if not isinstance(item, np.ndarray) or (
        item.dtype == np.uint8 and item.size and (item.ndim == 2 or (item.ndim == 3 and item.shape[2] == 3))
    ):
        return
    raise DataError(
        f"an array of shape {list(item.shape)} and dtype {item.dtype} says nothing of its bands",
        fix="Give geobind_sensors.make_image(array, sensor=…, bands=[…]), or a uint8 picture [H, W, 3].",
    )

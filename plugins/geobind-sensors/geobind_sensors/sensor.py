"""A sensor: what its bands are, and how the numbers of its files become values. No torch.

Shapes: C bands, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from geobind.errors import DataError, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geobind_sensors.image import Band
    from geobind_sensors.sensorfile import SensorEntry

SHOWN_AS = ("red", "green", "blue")
"""The parts of a picture, in its order."""


@dataclass(frozen=True, eq=False)
class Sensor:
    """A sensor that a file declares."""

    name: str
    entry: SensorEntry
    """All that the file says of it."""
    where: str
    """``file:line`` of it."""
    conventions: tuple[str, ...]
    """All that are known, whether they say something of it or not."""

    @property
    def modality(self) -> str:
        """The modality of its images."""
        return self.entry.modality or self.name

    @property
    def names(self) -> tuple[str, ...]:
        """Its bands, but for those that are meant only where they are named."""
        return tuple(name for name in self.entry.bands if name not in self.entry.left_out)

    def bands(self, names: Sequence[str] | None = None, convention: str | None = None) -> tuple[Band, ...]:
        """Some of its bands.

        Args:
            names: Bands by name or common name, in any order; None for :attr:`names`.
            convention: Whose stand-ins replace wavelengths; a band that it does not know keeps its own.

        Returns:
            One for each name; without a wavelength where there is none and no convention was chosen.

        Raises:
            DataError: No such band or convention, or a band has a wavelength neither by itself nor by the convention.
        """
        from geobind_sensors.image import Band

        if convention is not None and convention not in self.conventions:
            raise DataError(
                f"unknown convention {convention!r} for wavelengths", fix=nearest(convention, self.conventions)
            )
        entry, stand_ins = self.entry, self.entry.conventions.get(convention or "", {})
        shown = dict(zip(entry.composite or (), SHOWN_AS, strict=False))
        found = []
        for name in self.resolve(names):
            band = entry.bands[name]
            fitting = tuple(each for each, bands in entry.conventions.items() if name in bands)
            wavelength = stand_ins.get(name, band.wavelength)
            if convention is not None and wavelength is None:
                raise DataError(
                    f"the convention {convention!r} has no wavelength for band {name} of {self.name!r}",
                    fix=f"Known for it: {', '.join(fitting) or 'none'}. It is never guessed.",
                )
            role = shown.get(name, "") if entry.composite else band.common if band.common in SHOWN_AS else ""
            found.append(
                Band(
                    name=name,
                    wavelength=wavelength,
                    units=self.said(name, "units"),
                    mean=band.mean,
                    std=band.std,
                    width=band.width,
                    shown_as=role,
                    display=self.said(name, "display"),
                    conventions=fitting,
                )
            )
        return tuple(found)

    def scale(self, numbers: NDArray[Any], names: Sequence[str] | None = None) -> NDArray[Any]:
        """The values that the numbers of a file mean.

        Args:
            numbers: ``[C, H, W]``
            names: Its bands; None for :attr:`names`.

        Returns:
            ``[C, H, W]`` in the units of the bands: float32, or ``numbers`` itself where they are the values.
        """
        import numpy as np

        chosen = self.resolve(names)
        scales, offsets = ([self.said(name, key) for name in chosen] for key in ("scale", "offset"))
        if all(scale == 1 for scale in scales) and not any(offsets):
            return numbers
        factor, shift = (np.array(each, dtype=np.float32)[:, None, None] for each in (scales, offsets))
        return np.asarray(numbers, dtype=np.float32) * factor + shift

    def valid(
        self, numbers: NDArray[Any], names: Sequence[str] | None = None, nodata: float | None = None
    ) -> NDArray[np.bool_] | None:
        """Where all bands have data.

        Args:
            numbers: ``[C, H, W]``, of a file.
            names: Its bands; None for :attr:`names`.
            nodata: The number that means none; None for the sensor's own.

        Returns:
            ``[H, W]``, False where any band has no data, NaN or infinity; None where all is there.
        """
        import numpy as np

        missing = np.zeros(numbers.shape[1:], dtype=bool)
        for layer, name in zip(numbers, self.resolve(names), strict=True):
            none = self.said(name, "nodata") if nodata is None else nodata
            if none is not None:
                missing |= layer == none
            if layer.dtype.kind == "f":
                missing |= ~np.isfinite(layer)
        return ~missing if missing.any() else None

    def resolve(self, names: Sequence[str] | None = None) -> tuple[str, ...]:
        """Bands by name, for those given by name or common name; raises DataError with the nearest for another."""
        if names is None:
            return self.names
        found = []
        for name in names:
            known = self.find(name)
            if known is None:
                raise DataError(
                    f"sensor {self.name!r} has no band {name!r}",
                    fix=nearest(name, {*self.entry.bands, *self._by_common}),
                )
            found.append(known)
        if twice := {name for name in found if found.count(name) > 1}:
            raise DataError(f"band {sorted(twice)[0]!r} of {self.name!r} is named twice", fix="Name each once.")
        return tuple(found)

    def find(self, name: str) -> str | None:
        """The band of a name or common name; None where there is none."""
        return name if name in self.entry.bands else self._by_common.get(name)

    @cached_property
    def _by_common(self) -> dict[str, str]:
        return {band.common: name for name, band in self.entry.bands.items() if band.common}

    def said(self, band: str, key: str) -> Any:
        """What a band says for itself, or the sensor for all, at a key such as ``units`` or ``nodata``."""
        own = self.entry.bands[band]
        return getattr(own if key in own.model_fields_set else self.entry, key)

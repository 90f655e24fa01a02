"""The data set timeseries: the places of another data set, and a series for each that has one."""

import hashlib
from dataclasses import replace

import geobind
import numpy as np
from numpy.typing import NDArray

from geobind_timeseries import TimeseriesConfig
from geobind_timeseries.table import read_table

SPLITS = ("train", "val", "test")


def synthesised(place: str, lat: float) -> NDArray[np.float32]:
    """A made-up year of daily temperature in °C ``[365, 1]``: warmest in July in the north, in January in the south.

    Weather is noise that lasts for days, and one day in twenty is missing; both follow from the place's id alone.
    """
    rng = np.random.default_rng(list(place.encode()))
    season, height = np.cos(2 * np.pi * (np.arange(365) - 20) / 365.2425), np.sin(np.radians(lat))
    weather = np.convolve(rng.normal(0, 2, 365 + 19), 0.8 ** np.arange(20), mode="valid")
    degrees = 27 - 45 * height**2 - 20 * height * season + weather
    return np.where(rng.uniform(size=365) < 0.05, np.nan, degrees).astype(np.float32)[:, None]


class Series(geobind.Dataset):
    """All that the data set `places` holds, and the series of its places."""

    def __init__(self, config: TimeseriesConfig) -> None:
        self.config, self.places = config, geobind.build_dataset(config.places)
        self.modalities = (*self.places.modalities, "timeseries")
        located = [self._places(split) for split in SPLITS]
        if config.table:
            everything, known = read_table(config.table), {str(place) for items in located for place in items.place}
            self.series = {p: days for p, days in everything.items() if p in known and not np.isnan(days).all()}
            self.left_out = sorted(everything.keys() - self.series.keys())
            if not self.series:
                fix = f"Its places are to be those of `places`: {', '.join(sorted(known)[:3])}, …"
                raise geobind.DataError("no series is at a known place", where=str(config.table), fix=fix)
        else:
            self.series, self.left_out = {}, []
            for items in located:
                if items.lat_lon is None:
                    raise geobind.DataError("`places` has no coordinates to synthesise from", fix="Give a `table`.")
                self.series |= {
                    str(p): synthesised(str(p), at[0]) for p, at in zip(items.place, items.lat_lon, strict=True)
                }

    def _places(self, split: str) -> geobind.Items:
        """An item of every place, of the first modality of `places`."""
        items = self.places.items(self.places.modalities[0], split)
        return items.take(np.unique(items.place, return_index=True)[1])

    def items(self, modality: str, split: str) -> geobind.Items:
        """The items of one modality in `train`, `val` or `test`; those of one place are pairs."""
        if modality != "timeseries":
            return self.places.items(modality, split)
        items = self._places(split)
        items = items.take(np.flatnonzero([str(place) in self.series for place in items.place]))
        arrays = [self.series[str(place)] for place in items.place]
        keys = np.array([hashlib.sha256(array.tobytes()).hexdigest() for array in arrays], dtype=np.str_)
        return replace(items, modality="timeseries", load=arrays.__getitem__, key=keys, files=False)

    def origin(self, a: str, b: str) -> str:
        """How pairs came about; it stands beside every figure."""
        if "timeseries" not in (a, b):
            return self.places.origin(a, b)
        return self.config.origin if self.config.table else "synthesised from latitude"

    @property
    def fingerprint(self) -> str:
        """A hash of what it holds: figures on equal fingerprints are comparable."""
        keys = [key for split in SPLITS for key in self.items("timeseries", split).key]
        return hashlib.sha256("".join([self.places.fingerprint, *keys]).encode()).hexdigest()[:16]

    def skipped(self) -> list[str]:
        """Rows that `places` left out, and series without a place or without a value."""
        left_out = [f"series {place!r}: no such place, or every value is missing" for place in self.left_out]
        return [*self.places.skipped(), *left_out]

"""Made-up items of every modality, for checks and tests: waves and noise, in the bands of a sensor.

``geobind_sensors.examples:NAME`` is a function ``index -> item`` for the modality NAME, a user's included.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geobind_sensors.image import Band, SensorImage
from geobind_sensors.modalities import MODALITIES
from geobind_sensors.pictures import EIGHT_BIT
from geobind_sensors.sensors import find_sensor, user_modalities

SENSORS = {
    "multispectral": ("landsat8", None),
    "sar": ("sentinel1", "physical"),
    "sentinel1": ("sentinel1", "physical"),
    "hyperspectral": ("enmap", None),
    "infrared": ("thermal", None),
    "elevation": ("relief", "geolangbind"),
}
"""Which sensor stands for a modality, and by which convention; otherwise the sensor of its name, by none."""

RANGES = {"reflectance": (0.0, 0.3), "dB": (-25.0, 0.0), "K": (270.0, 310.0), "m": (0.0, 3000.0), EIGHT_BIT: (0, 255)}
"""What values lie in, by units; 0 to 1 for others."""

CLASSES = 6
MANY_BANDS = 32
"""An image with more is small, so that checks stay quick."""


def __getattr__(name: str) -> Callable[[int], SensorImage]:
    """The examples of a modality, by its name."""
    if name not in MODALITIES and (name.startswith("_") or name not in user_modalities()):
        raise AttributeError(f"no modality of sensors is called {name!r}")
    return partial(_of_sensor, name)


def rgb(index: int) -> SensorImage | Image.Image:
    """A colour picture, by turns as an image with bands and as a PIL image."""
    image = _of_sensor("rgb", index)
    return Image.fromarray(image.values.transpose(1, 2, 0)) if index % 2 else image


def classmap(index: int) -> NDArray[np.uint8]:
    """Codes ``[32, 32 + 4 (index mod 3)]`` in patches."""
    rng = np.random.default_rng(index)
    patches = rng.integers(0, CLASSES, (8, 8 + index % 3), dtype=np.uint8)
    return patches.repeat(4, axis=0).repeat(4, axis=1)


def _of_sensor(modality: str, index: int) -> SensorImage:
    """An image in the bands of the sensor that stands for a modality; a corner without data in every third."""
    name, convention = SENSORS.get(modality, (modality, None))
    bands = find_sensor(name).bands(convention=convention)
    rows, columns = (10, 10) if len(bands) > MANY_BANDS else (40, 40 + 12 * (index % 3))
    rng = np.random.default_rng(index)
    y, x = np.mgrid[:rows, :columns] / 40.0
    waves = np.sin(
        2 * np.pi * (np.multiply.outer(rng.uniform(0.5, 3, 3), y) + np.multiply.outer(rng.uniform(0, 3, 3), x))
    )
    shares = rng.dirichlet(np.ones(3), len(bands))  # of the three waves in each band: bands go together, and differ
    noise = rng.normal(0, 0.05, (len(bands), rows, columns))
    unit = np.clip(0.5 + 0.45 * np.einsum("bw,wij->bij", shares, waves) + noise, 0, 1)
    values = np.stack([_spread(layer, band) for layer, band in zip(unit, bands, strict=True)])
    eight_bit = all(band.units == EIGHT_BIT for band in bands)
    valid = None
    if index % 3 == 2:
        valid = np.ones((rows, columns), dtype=bool)
        valid[:4, :4] = False
    return SensorImage(
        values.round().astype(np.uint8) if eight_bit else values.astype(np.float32), bands, valid, f"made up, {index}"
    )


def _spread(layer: NDArray[np.float64], band: Band) -> NDArray[np.float64]:
    low, high = RANGES.get(band.units, (0.0, 1.0))
    return low + (high - low) * layer

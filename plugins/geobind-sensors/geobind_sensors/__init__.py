"""Images of any sensor: modalities, a transformer for any bands, readers, and a loss that distils. Only specs here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import geobind
from geobind_sensors import composite, maka, modalities, readers, vit

if TYPE_CHECKING:
    import typer

    from geobind_sensors.image import Band as Band
    from geobind_sensors.image import SensorImage as SensorImage
    from geobind_sensors.sensors import load_sensors as load_sensors
    from geobind_sensors.sensors import make_image as make_image

_HOME_OF = {
    "Band": "geobind_sensors.image",
    "SensorImage": "geobind_sensors.image",
    "load_sensors": "geobind_sensors.sensors",
    "make_image": "geobind_sensors.sensors",
}


def __getattr__(name: str) -> Any:
    """What plugins and scripts write items with; loaded when it is first used, since it needs NumPy."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'geobind_sensors' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


@geobind.hookimpl
def geobind_modalities() -> list[geobind.ModalitySpec]:
    """A modality per kind of sensor, one per sensor that a user declares, and maps of land cover."""
    return modalities.specs()


@geobind.hookimpl
def geobind_encoders() -> list[geobind.EncoderSpec]:
    """The transformer that takes any bands, and image towers that see three bands as a picture."""
    return [*vit.specs(), *composite.specs()]


@geobind.hookimpl
def geobind_datasets() -> list[geobind.DatasetSpec]:
    """Readers of GeoTIFF files and of GeoLangBind's shards."""
    return readers.specs()


@geobind.hookimpl
def geobind_losses() -> list[geobind.LossSpec]:
    """Distillation from several teachers beside a contrastive loss."""
    return maka.specs()


@geobind.hookimpl
def geobind_cli(app: typer.Typer) -> None:
    """The command ``geobind sensors``."""
    from geobind_sensors import show

    app.add_typer(show.app, name="sensors")

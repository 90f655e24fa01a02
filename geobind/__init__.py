"""geobind: bind one more modality to satellite imagery.

Names are loaded when they are first used, so that ``import geobind`` costs nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geobind.bind.runs.trackers import Tracker as Tracker
    from geobind.data.geo import check_lat_lon as check_lat_lon
    from geobind.data.items import SPLITS as SPLITS
    from geobind.data.items import Dataset as Dataset
    from geobind.data.items import Items as Items
    from geobind.data.splits import split_by_blocks as split_by_blocks
    from geobind.encoder import Encoder as Encoder
    from geobind.errors import DataError as DataError
    from geobind.errors import GeobindError as GeobindError
    from geobind.errors import PluginError as PluginError
    from geobind.errors import RecipeError as RecipeError
    from geobind.errors import SpaceError as SpaceError
    from geobind.errors import WeightsError as WeightsError
    from geobind.errors import needs as needs
    from geobind.hookspecs import hookimpl as hookimpl
    from geobind.loss import Loss as Loss
    from geobind.loss import Positives as Positives
    from geobind.modality import Config as Config
    from geobind.modality import DatasetSpec as DatasetSpec
    from geobind.modality import EncoderSpec as EncoderSpec
    from geobind.modality import LossSpec as LossSpec
    from geobind.modality import ModalitySpec as ModalitySpec
    from geobind.modality import RecipeSpec as RecipeSpec
    from geobind.modality import TrackerSpec as TrackerSpec
    from geobind.plugins import build_dataset as build_dataset
    from geobind.space.checkpoint import load as load
    from geobind.space.space import Space as Space

__version__ = "0.1.0"

_HOMES = {
    "geobind.bind.runs.trackers": ("Tracker",),
    "geobind.data.geo": ("check_lat_lon",),
    "geobind.data.items": ("SPLITS", "Dataset", "Items"),
    "geobind.data.splits": ("split_by_blocks",),
    "geobind.encoder": ("Encoder",),
    "geobind.errors": (
        "DataError",
        "GeobindError",
        "PluginError",
        "RecipeError",
        "SpaceError",
        "WeightsError",
        "needs",
    ),
    "geobind.hookspecs": ("hookimpl",),
    "geobind.loss": ("Loss", "Positives"),
    "geobind.modality": (
        "Config",
        "DatasetSpec",
        "EncoderSpec",
        "LossSpec",
        "ModalitySpec",
        "RecipeSpec",
        "TrackerSpec",
    ),
    "geobind.plugins": ("build_dataset",),
    "geobind.space.checkpoint": ("load",),
    "geobind.space.space": ("Space",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'geobind' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

"""A package over the folder ``geoclip/model`` that skips every ``__init__.py`` of geoclip.

``import geoclip`` brings torchvision, transformers and geopy for its image tower (4.5 s); the location encoder needs
none of them. :data:`__path__` makes this file a package, whose modules are geoclip's own.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from geobind import needs

with needs("geoclip", "pip install 'geobind-location[geoclip]'"):
    _spec = find_spec("geoclip")
    if _spec is None or not _spec.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'geoclip'")

__path__ = [str(Path(_spec.submodule_search_locations[0]) / "model")]

"""A package over the folder ``laion_clap/clap_module`` that skips every ``__init__.py`` of laion-clap.

``import laion_clap`` asks a model hub for tokenizers and leaves ``clap_module`` and ``training`` among the top-level
modules; ``clap_module/__init__.py`` brings wandb and transformers. The audio tower needs none of them.
:data:`__path__` makes this file a package, whose modules are laion-clap's own.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from geobind import needs

with needs("laion_clap", "pip install 'geobind-audio[clap]'"):
    _spec = find_spec("laion_clap")
    if _spec is None or not _spec.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'laion_clap'")

__path__ = [str(Path(_spec.submodule_search_locations[0]) / "clap_module")]

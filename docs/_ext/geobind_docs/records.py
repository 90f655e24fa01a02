"""What files say: the keys of ``space.json``, and of the protocol in ``results.json``."""

from __future__ import annotations

import dataclasses

from sphinx.pycode import ModuleAnalyzer

from geobind.evaluate.results import Protocol
from geobind.space.records import Bound, SpaceRecord, TowerRecord
from geobind_docs.keys import entries
from geobind_docs.markdown import code, entry, prose


def write_space() -> str:
    """The keys of ``space.json``, level by level."""
    levels = ((SpaceRecord, ""), (TowerRecord, "towers.NAME."), (Bound, "towers.NAME.bound."))
    return "\n".join(entries(config, path, anchors="space ", defaults=False) for config, path in levels)


def write_protocol() -> str:
    """The keys of a protocol."""
    told = ModuleAnalyzer.for_module(Protocol.__module__).find_attr_docs()
    return "\n".join(
        entry(field.name, (code(field.type),), prose("\n".join(told["Protocol", field.name])))
        for field in dataclasses.fields(Protocol)
    )

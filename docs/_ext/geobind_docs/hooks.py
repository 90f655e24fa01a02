"""Hooks and specs, from :mod:`geobind.hookspecs` and :mod:`geobind.modality`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from sphinx.pycode import ModuleAnalyzer

from geobind import hookspecs, modality
from geobind_docs.markdown import code, entry, prose

SPECS = (
    modality.ModalitySpec,
    modality.EncoderSpec,
    modality.DatasetSpec,
    modality.LossSpec,
    modality.RecipeSpec,
    modality.TrackerSpec,
)


def write_hooks() -> str:
    """Every hook with its signature and what it is for."""
    hooks = {name: hook for name, hook in vars(hookspecs).items() if hasattr(hook, "geobind_spec")}
    return "\n".join(
        f"## `{name}`\n\n```text\n{_signature(name, hook)}\n```\n\n{prose(hook.__doc__)}\n"
        for name, hook in hooks.items()
    )


def _signature(name: str, hook: Callable[..., Any]) -> str:
    return f"{name}{inspect.signature(hook)}".replace("'", "")


def write_specs() -> str:
    """Every spec with its fields."""
    told = ModuleAnalyzer.for_module("geobind.modality").find_attr_docs()
    parts = []
    for spec in SPECS:
        parts.append(f"## `{spec.__name__}`\n\n{prose(spec.__doc__)}\n")
        for field in dataclasses.fields(spec):
            text = "\n".join(told.get((spec.__name__, field.name), ()))
            needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            facts = (code(field.type), "**required**" if needed else "")
            parts.append(entry(field.name, facts, prose(text), anchor=f"{spec.__name__.lower()}-{field.name}"))
    return "\n".join(parts)

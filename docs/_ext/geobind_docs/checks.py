"""The conformance checks, from :mod:`geobind.authoring.checks`."""

from __future__ import annotations

import inspect
from importlib import import_module

from geobind.authoring.checks.check import CHECKS
from geobind.authoring.checks.run import MODULES
from geobind.authoring.checks.subjects import Subject
from geobind_docs.markdown import entry, prose, slug


def write() -> str:
    """Checks by the kind of thing they look at, in the order in which they run."""
    for module in MODULES:
        import_module(f"geobind.authoring.checks.{module}")
    kinds: dict[type[Subject], list[str]] = {}
    for check in CHECKS:
        text = prose(inspect.getdoc(check.function))
        kinds.setdefault(check.kind, []).append(
            entry(check.name, (), text, anchor=slug(f"{check.kind.__name__} {check.name}"))
        )
    return "\n".join(f"## {_title(kind)}\n\n" + "\n".join(found) for kind, found in kinds.items())


def _title(kind: type[Subject]) -> str:
    name = kind.__name__.removesuffix("Subject").lower()
    return f"Of {'an' if name[0] in 'aeiou' else 'a'} {name}"

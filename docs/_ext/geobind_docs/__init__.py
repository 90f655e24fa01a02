"""A Sphinx extension: parts of pages that are written from the code, and formulas that need no network."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sphinx.application import Sphinx

from geobind_docs import checks, commands, components, directory, figures, hooks, mathml, recipe, records

PARTS: dict[str, Callable[[], str]] = {
    "checks": checks.write,
    "commands": commands.write,
    "components": components.write,
    "directory": directory.write,
    "figures": figures.write,
    "hooks": hooks.write_hooks,
    "specs": hooks.write_specs,
    "protocol": records.write_protocol,
    "recipe": recipe.write,
    "space": records.write_space,
}
"""What a page may ask for with an empty fence, ``{from-code} NAME``."""

FENCE = re.compile(r"^```\{from-code\} ([a-z]+)\n```$", flags=re.MULTILINE)
OUTSIDE = {
    "../CHANGELOG.md": "changelog.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../benchmarks/RESULTS.md": "results.md",
}
"""Files beside ``docs/`` that are pages here; pages link to them as they lie in the repository."""
COMMENT = re.compile(r"^<!--.*?-->$", flags=re.MULTILINE | re.DOTALL)
"""What tests of the pages are told, which is nothing for readers."""


def fill(app: Sphinx, page: str, source: list[str]) -> None:
    """Write the parts a page asks for, before it is parsed: their headings are then headings like any other."""
    text = COMMENT.sub(lambda found: "\n" * found[0].count("\n"), source[0])
    for there, here in OUTSIDE.items():
        text = text.replace(f"]({there}", f"]({here}")
    source[0] = FENCE.sub(lambda found: PARTS[found[1]](), text)


def keep_colons(app: Sphinx, what: str, name: str, object_: Any, options: Any, lines: list[str]) -> None:
    """Have napoleon read ``Identity of the anchor: …`` of a property as a sentence, not as a type and its meaning."""
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]  # an empty comment: what follows is no first line


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", keep_colons, priority=400)
    app.add_html_math_renderer("mathml", (mathml.visit_inline, None), (mathml.visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

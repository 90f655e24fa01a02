"""The keys of a recipe, from :mod:`geobind.config`."""

from __future__ import annotations

from geobind.config import SHORT_TRAIN, Recipe
from geobind_docs.keys import entries, sections
from geobind_docs.markdown import prose


def write() -> str:
    """A section for each mapping of a recipe."""
    parts = []
    for path, config in sections(Recipe):
        parts.append(f"## {_title(path)}\n\n{prose(config.__doc__)}")
        parts.append(entries(config, path))
        if path == "stages[].train.":
            parts.append(_short_forms())
    return "\n\n".join(parts)


def _title(path: str) -> str:
    return f"`{path.removesuffix('.')}`" if path else "The recipe"


def _short_forms() -> str:
    rows = (f"| `{short}` | `{anchor}` | `{modality}` |" for short, (anchor, modality) in SHORT_TRAIN.items())
    return "\n".join(("| short for | anchor | modality |", "|---|---|---|", *rows))

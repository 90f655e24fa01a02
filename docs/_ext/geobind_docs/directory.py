"""The directory of plugins, from ``registry/plugins.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from geobind_docs.markdown import code, line

FILE = Path(__file__).resolve().parents[3] / "registry/plugins.yaml"


def entries() -> list[dict[str, Any]]:
    """All plugins of the directory, in its order."""
    found: list[dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["plugins"]
    return found


def write() -> str:
    """A table of the first-party plugins and one of all others."""
    known = entries()
    return "\n\n".join(
        f"## {title}\n\n{_table([plugin for plugin in known if plugin['party'] == party])}"
        for party, title in (("first", "First-party"), ("third", "By others"))
    )


def _table(plugins: list[dict[str, Any]]) -> str:
    if not plugins:
        return "None yet: yours may be the first."
    head = ("{.directory}", "| install | what it brings | modalities | licence |", "|---|---|---|---|")
    return "\n".join((*head, *map(_row, plugins)))


def _row(plugin: dict[str, Any]) -> str:
    links = " · ".join(f"[{word}]({url})" for word, url in plugin.get("links", {}).items())
    cells = (
        code(plugin["distribution"]),
        " ".join(filter(None, (line(plugin["summary"]), links))),
        ", ".join(map(code, plugin["modalities"])),
        plugin["licence"],
    )
    return f"| {' | '.join(cells)} |"

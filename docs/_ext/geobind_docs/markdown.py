"""Markdown of what code says: docstrings, definitions, anchors."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable

ROLE = re.compile(r":[a-z:]+:`~?(?:[\w.]*\.)?([^`]+)`")
"""A role of a docstring, such as ``:class:`~torch.nn.ModuleList```; its last word stays."""
LITERAL = re.compile(r"(``.+?``|`[^`]+`)", flags=re.DOTALL)


def prose(docstring: str | None) -> str:
    """A docstring as Markdown: the same words, its literals as code, nothing else with a meaning."""
    text = ROLE.sub(r"``\1``", inspect.cleandoc(docstring or ""))
    parts = LITERAL.split(text)
    return "".join(part if i % 2 else re.sub(r"([\\$*<])", r"\\\1", part) for i, part in enumerate(parts))


def line(docstring: str | None) -> str:
    """A docstring in one line."""
    return " ".join(prose(docstring).split())


def slug(name: str) -> str:
    """What an anchor is called: ``stages[].optim.lr`` becomes ``stages-optim-lr``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def entry(name: str, facts: Iterable[str], text: str, *, anchor: str = "") -> str:
    """One definition: a name in code, facts beside it, what it means below it.

    Args:
        name: Stands as code.
        facts: Markdown; empty ones are left out.
        text: Markdown.
        anchor: By which others may link to it.
    """
    code = f"[`{name}`]{{#{anchor}}}" if anchor else f"`{name}`"
    meaning = text.replace("\n", "\n  ")
    return "\n: ".join([" · ".join([code, *filter(None, facts)]), meaning]) + "\n"


def code(value: object) -> str:
    """A value as code."""
    return f"`{value}`"

"""What a check of ``geobind doctor`` finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's."""

    name: str
    status: Literal["ok", "note", "AILS"]
    """Fine, worth knowing, or something that does not work as it should."""
    found: str
    cure: str = ""


Check: TypeAlias = Callable[[], Iterator[Finding]]


def ok(name: str, found: str) -> Finding:
    """Nothing to be done."""
    return Finding(name, "ok", found)


def note(name: str, found: str, cure: str) -> Finding:
    """Worth knowing; most work goes on without the cure."""
    return Finding(name, "note", found, cure)


def ails(name: str, found: str, cure: str) -> Finding:
    """Something is broken, and this mends it."""
    return Finding(name, "AILS", found, cure)

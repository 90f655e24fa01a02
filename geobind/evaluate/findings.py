"""What every question of an evaluation answers in: figures with their protocol, tables, pictures, and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from geobind.errors import DataError

Value = str | int | float | bool | None


def percent(share: float, digits: int = 1) -> str:
    """A share as people read it: ``28.1 %``."""
    return f"{100 * share:.{digits}f} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One figure, with all that decides whether it may be compared with another."""

    of: str
    """What was measured: ``text → satellite``, ``EuroSAT``, ``ndvi``."""
    metric: str
    """In what: ``R@10``, ``top-1``, ``R²``. Shares lie in [0, 1]."""
    value: float
    low: float | None = None
    """Lower end of the 95 % interval; None where there is none."""
    high: float | None = None
    """Upper end."""
    chance: float | None = None
    """What a space that knows nothing would reach; None where that has no meaning."""
    n: int
    """Over how many queries, images or places."""
    higher_is_better: bool = True
    protocol: Mapping[str, Value] = field(default_factory=dict)
    """What was asked of what under which rules; two measures of one protocol may be compared."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table for people; numbers come as they shall be read, right-aligned when they are no words."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise DataError(f"table {self.title!r} has {len(self.columns)} columns and a row of {len(row)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A plot or map."""

    name: str
    """Its file is ``NAME.png`` beside the report."""
    caption: str
    """What is seen, and what is not, in a sentence or two."""
    alt: str
    """The same for who cannot see it."""
    png: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The answer to one question about a space."""

    name: str
    """The question's word, as the command line has it: ``gap``, ``zero-shot-eurosat``."""
    title: str
    """The question as a heading."""
    answer: tuple[str, ...]
    """What was found, in sentences with figures; the first one can stand alone."""
    protocol: Mapping[str, Value]
    """How it was found: split, items, rules, seeds; shown in a box."""
    measures: tuple[Measure, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()
    """Definitions with their sources, and limits."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else belongs in ``results.json``; JSON-able."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form; pictures by the names of their files."""
        return {
            "name": self.name,
            "title": self.title,
            "answer": list(self.answer),
            "protocol": dict(self.protocol),
            "measures": [measure.as_dict() for measure in self.measures],
            "tables": [asdict(table) for table in self.tables],
            "pictures": [{"file": f"{p.name}.png", "caption": p.caption, "alt": p.alt} for p in self.pictures],
            "notes": list(self.notes),
            "details": dict(self.details),
        }

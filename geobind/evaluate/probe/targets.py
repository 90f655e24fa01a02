"""What is predicted: a tag of the items, or a column of a table that is joined to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geobind.data.items import Items
from geobind.data.manifest import read_table
from geobind.errors import DataError, nearest

Kind = Literal["classification", "regression"]

FEW = 100
"""Whole numbers with no more distinct values than this may be classes or quantities; nobody can tell but the user."""
RULE = "A row belongs to an item when its key is the item's place id, or else the ending of its file's path."


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """The target of some items."""

    y: NDArray[Any]
    """``[N]`` float64 (regression) or strings (classification); NaN or the empty string where there is none."""
    joined: NDArray[np.bool_]
    """``[N]`` whether the table has a row for the item; always so for a tag."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """``[N]`` whether the item has a target."""
        known: NDArray[np.bool_] = self.y != "" if self.y.dtype.kind == "U" else np.isfinite(self.y)
        return known


@dataclass(frozen=True, kw_only=True)
class Targets:
    """A named quantity or class of places; made by :meth:`tag` or :meth:`read`."""

    name: str
    """The column."""
    source: str
    """Where it comes from, for people."""
    kind: Kind | None
    """None: follows from the values."""
    unit: str = ""
    """Of a quantity: ``m``, ``°C``; empty when unknown."""
    table: Mapping[str, Any] | None = field(default=None, repr=False)
    """Key → value, None where it is empty; None for a tag."""

    @classmethod
    def tag(cls, name: str, *, kind: Kind | None = None, unit: str = "") -> Targets:
        """A tag column of the items themselves."""
        return cls(name=name, source=f"tag {name}", kind=kind, unit=unit)

    @classmethod
    def read(cls, path: Path, column: str, key: str, *, kind: Kind | None = None, unit: str = "") -> Targets:
        """A column of a CSV or Parquet table.

        Text and booleans are classes, floating-point numbers are quantities, and so are whole numbers with more than
        :data:`FEW` distinct values.

        Args:
            path: The table.
            column: The column that is predicted.
            key: The column that says which item a row belongs to: a place id, or the ending of a file's path in whole
                parts (``AnnualCrop/AnnualCrop_1.jpg``).
            kind: What the column is, when its type does not say so or says it wrongly.
            unit: Of a quantity, for people.

        Raises:
            DataError: The file or a column does not exist, the column is of no use, or one key has two values.
        """
        table = read_table(path)
        for name in (column, key):
            if name not in table.column_names:
                raise DataError(f"no column {name!r}", where=str(path), fix=nearest(name, table.column_names))
        kind = kind or _kind_of_type(table[column].type, column, path)
        values: dict[str, Any] = {}
        for name, value in zip(table[key].to_pylist(), table[column].to_pylist(), strict=True):
            if name is None or name == "":
                continue
            found = None if value is None or value == "" or value != value else value
            if values.setdefault(str(name), found) != found:
                raise DataError(
                    f"{key} {str(name)!r} has two values of {column!r}: {values[str(name)]!r} and {found!r}",
                    where=str(path),
                    fix="Leave one row for each key.",
                )
        if not any(value is not None for value in values.values()):
            raise DataError(f"column {column!r} has no values", where=str(path), fix="Choose another column.")
        kind = kind or _kind_of_whole_numbers(values.values(), column, str(path))
        return cls(name=column, source=f"{path.name}: {column} by {key}", kind=kind, unit=unit, table=values)

    def of(self, tables: Sequence[Items]) -> tuple[Kind, list[Values]]:
        """The kind, and the values of all items: one table of items for each split, looked up together.

        Raises:
            DataError: Items have no such tag, nothing joins, one key is the ending of two files, or values are of no
                use as this kind.
        """
        found = self._tags(tables) if self.table is None else self._rows(self.table, tables)
        kind = self.kind or _kind_of_texts([value for values in found for value in values if value], self.name)
        joined = [np.array([value is not _NO_ROW for value in values], dtype=bool) for values in found]
        flat = [[None if value is _NO_ROW else value for value in values] for values in found]
        return kind, [Values(self._typed(values, kind), rows) for values, rows in zip(flat, joined, strict=True)]

    def _tags(self, tables: Sequence[Items]) -> list[list[Any]]:
        known = {name for items in tables for name in items.tags}
        if self.name not in known:
            raise DataError(
                f"{tables[0].modality} items have no tag {self.name!r}",
                fix=f"{nearest(self.name, known)} The recipe's `tags:` makes tags of a manifest's columns; a table"
                " beside the data can hold the target, too.",
            )
        none = np.empty(0, dtype=np.str_)
        return [[value or None for value in items.tags.get(self.name, none).tolist()] for items in tables]

    def _rows(self, table: Mapping[str, Any], tables: Sequence[Items]) -> list[list[Any]]:
        keys = [_keys(items, table) for items in tables]
        if not any(key for found in keys for key in found):
            items = next(items for items in tables if len(items))
            of_file = f", its file {str(items.key[0])!r}" if items.files else ""
            raise DataError(
                f"no row joins any of the {sum(map(len, tables)):,} {items.modality} items: a key is"
                f" {next(iter(table))!r}, an item's place {str(items.place[0])!r}{of_file}",
                where=self.source,
                fix=f"{RULE} Name the column that holds such keys.",
            )
        files: dict[str, str] = {}
        for items, found in zip(tables, keys, strict=True):
            for key, place, file in zip(found, items.place.tolist(), items.key.tolist(), strict=True):
                if key and key != place and files.setdefault(key, file) != file:
                    raise DataError(
                        f"key {key!r} is the ending of two files, {files[key]!r} and {file!r}",
                        where=self.source,
                        fix="Let keys hold more of the path, or place ids.",
                    )
        return [[table[key] if key else _NO_ROW for key in found] for found in keys]

    def _typed(self, values: list[Any], kind: Kind) -> NDArray[Any]:
        if kind == "classification":
            return np.array(["" if value is None else str(value) for value in values], dtype=np.str_)
        try:
            return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{self.name!r} cannot be predicted as a quantity: {error}",
                where=self.source,
                fix="Leave `kind` to the column, or mend the value.",
            ) from None


_NO_ROW = object()
"""Stands for an item that the table has no row for."""


def _keys(items: Items, table: Mapping[str, Any]) -> list[str]:
    """The key of each item's row, empty where there is none; see :data:`RULE`."""
    depths = sorted({key.count("/") + 1 for key in table}, reverse=True) if items.files else []
    found = []
    for place, file in zip(items.place.tolist(), items.key.tolist(), strict=True):
        key = place if place in table else ""
        if not key and depths:
            parts = file.split("/")
            endings = ("/".join(parts[-depth:]) for depth in depths)
            key = next((ending for ending in endings if ending in table), "")
        found.append(key)
    return found


def _kind_of_type(kind: pa.DataType, column: str, path: Path) -> Kind | None:
    """What a column's type says; None for whole numbers, which say nothing."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind):
        return "classification"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "regression"
    if pa.types.is_integer(kind):
        return None
    raise DataError(
        f"column {column!r} is of type {kind} and can be neither classes nor a quantity",
        where=str(path),
        fix="Choose a column of text, booleans or numbers.",
    )


def _kind_of_whole_numbers(values: Iterable[Any], column: str, where: str) -> Kind:
    distinct = len(set(values) - {None})
    if distinct > FEW:
        return "regression"
    raise DataError(
        f"{column!r} holds whole numbers with {distinct} distinct values, which may be classes or a quantity",
        where=where,
        fix="Say `kind`: classification or regression.",
    )


def _kind_of_texts(values: Sequence[str], name: str) -> Kind:
    """What tags are, which are texts of whatever the dataset has read."""
    try:
        for value in values:
            float(value)
    except ValueError:
        return "classification"
    if values and all(value.lstrip("+-").isdigit() for value in values):
        return _kind_of_whole_numbers(values, name, f"tag {name}")
    return "regression" if values else "classification"

"""The data that a dataset's example writes: built once for all checks that only look, and files to be damaged."""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet

from geobind.authoring.checks.subjects import DatasetSubject
from geobind.data.items import SPLITS, Dataset, Items
from geobind.modality import Config

TABLES = {".csv": 1, ".tsv": 1, ".jsonl": 0, ".ndjson": 0}
"""Suffixes of text files that hold a row a line, and how many lines stand before the rows."""
PARQUET = (".parquet", ".geoparquet", ".pq")
EACH = 3
"""Files of one folder and suffix that are damaged, one after the other."""


class Loaded(NamedTuple):
    """An item, and where the dataset has it."""

    table: Items
    split: str
    row: int
    item: Any

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"item {self.row} of {self.table.modality} in {self.split}"


@dataclass(frozen=True, eq=False)
class Built:
    """A dataset over its example, for checks that change nothing: some take seconds to build."""

    config: Config
    dataset: Dataset

    @cached_property
    def tables(self) -> list[tuple[str, Items]]:
        """Split and items of every modality that has some there."""
        return list(tables_of(self.dataset))

    @cached_property
    def loaded(self) -> list[Loaded]:
        """Every item that can be loaded."""
        return [found for found in self._attempts if not isinstance(found.item, Exception)]

    @cached_property
    def failures(self) -> list[Loaded]:
        """Every item that cannot, with the exception in its place."""
        return [found for found in self._attempts if isinstance(found.item, Exception)]

    @cached_property
    def _attempts(self) -> list[Loaded]:
        return [
            Loaded(table, split, row, _try(table, row)) for split, table in self.tables for row in range(len(table))
        ]


@lru_cache(maxsize=1)
def built(subject: DatasetSubject) -> Built:
    """The dataset over its example; the same one until another subject is asked for."""
    folder = Path(mkdtemp(prefix="geobind-check-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config = subject.write(folder)
    return Built(config, subject.build(config))


def tables_of(dataset: Dataset) -> Iterator[tuple[str, Items]]:
    """Split and items of every modality that has some there."""
    for modality in dataset.modalities:
        for split in SPLITS:
            if len(items := dataset.items(modality, split)):
                yield split, items


def files_to_damage(folder: Path) -> list[Path]:
    """The files below a folder; of many files of one kind the first few."""
    kinds: dict[tuple[Path, str], list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        kinds.setdefault((path.parent, path.suffix), []).append(path)
    return [path for paths in kinds.values() for path in paths[:EACH]]


def repeat_rows(path: Path) -> bool:
    """Let a table hold each of its rows twice; False for a file that is no table."""
    return _change_rows(path, lambda rows: [row for row in rows for _ in range(2)])


def drop_last_row(path: Path) -> bool:
    """Take the last row out of a table; False for a file that is no table."""
    return _change_rows(path, lambda rows: rows[:-1])


def _change_rows(path: Path, change: Any) -> bool:
    suffix = path.suffix.lower()
    if suffix in PARQUET:
        table = pa.parquet.read_table(path)
        pa.parquet.write_table(table.take(pa.array(change(list(range(table.num_rows))))), path)
    elif suffix in TABLES:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        head = TABLES[suffix]
        path.write_text("".join(lines[:head] + change(lines[head:])), encoding="utf-8")
    else:
        return False
    return True


def _try(table: Items, row: int) -> Any:
    try:
        return table[row]
    except Exception as error:  # a stranger's loader: a check of its own tells of it
        return error

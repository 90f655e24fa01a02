"""The manifest dataset: a CSV or Parquet table of places (wide) or of items (long).

A bad row is an error that names it; with ``strict: false`` it is skipped, counted and listed instead.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from geobind.data.geo import check_lat_lon
from geobind.data.items import SPLITS, Dataset, Items
from geobind.data.repeats import first_equal_rows
from geobind.data.splits import split_by_blocks
from geobind.errors import DataError, nearest
from geobind.weights import file_sha256

if TYPE_CHECKING:
    from geobind.builtin import ManifestConfig, ManifestItems


@dataclass(frozen=True)
class _Stored:
    """Loads item ``i`` of a column that holds the items themselves: paths, texts or coordinates.

    An Arrow column has no object per item: forked worker processes share its memory, where a list would be copied
    page by page as its elements are counted.
    """

    values: pa.Array
    wrap: Callable[[Any], Any]

    @classmethod
    def of(cls, values: list[Any]) -> _Stored:
        if values and isinstance(values[0], Path):
            return cls(pa.array(map(str, values)), Path)
        return cls(pa.array(values), tuple if values and isinstance(values[0], tuple) else str)

    def __call__(self, index: int) -> Any:
        return self.wrap(self.values[index].as_py())


class ManifestDataset(Dataset):
    """Items read off a table; see :class:`geobind.builtin.ManifestConfig` for what it may hold.

    Raises:
        DataError: The file or a column does not exist, or (``strict``) a row is unusable or repeats another.
    """

    def __init__(self, config: ManifestConfig) -> None:
        self.config = config
        self.modalities = tuple(config.items)
        texts = [how.column or modality for modality, how in config.items.items() if how.text]
        self.table = read_table(config.path, config.delimiter, texts)
        self.root = config.root or config.path.parent
        self._skipped: list[str] = []
        self._cache: dict[str, dict[str, Items]] = {}
        wanted = [config.id, config.split, config.group, config.lat, config.lon, *config.tags]
        for item in config.items.values():
            wanted += [item.lat, item.lon, *item.where]
        self._require([column for column in wanted if column])
        self._repeated = self._told_repeats()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the config and of the table's and pair files' bytes."""
        parts = [json.dumps(self.config.model_dump(mode="json"), sort_keys=True), file_sha256(self.config.path)]
        parts += [file_sha256(self._beside(pairs.path)) for pairs in self.config.pairs]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def items(self, modality: str, split: str) -> Items:
        """The usable rows of one modality in one split."""
        if modality not in self.config.items:
            raise DataError(
                f"the manifest holds no {modality!r}",
                where=str(self.config.path),
                fix=nearest(modality, self.modalities),
            )
        if modality not in self._cache:
            self._cache[modality] = self._read(modality, self.config.items[modality])
        return self._cache[modality][split]

    def origin(self, a: str, b: str) -> str:
        """As the config says: the pair file's words, the modalities' own, or the table's."""
        for pairs in self.config.pairs:
            if set(pairs.columns) == {a, b}:
                return pairs.origin
        words = [self.config.origins[m] for m in (a, b) if m in self.config.origins]
        return "; ".join(dict.fromkeys(words)) or self.config.origin

    def listed_pairs(self, a: str, b: str, split: str) -> NDArray[np.str_] | None:
        """Rows of the pair files that hold both modalities."""
        found = []
        for pairs in self.config.pairs:
            if set(pairs.columns) == {a, b} and split in pairs.splits:
                path = self._beside(pairs.path)
                table = read_table(path)
                for column in pairs.columns.values():
                    _require_column(table, column, path)
                ids = [as_strings(table[pairs.columns[modality]]) for modality in (a, b)]
                found.append(np.stack(ids, axis=1))
        return np.concatenate(found) if found else None

    def skipped(self) -> list[str]:
        """One line per row left out."""
        return list(self._skipped)

    # -- reading -----------------------------------------------------------------------------------

    def _told_repeats(self) -> NDArray[np.bool_]:
        """Which rows are to be left out ``[N]``, since an earlier one equals them in every column."""
        first = first_equal_rows(self.table)
        repeated: NDArray[np.bool_] = first != np.arange(len(first))
        for row in np.flatnonzero(repeated).tolist():
            error = DataError(
                f"row {row + 2} repeats row {first[row] + 2}: they are equal in every column",
                where=f"{self.config.path}:{row + 2}",
                fix="Drop one of the two, or skip such rows with `strict: false`.",
            )
            if self.config.strict:
                raise error
            self._skipped.append(str(error))
        return repeated

    def _read(self, modality: str, how: ManifestItems) -> dict[str, Items]:
        rows = self._rows_of(how)
        values: list[Any] = []
        kept: list[int] = []
        for row, found in zip(rows.tolist(), self._values(modality, how, rows), strict=True):
            try:
                usable = self._usable(found, how, row)
            except DataError as error:
                if self.config.strict:
                    raise
                self._skipped.append(str(error))
                continue
            values += usable
            kept += [row] * len(usable)
        at = np.asarray(kept, dtype=np.int64)
        items = Items(
            modality=modality,
            load=_Stored.of(values),
            place=self._ids[at],
            key=np.array([_key(value) for value in values], dtype=np.str_),
            group=None if self.config.group is None else as_strings(self.table[self.config.group])[at],
            lat_lon=None if self._lat_lon is None else self._lat_lon[at],
            tags={tag: as_strings(self.table[tag])[at] for tag in self.config.tags},
            files=not (how.text or (how.lat and how.lon)),
        )
        return {split: items.take(np.flatnonzero(self._splits[at] == split)) for split in SPLITS}

    def _rows_of(self, how: ManifestItems) -> NDArray[np.int64]:
        mask = ~self._repeated
        for column, value in how.where.items():
            mask &= as_strings(self.table[column]) == value
        return np.flatnonzero(mask)

    def _values(self, modality: str, how: ManifestItems, rows: NDArray[np.int64]) -> list[Any]:
        taken = self.table.take(pa.array(rows))
        if how.lat and how.lon:
            return list(zip(taken[how.lat].to_pylist(), taken[how.lon].to_pylist(), strict=True))
        column = how.column or (modality if modality in self.table.column_names else "path")
        self._require([column])
        return list(taken[column].to_pylist())

    def _usable(self, value: Any, how: ManifestItems, row: int) -> list[Any]:
        """The items of one cell: none for an empty cell, several for a list of texts."""
        where = f"{self.config.path}:{row + 2}, id {str(self._ids[row])!r}"
        if how.lat and how.lon:
            if _missing(value[0]) and _missing(value[1]):
                return []
            return [check_lat_lon(*value, where=where)]
        if _missing(value):
            return []
        if how.text:
            return [text for text in _texts(value) if text.strip()]
        path = self.root / str(value)
        if not path.is_file():
            fix = "Mend the row or `root`, or skip such rows with `strict: false`."
            raise DataError(f"file {str(path)!r} does not exist", where=where, fix=fix)
        return [path]

    @cached_property
    def _ids(self) -> NDArray[np.str_]:
        if self.config.id is None:
            return np.arange(self.table.num_rows).astype(np.str_)
        return as_strings(self.table[self.config.id])

    @cached_property
    def _lat_lon(self) -> NDArray[np.float64] | None:
        if not (self.config.lat and self.config.lon):
            return None
        columns = (self.config.lat, self.config.lon)
        return np.stack([self._degrees(column) for column in columns], axis=1)

    def _degrees(self, column: str) -> NDArray[np.float64]:
        out = np.full(self.table.num_rows, np.nan)
        for row, value in enumerate(self.table[column].to_pylist()):
            if _missing(value):
                continue
            try:
                out[row] = float(value)
            except ValueError:
                where = f"{self.config.path}:{row + 2}, column {column!r}"
                raise DataError(f"{value!r} is not a number of degrees", where=where, fix="Mend the row.") from None
        return out

    @cached_property
    def _splits(self) -> NDArray[np.str_]:
        if self.config.split is not None:
            return as_strings(self.table[self.config.split])
        if self._lat_lon is None:
            raise DataError(
                "the manifest has neither a split column nor coordinates",
                where=str(self.config.path),
                fix="Name `split`, or `lat` and `lon` to split by spatial blocks; random splits leak near places.",
            )
        return split_by_blocks(
            self._lat_lon,
            degrees=self.config.block_deg,
            fractions=self.config.fractions,
            seed=self.config.seed,
        )

    def _beside(self, path: Path) -> Path:
        return path if path.is_absolute() else self.config.path.parent / path

    def _require(self, columns: list[str]) -> None:
        for column in columns:
            _require_column(self.table, column, self.config.path)


def build(config: ManifestConfig) -> ManifestDataset:
    """Builder of the ``manifest`` spec."""
    return ManifestDataset(config)


def read_table(path: Path, delimiter: str = ",", texts: Sequence[str] = ()) -> pa.Table:
    """Read a CSV or Parquet (also GeoParquet) file.

    Args:
        path: Parquet by its name, else CSV.
        delimiter: Of the fields of a CSV file.
        texts: Columns of a CSV file that are kept as they stand there, so that ``007`` stays that.

    Raises:
        DataError: It does not exist, cannot be parsed, is no UTF-8, or names a column twice.
    """
    if not path.is_file():
        raise DataError(
            f"manifest {str(path)!r} does not exist",
            fix="Mend the dataset's path in the recipe, or give it with `--set stages.NAME.dataset.path=…`.",
        )
    try:
        if path.suffix.lower() in (".parquet", ".geoparquet", ".pq"):
            table = pa.parquet.read_table(path)
        else:
            how = pa.csv.ParseOptions(newlines_in_values=True, delimiter=delimiter)
            as_texts = pa.csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()))
            table = pa.csv.read_csv(path, parse_options=how, convert_options=as_texts)
            _require_utf8(table, path)
    except (ValueError, OSError) as error:  # Arrow's own are among them
        raise DataError(f"manifest {str(path)!r} cannot be read: {error}", fix="Check its format.") from error
    names = table.column_names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"column {twice[0]!r} stands twice", where=str(path), fix="Rename one of the two.")
    return table


def _require_utf8(table: pa.Table, path: Path) -> None:
    """Refuse texts in another encoding, which pyarrow gives as bytes."""
    for name, kind in zip(table.column_names, table.schema.types, strict=True):
        if pa.types.is_binary(kind):
            raise DataError(f"column {name!r} is not UTF-8", where=str(path), fix="Save the table as UTF-8.")


def _require_column(table: pa.Table, column: str, path: Path) -> None:
    if column not in table.column_names:
        raise DataError(f"no column {column!r}", where=str(path), fix=nearest(column, table.column_names))


def as_strings(column: pa.ChunkedArray) -> NDArray[np.str_]:
    """The cells of a column as texts ``[N]``, empty where a cell is."""
    return np.array(["" if value is None else str(value) for value in column.to_pylist()], dtype=np.str_)


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and np.isnan(value))


def _texts(value: Any) -> list[str]:
    """One text, a list column's texts, or a JSON list of texts."""
    if isinstance(value, list):
        return [str(text) for text in value if text]
    value = str(value)
    if value.lstrip().startswith("["):
        try:
            parsed = json.loads(value)
        except json.JSONDecodeError:
            return [value]
        return [str(text) for text in parsed]
    return [value]


def _key(value: Any) -> str:
    """What makes an item itself: a file's resolved path, or the value."""
    return str(value.resolve() if isinstance(value, Path) else value)

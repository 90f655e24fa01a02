"""A user's long table, a row per place and day, as a series per place."""

import csv
import re
from pathlib import Path

import geobind
import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray
from pyarrow import parquet

FIX = "A row is a place, a date such as 2020-12-31, and numbers, empty where missing (CSV in UTF-8, or .parquet)."


def read_table(path: Path) -> dict[str, NDArray[np.float32]]:
    """Place → float32 ``[days, channels]`` from 1 January of its first year to its last day; NaN where missing.

    Raises:
        DataError: It cannot be read, or a row makes no sense; with the file's line, or a Parquet file's row from 1 on.
    """
    is_csv = path.suffix != ".parquet"
    try:
        table = arrow_table(path, is_csv)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        row = re.search(r"Row #(\d+)", str(error))
        raise geobind.DataError(f"{error}", where=f"{path}:{row[1]}" if row else str(path), fix=FIX) from error
    place = np.asarray(table["place"].fill_null("").to_pylist(), dtype=np.str_)
    day = table["date"].to_numpy().astype("datetime64[D]")
    values = np.column_stack([table[name].to_numpy() for name in table.column_names[2:]]).astype(np.float32)
    senseless = (place == "") | np.isnat(day) | np.isinf(values).any(axis=1)
    names, code = np.unique(place, return_inverse=True)
    order = np.lexsort((day, code))
    repeated = order[1:][(np.diff(code[order]) == 0) & (np.diff(day[order]) == np.timedelta64(0))]
    for rows, what in ((np.flatnonzero(senseless), "no place, no date, or infinity"), (repeated, "repeats a day")):
        if len(rows):
            where = f"{path}:{rows[0] + 2}" if is_csv else f"{path}, row {rows[0] + 1}"
            raise geobind.DataError(f"{what}: place '{place[rows[0]]}', {day[rows[0]]}", where=where, fix=FIX)
    series: dict[str, NDArray[np.float32]] = {}
    if not len(order):
        return series
    for name, rows in zip(names, np.split(order, np.flatnonzero(np.diff(code[order])) + 1), strict=True):
        at = (day[rows] - day[rows[0]].astype("datetime64[Y]")).astype(int)  # days since 1 January
        series[str(name)] = np.full((at[-1] + 1, values.shape[1]), np.nan, dtype=np.float32)
        series[str(name)][at] = values[rows]
    return series


def arrow_table(path: Path, is_csv: bool) -> pa.Table:
    """The columns place (text), date (days), and the others (float64) in the order of the file."""
    if is_csv:
        with path.open(newline="", encoding="utf-8-sig") as file:
            names = next(csv.reader(file), [])
    else:
        names = parquet.read_schema(path).names
    channels = [name for name in names if name not in ("place", "date")]
    if not channels or len(names) != len({*channels, "place", "date"}):
        raise ValueError(f"the columns are {', '.join(names) or 'none'}; they must be place, date, and one a channel")
    types = pa.schema([("place", pa.string()), ("date", pa.date32()), *((name, pa.float64()) for name in channels)])
    if not is_csv:
        return parquet.read_table(path).select(types.names).cast(types)
    return arrow_csv.read_csv(
        path,
        arrow_csv.ReadOptions(use_threads=False),  # so that errors name the row
        arrow_csv.ParseOptions(ignore_empty_lines=False),  # so that rows are lines
        arrow_csv.ConvertOptions(column_types=types, include_columns=types.names),
    )

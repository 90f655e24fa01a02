"""Rows of a table that repeat an earlier one. Shapes: N rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def first_equal_rows(table: pa.Table) -> NDArray[np.int64]:
    """The first row that equals each row in every column: its own number where no earlier one does, ``[N]``.

    Missing values equal each other, and so do NaN.
    """
    first = np.zeros(table.num_rows, dtype=np.int64)
    for column in table.columns:
        distinct, codes = _codes(column)
        if distinct == len(first):
            return np.arange(len(first))
        _, at, which = np.unique(first * distinct + codes, return_index=True, return_inverse=True)
        first = at[which]
    return first


def _codes(column: pa.ChunkedArray) -> tuple[int, NDArray[np.int64]]:
    """How many distinct values a column has, and the number of each row's ``[N]``."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_nested(column.type) or pa.types.is_null(column.type):  # Arrow has no dictionary of lists
        column = pa.chunked_array([pa.array(map(repr, column.to_pylist()), pa.string())])
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    return len(encoded.dictionary), encoded.indices.to_numpy().astype(np.int64)

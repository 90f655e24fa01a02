"""What one series is: how it is read, and shown in a line."""

from pathlib import Path
from typing import Any

import geobind
import numpy as np
from numpy.typing import NDArray


def read(item: Any) -> NDArray[np.float32]:
    """An array, or the path of a `.npy` file, as float32 ``[days, channels]`` with NaN where a value is missing.

    Raises:
        DataError: It cannot be read, is no such array or empty, holds infinity, or nothing but NaN.
    """
    where = f"timeseries item, {item if isinstance(item, str | Path) else type(item).__name__}"
    try:
        array = np.asarray(np.load(item) if isinstance(item, str | Path) else item, dtype=np.float32)
    except (OSError, EOFError, TypeError, ValueError) as error:
        raise geobind.DataError(f"it is no array of numbers: {error}", where=where, fix="Make a .npy file.") from error
    if array.ndim != 2 or not array.size:
        raise geobind.DataError(f"its shape is {array.shape}", where=where, fix="Make it [days, channels].")
    if np.isinf(array).any():
        raise geobind.DataError("it holds infinity", where=where, fix="Write NaN where a value is missing.")
    if np.isnan(array).all():
        raise geobind.DataError("every value is missing", where=where, fix="Leave it out.")
    return array


def preview(item: Any) -> str:
    """Length, gaps and range, for reports."""
    array = read(item)
    gaps = int(np.isnan(array).all(axis=1).sum())
    return f"{len(array)} days, {gaps} missing, {np.nanmin(array):.1f} … {np.nanmax(array):.1f}"

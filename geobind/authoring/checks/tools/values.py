"""Items of any modality, compared and searched for numbers: arrays, tuples, mappings, pictures, texts, paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def alike(a: Any, b: Any) -> bool:
    """Whether two items are of one type and equal throughout; NaN equals NaN."""
    if type(a) is not type(b):
        return False
    if hasattr(a, "__array__"):
        x, y = np.asarray(a), np.asarray(b)
        return bool(x.dtype == y.dtype and np.array_equal(x, y, equal_nan=x.dtype.kind in "fc"))
    if isinstance(a, float) and isinstance(b, float):
        return a == b or bool(np.isnan(a) and np.isnan(b))
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if is_dataclass(a):
        return all(alike(getattr(a, field.name), getattr(b, field.name)) for field in fields(a))
    return bool(a == b)


def numbers(item: Any) -> Iterator[NDArray[Any]]:
    """Every array and number that an item holds, as arrays; pictures hold none that anyone takes a unit of."""
    if isinstance(item, Image.Image | str | bytes):
        return
    if isinstance(item, Mapping):
        for value in item.values():
            yield from numbers(value)
    elif isinstance(item, list | tuple):
        for value in item:
            yield from numbers(value)
    elif is_dataclass(item) and not isinstance(item, type):
        for field in fields(item):
            yield from numbers(getattr(item, field.name))
    elif hasattr(item, "__array__") or isinstance(item, bool | int | float | complex):
        array = np.asarray(item)
        if array.dtype.kind in "biufc":
            yield array


def finite(item: Any) -> bool:
    """Whether an item holds neither NaN nor an infinity."""
    return all(np.isfinite(array).all() for array in numbers(item))

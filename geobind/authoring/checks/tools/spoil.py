"""Make bad items out of good ones, by their Python type, and ask that an encoder refuses them."""

from __future__ import annotations

import itertools
import math
import os
import pickle
import warnings
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Literal

from geobind.authoring.checks.check import require
from geobind.authoring.checks.subjects import EncoderSubject
from geobind.authoring.checks.tools.samples import prepare
from geobind.errors import DataError, MissingPackage

Fault = Literal["empty", "all_nan", "one_nan", "infinite", "damaged", "other"]
"""Nothing in it · no number in it · a NaN among numbers · an infinity · a file that is absent or no such file · not an
item at all."""
AT_ONE_PLACE = ("one_nan", "infinite")
"""What a crop in training may leave out."""
GARBAGE = Random(0).randbytes(512)  # noqa: S311 - any bytes
"""What a damaged file holds."""


@dataclass(frozen=True, slots=True)
class Spoilt:
    """An item that nobody can embed."""

    fault: Fault
    what: str
    """What was done to it, in words."""
    item: Any


def spoil(item: Any, folder: Path) -> Iterator[Spoilt]:
    """Bad items, of each fault that this kind of item can have.

    Arrays and tensors lose their rows or get NaN; numbers, and sequences and mappings of them, likewise; texts become
    blank; pictures lose their pixels; files are absent, empty or garbage. What a tuple or mapping holds is spoilt one
    after the other, but texts in it are left alone.

    Args:
        item: A good item; it is not changed.
        folder: Where damaged files are written.
    """
    yield Spoilt("other", "None", None)
    yield Spoilt("other", "an object of no type", object())
    yield from _of(item, folder)


def require_refusal(subject: EncoderSubject, fault: Fault) -> None:
    """Every item of the fault must raise a DataError: it alone lets a run leave out the item and go on."""
    encoder = subject.build()
    kinds = {type(item): item for item in subject.items()}
    with TemporaryDirectory(prefix="geobind-check-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bad = [one for item in kinds.values() for one in spoil(item, Path(folder)) if one.fault == fault]
        for one, train in itertools.product(bad, (False,) if fault in AT_ONE_PLACE else (False, True)):
            what = f"{one.what} as item, with train={train}:"
            advice = "Look at the item first, and raise geobind.DataError(what, fix=…)."
            try:
                prepare(encoder, [one.item], train=train)
            except DataError as error:
                require(bool(error.fix), f"{what} {error!r} has no remedy", "Give it a fix=.")
                require(
                    _travels(error),
                    f"{what} {error!r} does not come back from a worker process",
                    "Raise geobind.DataError itself.",
                )
            except MissingPackage:
                raise
            except Exception as error:
                require(False, f"{what} preprocess raised {type(error).__name__}: {str(error).rstrip('.')}", advice)
            else:
                require(False, f"{what} preprocess made tensors of it", advice)


def _travels(error: Exception) -> bool:
    try:
        return str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - of this process
    except Exception:
        return False


def _of(item: Any, folder: Path) -> Iterator[Spoilt]:
    from numpy import ndarray
    from PIL.Image import Image
    from torch import Tensor

    # Path.is_file() would raise for a text that is too long to be a name.
    if isinstance(item, Path) or (isinstance(item, str) and os.path.isfile(item)):  # noqa: PTH113
        yield from _of_file(Path(item), type(item), folder)
    elif isinstance(item, str):
        yield Spoilt("empty", "an empty text", "")
        yield Spoilt("empty", "a blank text", " \n")
    elif isinstance(item, ndarray | Tensor):
        yield from _of_array(item)
    elif isinstance(item, Image):
        yield Spoilt("empty", "a picture without pixels", item.crop((0, 0, 0, 0)))
    elif _is_number(item):
        yield Spoilt("all_nan", "NaN", math.nan)
        yield Spoilt("infinite", "an infinite number", math.inf)
    elif isinstance(item, Mapping):
        kind: Any = type(item)
        yield Spoilt("empty", f"an empty {kind.__name__}", kind())
        yield from _of_parts(dict(item), kind, folder)
    elif isinstance(item, list | tuple):
        rebuild = getattr(type(item), "_make", type(item))  # a named tuple takes its fields one by one
        if not hasattr(type(item), "_make"):
            yield Spoilt("empty", f"an empty {type(item).__name__}", type(item)())
        yield from _of_parts(dict(enumerate(item)), lambda parts: rebuild(parts.values()), folder)


def _of_parts(parts: dict[Any, Any], rebuild: Any, folder: Path) -> Iterator[Spoilt]:
    """A container: all its numbers at once, where it holds nothing else, then its first and its last part."""
    numbers = [key for key, part in parts.items() if _is_number(part)]
    if numbers and len(numbers) == len(parts):
        yield Spoilt("all_nan", "NaN for every number", rebuild(dict.fromkeys(parts, math.nan)))
    others = [key for key, part in parts.items() if not isinstance(part, str)]
    for key in dict.fromkeys([*others[:1], *others[-1:]]):
        for bad in _of(parts[key], folder):
            fault = "one_nan" if key in numbers and bad.fault == "all_nan" else bad.fault
            yield Spoilt(fault, f"{bad.what} at {key!r}", rebuild({**parts, key: bad.item}))


def _of_array(array: Any) -> Iterator[Spoilt]:
    if array.ndim:
        yield Spoilt("empty", f"an array {[0, *array.shape[1:]]}", array[:0])
    if not (array.is_floating_point() if hasattr(array, "is_floating_point") else array.dtype.kind == "f"):
        return
    flaws: tuple[tuple[Fault, str, float, Any], ...] = (
        ("all_nan", "NaN everywhere", math.nan, slice(None)),
        ("one_nan", "one NaN", math.nan, -1),
        ("infinite", "one infinite number", math.inf, 0),
    )
    for fault, what, value, place in flaws:
        flat = deepcopy(array).reshape(-1)
        flat[place] = value
        yield Spoilt(fault, what, flat.reshape(array.shape))


def _of_file(path: Path, kind: Any, folder: Path) -> Iterator[Spoilt]:
    empty, garbage = folder / f"empty{path.suffix}", folder / f"garbage{path.suffix}"
    empty.write_bytes(b"")
    garbage.write_bytes(GARBAGE)
    yield Spoilt("damaged", "a file that does not exist", kind(folder / f"absent{path.suffix}"))
    yield Spoilt("damaged", "an empty file", kind(empty))
    yield Spoilt("damaged", "a file of random bytes", kind(garbage))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)

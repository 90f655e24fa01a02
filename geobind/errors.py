"""The errors a user may see: what happened, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any


class GeobindError(Exception):
    """A mistake that its reader can mend; the CLI prints it as one paragraph and exits with 2.

    Args:
        what: What happened, with the offending value.
        where: File and line, row id or key; empty when there is no such place.
        fix: What to do, best as a command or a corrected value.
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        place = f" ({where})" if where else ""
        remedy = f" {fix}" if fix else ""
        super().__init__(f"{what}{place}.{remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments: without this an error could not come back from a worker process.
        return (_rebuild, (type(self), self.what, self.where, self.fix))


def _rebuild(kind: type[GeobindError], what: str, where: str, fix: str) -> GeobindError:
    return kind(what, where=where, fix=fix)


class RecipeError(GeobindError):
    """A recipe, or a value given by ``--set``, that cannot be used."""


class PluginError(GeobindError):
    """A plugin that is absent, broken, or lacks what a recipe asked of it."""


class MissingPackage(PluginError):
    """A package that a plugin needs for what was asked, and that is not installed."""


class DataError(GeobindError):
    """An item, row or file that cannot be read or makes no sense."""


class SpaceError(GeobindError):
    """A space folder that cannot be loaded, or towers that do not belong together."""


class WeightsError(GeobindError):
    """Weights that are missing, altered, or not safe to load."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A closing sentence for an unknown name: the closest known one, then all of them."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {', '.join(names) or 'none'}."


def explain(item: dict[str, Any], known: Iterable[str]) -> str:
    """One entry of pydantic's ``ValidationError.errors()`` in words, with the nearest key for an unknown one."""
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"unknown key {key!r}. {nearest(str(item['loc'][-1]), known).rstrip('.')}"
    if item["type"] == "missing":
        return f"key {key!r} is missing"
    message = item["msg"].removeprefix("Value error, ")
    return message if not key else f"{key} = {item['input']!r}: {message}"


@contextmanager
def needs(package: str, install: str) -> Iterator[None]:
    """Turn a failing import of an optional ``package`` into a sentence with the ``install`` command.

    Catches every exception, because a mismatched torch/torchvision pair fails with RuntimeError.
    """
    try:
        yield
    except GeobindError:
        raise
    except Exception as error:
        raise MissingPackage(
            f"{package} cannot be imported: {type(error).__name__}: {error}",
            fix=f"Install it with `{install}`; `geobind doctor` looks at the environment.",
        ) from error

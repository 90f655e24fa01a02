"""What every dataset makes of files that are missing, empty, garbage or cut short: words and a remedy, or a list."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from geobind.authoring.checks.check import CheckFailed, check, require
from geobind.authoring.checks.subjects import DatasetSubject
from geobind.authoring.checks.tools.example_data import files_to_damage, repeat_rows, tables_of
from geobind.authoring.checks.tools.spoil import GARBAGE
from geobind.authoring.checks.tools.values import alike, finite
from geobind.errors import GeobindError, MissingPackage
from geobind.modality import Config

REMEDY = "Raise a DataError with `where=` and `fix=`, or leave the item out and list it in `skipped()`."


@check(DatasetSubject)
def missing_files_are_told(subject: DatasetSubject) -> None:
    """Without any of its files it raises a GeobindError with a remedy; without one of them, too, or goes on."""
    _bear(subject, Path.unlink, "is missing", fewer=True)
    with TemporaryDirectory() as folder:
        config = subject.write(Path(folder))
        if not files_to_damage(Path(folder)):
            return  # it needs none
        shutil.rmtree(folder)
        Path(folder).mkdir()
        found = _attempt(subject, config, "everything in its folder is missing")
    require(found is None, f"without any of its files it holds {found and len(found.items)} items", REMEDY)


@check(DatasetSubject)
def empty_files_are_told(subject: DatasetSubject) -> None:
    """An empty file raises a GeobindError with a remedy, or what it should have held is listed as skipped."""
    _bear(subject, lambda path: path.write_bytes(b""), "is empty")


@check(DatasetSubject)
def garbage_files_are_told(subject: DatasetSubject) -> None:
    """A file of random bytes raises a GeobindError with a remedy, or what it should have held is listed as skipped."""
    _bear(subject, lambda path: path.write_bytes(GARBAGE), "holds random bytes")


@check(DatasetSubject)
def truncated_files_are_told(subject: DatasetSubject) -> None:
    """A file cut in half raises a GeobindError with a remedy, is listed as skipped, or still holds finite items."""
    _bear(subject, _cut, "is cut in half", fewer=True)


@check(DatasetSubject)
def repeated_rows_are_told(subject: DatasetSubject) -> None:
    """A table that holds each row twice raises a GeobindError with a remedy, or gives no more items than before."""
    for what, sound, found in _damaged(subject, repeat_rows, "holds each row twice"):
        require(
            len(found.items) <= len(sound.items),
            f"{what}, and {len(sound.items)} items become {len(found.items)}",
            "A row that repeats another is a mistake: raise a DataError that names both, or skip and list it.",
        )


@dataclass(frozen=True)
class Reading:
    """All that a dataset holds."""

    items: list[tuple[str, object]]
    """Key and item, in order."""
    skipped: list[str]

    @property
    def finite(self) -> bool:
        """Whether no item holds a NaN or an infinity."""
        return all(finite(item) for _, item in self.items)


def _bear(subject: DatasetSubject, damage: Callable[[Path], object], what: str, *, fewer: bool = False) -> None:
    """Damage one file of the example after the other, and see what the dataset makes of it.

    Args:
        subject: The dataset.
        damage: Spoils a file.
        what: What is wrong with it then.
        fewer: Whether what is left may be taken without a word, so long as it is finite.
    """
    for told, sound, found in _damaged(subject, damage, what):
        require(found.finite or not sound.finite, f"{told}, and an item holds a NaN or an infinity", REMEDY)
        # Items that are paths are as they were: what the file holds is for their encoder to judge.
        same = len(found.items) == len(sound.items) and all(map(alike, found.items, sound.items))
        require(
            fewer or same or bool(found.skipped),
            f"{told}, and it says nothing: {len(sound.items)} items become {len(found.items)}",
            REMEDY,
        )


def _damaged(
    subject: DatasetSubject, damage: Callable[[Path], object], what: str
) -> Iterator[tuple[str, Reading, Reading]]:
    """What the dataset held before and after a file was damaged, and that in words, for each that it did not refuse.

    Nothing at all, where the example has no files or cannot be read: other checks tell of that.
    """
    with TemporaryDirectory() as folder:
        config = subject.write(Path(folder))
        if not (files := files_to_damage(Path(folder))):
            return
        try:
            sound = _read(subject, config)
        except Exception:
            return
        for path in files:
            content, told = path.read_bytes(), f"{path.relative_to(folder)} {what}"
            if damage(path) is not False and (found := _attempt(subject, config, told)):
                yield told, sound, found
            path.write_bytes(content)


def _attempt(subject: DatasetSubject, config: Config, what: str) -> Reading | None:
    """All that the dataset holds, or None where it raises a GeobindError with a remedy."""
    try:
        return _read(subject, config)
    except MissingPackage:
        raise
    except GeobindError as error:
        require(bool(error.fix), f"{what}, and the error names no remedy: {error}", "Give it `fix=`.")
        return None
    except Exception as error:
        raise CheckFailed(f"{what}, and it raises {type(error).__name__}: {error}. {REMEDY}") from error


def _read(subject: DatasetSubject, config: Config) -> Reading:
    """Build, list and load."""
    dataset = subject.build(config)
    items = [(key, table[row]) for _, table in tables_of(dataset) for row, key in enumerate(table.key.tolist())]
    return Reading(items, dataset.skipped())


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])

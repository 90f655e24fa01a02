"""What any source of labelled items gives, and what is asked of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geobind.data.items import Dataset, Items
from geobind.errors import DataError, nearest
from geobind.evaluate.zeroshot.benchmarks import Benchmark, words

if TYPE_CHECKING:
    from geobind.space.space import Space


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A benchmark's items with their embeddings and classes."""

    items: Items
    vectors: NDArray[np.float32] = field(repr=False)
    """``[N, D]`` unit norm."""
    labels: NDArray[np.int64] = field(repr=False)
    """``[N]`` place of each item's class in ``classes``."""
    classes: Mapping[str, str]
    """Folder → words, in the order of the labels."""
    protocol: Mapping[str, str]
    """``data``, ``split`` and ``origin``, for the protocol."""
    where: str
    """Where the data lies, which the protocol leaves out: data is the same in any folder."""
    dataset: Dataset | None = None
    """Where the items are from, when it may hold the text the space was bound by."""


class Source(ABC):
    """Gives a benchmark its items."""

    @abstractmethod
    def read(self, space: Space, benchmark: Benchmark, modality: str) -> Labelled:
        """Find and embed the items of all classes.

        Raises:
            DataError: Data that is absent, or does not fit the benchmark's classes.
        """


def classes_of(benchmark: Benchmark, found: Sequence[str]) -> Mapping[str, str]:
    """The benchmark's classes, or those found in the data where it leaves them open.

    Raises:
        DataError: They are open and fewer than two were found.
    """
    if benchmark.classes != "folders":
        return benchmark.classes
    if len(found) < 2:
        raise DataError(
            f"{len(found)} classes were found; there must be two at least", fix=f"Expected: {benchmark.layout}"
        )
    return {folder: words(folder) for folder in found}


def check_complete(
    classes: Collection[str], files: Mapping[str, int], *, partial: bool, where: str, others: Collection[str] = ()
) -> None:
    """See that every class has items.

    Args:
        classes: Folders of the classes.
        files: Folder that was found → how many items it holds.
        partial: Let classes have none, if at least one has some.
        where: The data, for errors.
        others: What was found besides, for errors.

    Raises:
        DataError: Classes that were not found, with the found ones, or classes without items.
    """
    if partial and any(files.values()):
        return
    if missing := [folder for folder in classes if folder not in files]:
        found = nearest(missing[0], [*files, *others]).replace("Known:", "Found:")
        raise DataError(
            f"{len(missing)} of {len(classes)} classes are not in the data: {_some(missing)}",
            where=where,
            fix=f"{found} Rename what is there, or allow a part of the classes.",
        )
    if empty := [folder for folder in classes if not files[folder]]:
        raise DataError(
            f"classes without images: {_some(empty)}",
            where=where,
            fix="Bring them, or allow a part of the classes.",
        )


def numbered(labels: Sequence[str], classes: Collection[str]) -> NDArray[np.int64]:
    """``[N]``: the place of each item's class among the classes."""
    number = {folder: i for i, folder in enumerate(classes)}
    return np.array([number[label] for label in labels], dtype=np.int64)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")

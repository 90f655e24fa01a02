"""Items of one modality in one split, and the dataset that holds them.

An item belongs to a *place* (a row of a manifest, a drawn point of the globe) and perhaps to a *group* (a
scene class). That is all pairs need: two items are positives when they share their place, or their group.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geobind.errors import DataError

SPLITS = ("train", "val", "test")
"""The splits that every dataset has, though some may be empty."""


@dataclass(frozen=True, eq=False)
class Items(Sequence[Any]):
    """A table of N items of one modality. Indexing and iterating load items; everything else is at hand.

    :func:`dataclasses.replace` makes another modality's table at the same places, :meth:`take` one of some rows.

    Raises:
        DataError: Columns of unequal length.
    """

    modality: str
    load: Callable[[int], Any] = field(repr=False)
    """Row number → item, as the modality's encoders take it (path, array, string, (lat, lon))."""
    place: NDArray[np.str_] = field(repr=False)
    """``[N]`` id of the place each item belongs to; several items may share one (captions)."""
    key: NDArray[np.str_] = field(repr=False)
    """``[N]`` identity of the content: equal keys are equal items (a file's path, the caption itself).

    Features outlive the process under it, so a key without :attr:`files` must change when the item does."""
    group: NDArray[np.str_] | None = field(default=None, repr=False)
    """``[N]`` scene class or other group; the empty string for none."""
    lat_lon: NDArray[np.float64] | None = field(default=None, repr=False)
    """``[N, 2]`` degrees, NaN where unknown."""
    tags: dict[str, NDArray[np.str_]] = field(default_factory=dict, repr=False)
    """``[N]`` columns to take subsets by (source, country, …)."""
    files: bool = False
    """``key`` holds paths of files, and their bytes are the content."""
    kind: NDArray[np.str_] | None = field(default=None, repr=False)
    """``[N]`` what items must have in common to be trained in one batch, such as their bands; None where all may be."""

    def __post_init__(self) -> None:
        n = len(self.place)
        columns = {"key": self.key, "group": self.group, "lat_lon": self.lat_lon, "kind": self.kind, **self.tags}
        for name, column in columns.items():
            if column is not None and len(column) != n:
                raise DataError(f"column {name!r} has {len(column)} rows, place has {n}", where=self.modality)

    def __len__(self) -> int:
        return len(self.place)

    def __getitem__(self, index: Any) -> Any:
        return self.load(int(index))

    def take(self, rows: NDArray[np.int64]) -> Items:
        """The items at ``rows``, in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        return Items(
            modality=self.modality,
            load=_Rows(self.load, rows),
            place=self.place[rows],
            key=self.key[rows],
            group=None if self.group is None else self.group[rows],
            lat_lon=None if self.lat_lon is None else self.lat_lon[rows],
            tags={name: column[rows] for name, column in self.tags.items()},
            files=self.files,
            kind=None if self.kind is None else self.kind[rows],
        )


@dataclass(frozen=True)
class _Rows:
    """A picklable re-indexing, so that items can travel to worker processes."""

    load: Callable[[int], Any]
    rows: NDArray[np.int64]

    def __call__(self, index: int) -> Any:
        return self.load(int(self.rows[index]))


class Dataset(ABC):
    """What a dataset plugin builds: items per modality and split, and how their pairs came about."""

    modalities: tuple[str, ...]
    """The modalities it holds."""

    @abstractmethod
    def items(self, modality: str, split: str) -> Items:
        """The items of one modality in ``train``, ``val`` or ``test``; may be empty.

        Raises:
            DataError: A row that makes no sense, with its file and line.
        """

    @abstractmethod
    def origin(self, a: str, b: str) -> str:
        """How pairs of modalities ``a`` and ``b`` came about, in words that stand beside every number.

        For example ``"true location"``, ``"scene class"``, ``"synthesised"``.
        """

    def listed_pairs(self, a: str, b: str, split: str) -> NDArray[np.str_] | None:
        """Explicit pairs ``[P, 2]`` of place ids, for datasets that bring a pair file; None otherwise."""
        return None

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of what the dataset holds; results computed from equal fingerprints are comparable."""

    def skipped(self) -> list[str]:
        """Rows left out because they could not be used, one line each."""
        return []

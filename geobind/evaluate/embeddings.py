"""Embed what an evaluation needs: each distinct item once, however many pairs it takes part in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geobind.data.items import Dataset, Items
from geobind.errors import GeobindError
from geobind.evaluate.results import Side
from geobind.progress import track

if TYPE_CHECKING:
    from geobind.space.space import Space


class _Table(NamedTuple):
    """Distinct items and their embeddings."""

    keys: NDArray[np.str_]
    """``[U]`` sorted."""
    vectors: NDArray[np.float32]
    """``[U, D]``"""


class Embeddings:
    """Say first what will be needed, then ask for it; equal keys are equal items and share a row."""

    def __init__(self, space: Space, split: str) -> None:
        self._space, self._split = space, split
        self._needed: dict[tuple[int, str], list[NDArray[np.str_]]] = {}
        self._tables: dict[tuple[int, str], _Table | GeobindError] = {}

    def need(self, dataset: Dataset, items: Items) -> None:
        """Announce items of a dataset's split, so that they are embedded in one go."""
        self._needed.setdefault((id(dataset), items.modality), []).append(items.key)

    def side(self, dataset: Dataset, items: Items) -> Side:
        """Announced items with their embeddings.

        Raises:
            GeobindError: The modality cannot be embedded; tried once and said again to every pair that asks.
        """
        name = id(dataset), items.modality
        if name not in self._tables:
            try:
                self._tables[name] = self._embed(dataset, items.modality)
            except GeobindError as error:
                self._tables[name] = error
        table = self._tables[name]
        if isinstance(table, GeobindError):
            raise table
        return Side(items, table.vectors, np.searchsorted(table.keys, items.key))

    def _embed(self, dataset: Dataset, modality: str) -> _Table:
        everything = dataset.items(modality, self._split)
        keys, first = np.unique(everything.key, return_index=True)
        wanted = np.isin(keys, np.concatenate(self._needed[id(dataset), modality]))
        items = everything.take(first[wanted])
        with track(f"embed {modality}", len(items), "items") as advance:
            vectors = self._space.encode(modality, items, advance=advance)
        return _Table(keys[wanted], vectors)

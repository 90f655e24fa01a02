"""What is evaluated: a space with the data it is measured on. Each distinct item is embedded once for all questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from geobind.data.items import SPLITS, Dataset, Items
from geobind.data.pairs import Pairs, match
from geobind.errors import DataError, GeobindError, nearest
from geobind.evaluate.results import Side
from geobind.progress import say, track

if TYPE_CHECKING:
    from geobind.features.cache import FeatureCache
    from geobind.space.space import Space

BLOCK = 4096
"""Features that pass through a head at a time."""


def relation(space: Space, a: str, b: str) -> Literal["trained", "emergent"]:
    """Whether two modalities of a space were trained against each other."""
    return "trained" if frozenset((a, b)) in space.trained_pairs else "emergent"


class Planned(NamedTuple):
    """Where a pair of modalities is evaluated."""

    dataset: Dataset
    pairs: Pairs


class _Table(NamedTuple):
    """Distinct items and their embeddings."""

    keys: NDArray[np.str_]
    """``[U]`` sorted."""
    vectors: NDArray[np.float32]
    """``[U, D]``"""
    readable: NDArray[np.bool_]
    """``[U]``; the vector of an item that cannot be read is NaN and is not to be used."""


class Subject:
    """A space, the datasets it is measured on, and the embeddings of their items.

    Args:
        space: The space.
        datasets: Where items and pairs come from, in order of preference.
        split: ``train``, ``val`` or ``test``; what is asked about unless a question says otherwise.
        cache: Features of encoders on disk; None to run the encoders.
        radius_km: Items no farther apart are positives of each other; None for the rules of the data.

    Raises:
        GeobindError: An unknown split, no dataset, or a radius that is none.
    """

    def __init__(
        self,
        space: Space,
        datasets: Sequence[Dataset],
        *,
        split: str = "test",
        cache: FeatureCache | None = None,
        radius_km: float | None = None,
    ) -> None:
        if split not in SPLITS:
            raise GeobindError(f"unknown split {split!r}", fix=nearest(split, SPLITS))
        if not datasets:
            raise GeobindError("there is no dataset to evaluate on", fix="Bind a stage that has one.")
        if radius_km is not None and not radius_km > 0:
            raise GeobindError(f"a radius of {radius_km:g} km holds nothing", fix="Give one above 0.")
        self.space, self.datasets, self.split = space, tuple(datasets), split
        self.radius_km = radius_km
        self.cache = cache
        self._announced: dict[tuple[int, str, str], list[NDArray[np.str_]]] = {}
        self._tables: dict[tuple[int, str, str], _Table | GeobindError] = {}
        self.unreadable: dict[str, list[str]] = {}
        """Modality → why items of it could not be read, a line each."""

    @property
    def modalities(self) -> frozenset[str]:
        """What its datasets hold, in whatever split."""
        return frozenset(name for dataset in self.datasets for name in dataset.modalities)

    # -- items and pairs --------------------------------------------------------------------------

    def items(self, modality: str, split: str | None = None) -> tuple[Dataset, Items]:
        """The items of a modality in a split, from the first dataset that has any.

        Raises:
            DataError: None has.
        """
        split = split or self.split
        for dataset in self.datasets:
            if modality in dataset.modalities and len(found := dataset.items(modality, split)):
                return dataset, found
        raise DataError(f"no dataset holds {modality} items in the split {split!r}", fix="Choose another split.")

    def pairs(self, a: str, b: str) -> Planned:
        """The pairs of two modalities, from the first dataset whose split holds any.

        Raises:
            DataError: None does, with the reason.
        """
        reason = DataError(f"no dataset holds both {a} and {b}")
        for dataset in self.datasets:
            if {a, b} <= set(dataset.modalities):
                try:
                    if self.radius_km is not None:
                        from geobind.data.nearby import match_within

                        return Planned(dataset, match_within(dataset, a, b, self.split, self.radius_km))
                    return Planned(dataset, match(dataset, a, b, self.split))
                except DataError as error:
                    reason = error
        raise reason

    # -- embeddings -------------------------------------------------------------------------------

    def announce(self, dataset: Dataset, items: Items, split: str | None = None) -> None:
        """Say that items of a dataset's split will be asked for, so that they are embedded in one go."""
        self._announced.setdefault((id(dataset), items.modality, split or self.split), []).append(items.key)

    def side(self, dataset: Dataset, items: Items, split: str | None = None) -> Side:
        """Items of a dataset's split with their embeddings; that of an item that cannot be read is NaN.

        Raises:
            GeobindError: The modality cannot be embedded at all; tried once and said again whenever it is asked for.
        """
        name = id(dataset), items.modality, split or self.split
        table = self._tables.get(name)
        if table is None or (isinstance(table, _Table) and not np.isin(items.key, table.keys).all()):
            self.announce(dataset, items, split)
            try:
                table = self._embed(dataset, name)
            except GeobindError as error:
                table = error
            self._tables[name] = table
        if isinstance(table, GeobindError):
            raise table
        return Side(items, table.vectors, np.searchsorted(table.keys, items.key))

    def embedded(self, modality: str, split: str | None = None) -> Side:
        """All readable items of a modality in a split, with their embeddings.

        Raises:
            GeobindError: There are none, or they cannot be embedded.
        """
        dataset, items = self.items(modality, split)
        side = self.side(dataset, items, split)
        kept = np.flatnonzero(~self._lost(dataset, side, split))
        if not len(kept):
            raise DataError(f"none of the {len(items):,} {modality} items can be read")
        return side if len(kept) == len(items) else Side(items.take(kept), side.table, side.rows[kept])

    def readable(self, dataset: Dataset, pairs: Pairs) -> tuple[Pairs, Side, Side]:
        """Pairs without the items that cannot be read, and both their sides.

        Raises:
            GeobindError: A side cannot be embedded, or no pair is left.
        """
        sides = self.side(dataset, pairs.a), self.side(dataset, pairs.b)
        lost = [np.flatnonzero(self._lost(dataset, side)) for side in sides]
        if not any(map(len, lost)):
            return pairs, *sides
        kept, rows_a, rows_b = pairs.without(lost[0].tolist(), lost[1].tolist())
        return (
            kept,
            Side(kept.a, sides[0].table, sides[0].rows[rows_a]),
            Side(kept.b, sides[1].table, sides[1].rows[rows_b]),
        )

    def _lost(self, dataset: Dataset, side: Side, split: str | None = None) -> NDArray[np.bool_]:
        """``[N]``: which items of a side cannot be read."""
        table = self._tables[id(dataset), side.items.modality, split or self.split]
        assert isinstance(table, _Table)  # noqa: S101 — else there were no side
        return ~table.readable[side.rows]

    def _embed(self, dataset: Dataset, name: tuple[int, str, str]) -> _Table:
        _, modality, split = name
        everything = dataset.items(modality, split)
        keys, first = np.unique(everything.key, return_index=True)
        wanted = np.isin(keys, np.concatenate(self._announced[name]))
        items = everything.take(first[wanted])
        return _Table(keys[wanted], *self._encode(modality, items))

    def _encode(self, modality: str, items: Items) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Embed items, and say which could be: by stored features where there is a cache, else by the whole tower."""
        readable = np.ones(len(items), dtype=bool)
        if self.cache is None:
            with track(f"embed {modality}", len(items), "items") as advance:
                return self.space.encode(modality, items, advance=advance), readable
        tower = self.space.tower(modality)
        features = self.cache.features(tower.encoder, items)
        if features.unreadable:
            self.unreadable[modality] = list(features.unreadable.values())
            say(f"left out {len(features.unreadable)} {modality} items; the first: {self.unreadable[modality][0]}")
            readable[list(features.unreadable)] = False
        vectors = np.full((len(items), self.space.dim), np.nan, dtype=np.float32)
        rows = np.flatnonzero(readable)
        with torch.inference_mode():
            for start in range(0, len(rows), BLOCK):
                part = rows[start : start + BLOCK]
                vectors[part] = tower.project(features.gather(part).to(self.space.device)).cpu().numpy()
        return vectors, readable

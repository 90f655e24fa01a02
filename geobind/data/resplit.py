"""Another split of a dataset that has one: at random, or by spatial blocks; for asking what the split itself does.

Shapes: N items, P places.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geobind.data.items import SPLITS, Dataset, Items
from geobind.data.splits import split_by_blocks
from geobind.errors import DataError, nearest

if TYPE_CHECKING:
    from geobind.builtin import ResplitConfig


class Places(NamedTuple):
    """All places of a dataset, and the split each has fallen to."""

    name: NDArray[np.str_]
    """``[P]`` sorted."""
    lat_lon: NDArray[np.float64]
    """``[P, 2]`` degrees, NaN where no item of the place says where it is."""
    split: NDArray[np.str_]
    """``[P]`` ``train``, ``val`` or ``test``; the empty string for what a limit leaves out."""


class Resplit(Dataset):
    """All items of a dataset, whatever their splits, split anew place by place.

    All items of a place stay together, in every modality: a place id must name the same place in all splits of the
    dataset. Under ``blocks`` a place that nobody has located falls to a split at random, for nothing says what it is
    near to. Listed pairs whose two places fall to different splits are lost.

    Args:
        inner: The dataset.
        config: How to split; ``config.dataset`` is what ``inner`` was built from.

    Raises:
        DataError: A modality that the dataset lacks, no place that has all of them, or blocks without coordinates.
    """

    def __init__(self, inner: Dataset, config: ResplitConfig) -> None:
        self.inner, self.config = inner, config
        self.modalities = config.modalities or tuple(inner.modalities)
        for name in self.modalities:
            if name not in inner.modalities:
                raise DataError(f"the dataset holds no {name!r} to split anew", fix=nearest(name, inner.modalities))
        self._pool = {name: _pooled([inner.items(name, split) for split in SPLITS]) for name in self.modalities}
        self.places = self._split()

    @property
    def sizes(self) -> dict[str, int]:
        """Split → how many places it has."""
        return {split: int((self.places.split == split).sum()) for split in SPLITS}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the dataset's own and of how it is split."""
        how = json.dumps(self.config.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(f"{self.inner.fingerprint}\n{how}".encode()).hexdigest()[:16]

    def items(self, modality: str, split: str) -> Items:
        """The items of one modality whose places have fallen to a split."""
        if modality not in self._pool:
            raise DataError(f"the dataset holds no {modality!r}", fix=nearest(modality, self.modalities))
        pool, places = self._pool[modality], self.places
        return pool.take(np.flatnonzero(np.isin(pool.place, places.name[places.split == split])))

    def origin(self, a: str, b: str) -> str:
        """As the dataset says."""
        return self.inner.origin(a, b)

    def listed_pairs(self, a: str, b: str, split: str) -> NDArray[np.str_] | None:
        """The pairs that the dataset lists for any split; those with a place outside of ``split`` find no items."""
        listed = [self.inner.listed_pairs(a, b, own) for own in SPLITS]
        found = [pairs for pairs in listed if pairs is not None]
        return np.unique(np.concatenate(found), axis=0) if found else None

    def skipped(self) -> list[str]:
        """As the dataset says."""
        return self.inner.skipped()

    def _split(self) -> Places:
        config = self.config
        names, lat_lon = _places(list(self._pool.values()), everywhere=bool(config.modalities))
        located = np.isfinite(lat_lon.sum(axis=1))
        if config.located:
            names, lat_lon, located = names[located], lat_lon[located], located[located]
        if not len(names):
            raise DataError(
                f"no place has {' and '.join(self.modalities)} items" + " and coordinates" * config.located,
                fix="Only items that share their place can be split place by place.",
            )
        order = np.random.default_rng(config.seed).permutation(len(names))
        splits = np.empty(len(names), dtype="<U5")
        drawn = order
        if config.by == "blocks":
            if not located.any():
                raise DataError(
                    "no item has coordinates: there is nothing to make spatial blocks of", fix="Split `by: random`."
                )
            splits[located] = split_by_blocks(
                lat_lon[located], degrees=config.degrees, fractions=config.fractions, seed=config.seed
            )
            drawn = order[~located[order]]
        edges = np.cumsum(config.fractions)[:-1] / sum(config.fractions)
        for split, rows in zip(SPLITS, np.split(drawn, np.round(edges * len(drawn)).astype(int)), strict=True):
            splits[rows] = split
        for split, most in config.limit.items():
            splits[order[splits[order] == split][most:]] = ""
        return Places(names, lat_lon, splits)


def _pooled(parts: Sequence[Items]) -> Items:
    """The items of several splits of one modality in one table."""
    parts = [part for part in parts if len(part)] or parts[:1]
    starts = np.cumsum([0, *map(len, parts)])
    groups = [np.full(len(part), "") if part.group is None else part.group for part in parts]
    kinds = [np.full(len(part), "") if part.kind is None else part.kind for part in parts]
    points = [np.full((len(part), 2), np.nan) if part.lat_lon is None else part.lat_lon for part in parts]
    return Items(
        modality=parts[0].modality,
        load=_Pool(tuple(part.load for part in parts), starts),
        place=np.concatenate([part.place for part in parts]),
        key=np.concatenate([part.key for part in parts]),
        group=np.concatenate(groups) if any(part.group is not None for part in parts) else None,
        lat_lon=np.concatenate(points) if any(part.lat_lon is not None for part in parts) else None,
        tags={tag: np.concatenate([part.tags[tag] for part in parts]) for tag in parts[0].tags},
        files=parts[0].files,
        kind=np.concatenate(kinds) if any(part.kind is not None for part in parts) else None,
    )


@dataclass(frozen=True)
class _Pool:
    """Loads row ``i`` of several tables laid end to end; picklable, so that items can travel to worker processes."""

    loads: tuple[Callable[[int], Any], ...]
    starts: NDArray[np.int64]

    def __call__(self, index: int) -> Any:
        part = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self.loads[part](index - int(self.starts[part]))


def _places(tables: Sequence[Items], *, everywhere: bool) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """The places that any table has items of (``everywhere``: all tables), and where the first item says they are."""
    names = np.unique(np.concatenate([items.place for items in tables]))
    if everywhere:
        for items in tables:
            names = np.intersect1d(names, items.place)
    lat_lon = np.full((len(names), 2), np.nan)
    for items in tables:
        if items.lat_lon is None:
            continue
        rows = np.flatnonzero(np.isin(items.place, names) & np.isfinite(items.lat_lon).all(axis=1))
        place, first = np.unique(items.place[rows], return_index=True)
        at = np.searchsorted(names, place)
        new = np.isnan(lat_lon[at]).any(axis=1)
        lat_lon[at[new]] = items.lat_lon[rows[first[new]]]
    return names, lat_lon

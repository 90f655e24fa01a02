"""A space in Python: encode items of any bound modality, compare them.

Shapes: N, M items, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geobind.errors import SpaceError, nearest
from geobind.space.embed import embed
from geobind.space.heads import Tower
from geobind.space.records import SpaceRecord, TowerRecord


class Space:
    """The towers of a space folder; a tower is read from disk when it is first used.

    Get one by :func:`geobind.load`.
    """

    def __init__(
        self, path: Path, record: SpaceRecord, read_tower: Callable[[TowerRecord], Tower], device: str = "cpu"
    ) -> None:
        self.path = path
        self.record = record
        self.device = device
        self._read_tower = read_tower
        self._towers: dict[str, Tower] = {}  # by file: modalities that share one have it in memory once

    def __repr__(self) -> str:
        return f"Space({self.name!r}, dim={self.dim}, anchor={self.anchor!r}, towers={list(self.towers)})"

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.path.resolve().name

    @property
    def dim(self) -> int:
        """Dimensions D of every embedding."""
        return self.record.dim

    @property
    def anchor(self) -> str:
        """The modality that defines the space."""
        return self.record.anchor

    @property
    def towers(self) -> dict[str, TowerRecord]:
        """What is known of each bound modality's tower; :meth:`tower` gives the tower itself."""
        return self.record.towers

    @property
    def fingerprint(self) -> str:
        """Identity of the anchor: embeddings of equal fingerprints may be compared."""
        return self.record.fingerprint

    @property
    def stale(self) -> tuple[str, ...]:
        """Modalities bound to an older state of the anchor."""
        return self.record.stale

    @property
    def trained_pairs(self) -> frozenset[frozenset[str]]:
        """Pairs of modalities that were trained against each other; every other pair is emergent."""
        bound = {name: tower.bound for name, tower in self.towers.items() if tower.bound}
        return frozenset(frozenset((self.anchor, name)) for name, how in bound.items() if how.train != "none")

    def tower(self, modality: str) -> Tower:
        """The tower of one modality, in evaluation mode; only its own file is read.

        Raises:
            SpaceError: Not bound here, stale, or its file is not the one that was saved.
        """
        if modality not in self.towers:
            raise SpaceError(
                f"modality {modality!r} is not bound in space {str(self.path)!r}",
                fix=nearest(modality, self.towers) + f" Bind it with `geobind bind --modality {modality}`.",
            )
        if modality in self.stale:
            raise SpaceError(
                f"the {modality} tower was bound to anchor {self.towers[modality].bound_to}, but the anchor of this"
                f" space is {self.fingerprint}: their embeddings cannot be compared",
                where=str(self.path),
                fix=f"Bind it again: `geobind bind --modality {modality} --space {self.path}`.",
            )
        record = self.towers[modality]
        if record.file not in self._towers:
            self._towers[record.file] = self._read_tower(record).to(self.device).eval()
        return self._towers[record.file]

    def encode(
        self, modality: str, items: Sequence[Any], *, advance: Callable[[int], object] = lambda n: None
    ) -> NDArray[np.float32]:
        """Embed items: ``[N, D]`` float32, unit norm; the same item always gives the same row.

        Args:
            modality: One of :attr:`towers`.
            items: What the modality's encoder takes: paths, texts, (lat, lon), arrays.
            advance: Called with the number of items done, for progress bars.

        Raises:
            SpaceError: The modality is not bound, or stale.
            DataError: An item that cannot be read.
        """
        if isinstance(items, (str, bytes, Path)):
            raise SpaceError(f"encode takes a list of items, not the single item {items!r}", fix="Put it in a list.")
        tower = self.tower(modality)
        if not len(items):
            return np.empty((0, self.dim), dtype=np.float32)
        return embed(tower.encoder, items, tower, advance=advance)

    @staticmethod
    def similarity(a: ArrayLike, b: ArrayLike) -> NDArray[np.float32]:
        """Cosine of unit-norm embeddings ``a [N, D]`` and ``b [M, D]``: ``[N, M]`` in [-1, 1]."""
        return np.asarray(a, dtype=np.float32) @ np.asarray(b, dtype=np.float32).T

"""Queries in groups, the gallery whole: what each group reaches, with counts and intervals.

Shapes: Q queries.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geobind.data.items import Items
from geobind.data.splits import spatial_blocks
from geobind.evaluate.scores import chance
from geobind.ranks import Ranking

LEAST = 10
"""Places below which a group is not to be read."""
QUANTILE = 1.959963984540054
"""Of the normal distribution, for 95 %."""
KOPPEN = {"A": "tropical", "B": "dry", "C": "temperate", "D": "continental", "E": "polar"}
"""Main climates of the Köppen-Geiger system by their letters."""


@dataclass(frozen=True, slots=True)
class Group:
    """Some queries of one direction."""

    queries: int
    places: int
    """Distinct places among the queries: captions of one place succeed and fail together, so these are what counts."""
    recall: float
    """R@k over the queries."""
    low: float
    """Lower end of the 95 % Wilson interval, by places."""
    high: float
    chance: float
    """R@k of these queries under a random order of the gallery."""
    median_rank: float
    """Of the best positive, as a share of the gallery."""

    @property
    def read(self) -> bool:
        """Whether it holds enough places to be read."""
        return self.places >= LEAST

    def leaves_out(self, value: float) -> bool:
        """Whether a value lies outside the interval."""
        return not self.low <= value <= self.high

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Fates:
    """How the queries of one direction fared, one by one."""

    hit: NDArray[np.bool_] = field(repr=False)
    """``[Q]`` whether a positive is among the first k."""
    by_chance: NDArray[np.float64] = field(repr=False)
    """``[Q]`` the probability of that under a random order."""
    rank: NDArray[np.float64] = field(repr=False)
    """``[Q]`` of the best positive, as a share of the gallery."""
    place: NDArray[np.str_] = field(repr=False)
    """``[Q]``"""

    @classmethod
    def of(cls, ranking: Ranking, place: NDArray[np.str_], k: int) -> Fates:
        """From a direction's ranking and its queries' places."""
        counts, row = np.unique(ranking.positives, return_inverse=True)
        reached = np.array([chance(counts[i : i + 1], ranking.gallery, (k,)).recall[k] for i in range(len(counts))])
        return cls(ranking.rank <= k, reached[row], ranking.rank / ranking.gallery, place)

    def group(self, rows: NDArray[np.int64]) -> Group:
        """Those at ``rows``, at least one."""
        places = len(np.unique(self.place[rows]))
        recall = float(self.hit[rows].mean())
        ends = wilson(recall, places)
        return Group(
            len(rows), places, recall, *ends, float(self.by_chance[rows].mean()), float(np.median(self.rank[rows]))
        )

    def by(self, labels: NDArray[np.str_]) -> dict[str, Group]:
        """A group per distinct label of ``[Q]``, in order of the labels; those of an empty label, too."""
        names, row = np.unique(labels, return_inverse=True)
        return {str(name): self.group(np.flatnonzero(row == i)) for i, name in enumerate(names)}


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share of ``n`` (Wilson 1927)."""
    z2 = QUANTILE**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = QUANTILE / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(float(middle - half), 0.0), min(float(middle + half), 1.0)


def blocks(items: Items, degrees: float) -> NDArray[np.str_]:
    """``[Q]`` the block of each item, as :func:`~geobind.data.splits.spatial_blocks` names it; empty where unknown.

    The pole belongs to the northernmost block, and 180° E is 180° W.
    """
    names = np.full(len(items), "", dtype="<U24")
    if items.lat_lon is None:
        return names
    known = np.isfinite(items.lat_lon).all(axis=1)
    lat, lon = items.lat_lon[known].T
    lat, lon = np.minimum(lat, np.nextafter(90.0, 0.0)), np.where(lon >= 180, lon - 360, lon)
    names[known] = spatial_blocks(np.stack([lat, lon], axis=1), degrees)
    return names


def corner(block: str, degrees: float) -> tuple[float, float]:
    """South and west edge of a block in degrees."""
    row, column = block.split(":")
    return int(row) * degrees, int(column) * degrees


def main_climates(values: NDArray[np.str_]) -> NDArray[np.str_]:
    """``[Q]`` Köppen-Geiger classes (``Cfb``) by their first letter, with its name: ``C temperate``; others stay."""
    letters = [value[0] if 2 <= len(value) <= 3 else "" for value in values.tolist()]
    return np.array([f"{x} {KOPPEN[x]}" if x in KOPPEN else value for x, value in zip(letters, values, strict=True)])

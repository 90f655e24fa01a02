"""What an evaluation found. A figure never travels without its protocol and its chance level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geobind.data.items import Items
from geobind.data.pairs import Pairs, Rule
from geobind.errors import DataError
from geobind.evaluate.findings import Measure
from geobind.evaluate.intervals import Interval
from geobind.evaluate.scores import Scores, higher_is_better
from geobind.ranks import Ranking, Ties

FORMAT = 2
"""Version of :meth:`AllPairs.as_dict`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What was asked of what, and under which rules."""

    query: str
    """Modality of the queries."""
    gallery: str
    """Modality that is ranked."""
    subset: str = ""
    """``tag=value`` when both sides were restricted to it; empty for the whole split."""
    queries: int
    """How many queries."""
    gallery_size: int
    """How many items are ranked for each."""
    rule: Rule
    """What makes two items positives: the same place (``id``), the same ``group``, as ``listed``, or a ``radius``."""
    radius_km: float | None = None
    """The radius of that rule."""
    ties: Ties
    """Where positives stand among equally similar negatives."""
    split: str
    """Name of the split."""
    split_hash: str
    """Identity of the evaluated items and their positives; figures of equal hashes are comparable."""
    dataset: str
    """Fingerprint of the dataset."""
    relation: Literal["trained", "emergent"]
    """Whether the two modalities were trained against each other."""
    origin: str
    """How the pairs came about."""
    left_out: int = 0
    """Items of either side that cannot be read."""

    @property
    def synthesised(self) -> bool:
        """Whether one side was made from data rather than observed, as the origin says."""
        return "synthesi" in self.origin.lower()


@dataclass(frozen=True, slots=True)
class PairResult:
    """One direction of one pair of modalities."""

    protocol: Protocol
    scores: Scores
    chance: Scores
    """The same figures under a random order of the gallery."""
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    """95 % interval of each figure by its name (:meth:`Scores.named`), by :mod:`geobind.evaluate.intervals`."""

    def lift(self, k: int) -> float:
        """R@k as a multiple of chance."""
        return self.scores.recall[k] / self.chance.recall[k]

    @property
    def precision_lift(self) -> float:
        """Mean average precision as a multiple of chance."""
        return self.scores.mean_average_precision / self.chance.mean_average_precision

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "protocol": asdict(self.protocol),
            "scores": self.scores.as_dict(),
            "chance": self.chance.as_dict(),
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PairResult:
        """The inverse of :meth:`as_dict`."""
        return cls(
            Protocol(**values["protocol"]),
            Scores.from_dict(values["scores"]),
            Scores.from_dict(values["chance"]),
            {name: (low, high) for name, (low, high) in values["intervals"].items()},
        )

    def measures(self) -> tuple[Measure, ...]:
        """Every figure as a measure of its own."""
        p, by_chance = self.protocol, self.chance.named()
        return tuple(
            Measure(
                of=f"{p.query} → {p.gallery}" + (f" ({p.subset})" if p.subset else ""),
                metric=name,
                value=value,
                low=self.intervals[name][0] if name in self.intervals else None,
                high=self.intervals[name][1] if name in self.intervals else None,
                chance=by_chance.get(name),
                n=p.queries,
                higher_is_better=higher_is_better(name),
                protocol=asdict(p),
            )
            for name, value in self.scores.named().items()
        )


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A pair of modalities that could not be evaluated, and why."""

    query: str
    gallery: str
    subset: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """The items of one side of a pair and their embeddings, which pairs of one dataset share."""

    items: Items
    table: NDArray[np.float32] = field(repr=False)
    """``[U, D]`` one row per distinct item."""
    rows: NDArray[np.int64] = field(repr=False)
    """``[N]`` row of ``table`` for each of ``items``."""

    @property
    def vectors(self) -> NDArray[np.float32]:
        """``[N, D]`` unit norm."""
        return self.table[self.rows]


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """What one direction was computed from, kept for looking at examples."""

    queries: Side
    gallery: Side
    positives: Pairs
    """The pairs with the query modality as ``a``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllPairs:
    """Retrieval between all pairs of modalities of a space, in both directions."""

    space: str
    """Name of the space."""
    fingerprint: str
    """Identity of its anchor."""
    dim: int
    anchor: str
    modalities: tuple[str, ...]
    """Those asked for, the anchor first."""
    split: str
    ties: Ties
    ks: tuple[int, ...]
    """The k of R@k, ascending."""
    geobind: str
    """Version that computed this."""
    results: tuple[PairResult, ...]
    unmeasured: tuple[Unmeasured, ...] = ()
    ranked: Mapping[tuple[str, str], Ranked] = field(default_factory=dict, repr=False, compare=False)
    """(query, gallery) → what was ranked; stays in memory, is never saved."""
    rankings: Mapping[tuple[str, str], Ranking] = field(default_factory=dict, repr=False, compare=False)
    """(query, gallery) → how each query fared, for the whole split; stays in memory."""

    def get(self, query: str, gallery: str, subset: str = "") -> PairResult | None:
        """The result of one direction, None when it was not measured."""
        for result in self.results:
            protocol = result.protocol
            if (protocol.query, protocol.gallery, protocol.subset) == (query, gallery, subset):
                return result
        return None

    def measures(self) -> tuple[Measure, ...]:
        """Every figure of every direction."""
        return tuple(measure for result in self.results for measure in result.measures())

    @property
    def top(self) -> int:
        """The k that stands for all in overviews: 10 when it was computed, else the largest."""
        return 10 if 10 in self.ks else self.ks[-1]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "format": FORMAT,
            "geobind": self.geobind,
            "space": self.space,
            "fingerprint": self.fingerprint,
            "dim": self.dim,
            "anchor": self.anchor,
            "modalities": list(self.modalities),
            "split": self.split,
            "ties": self.ties,
            "ks": list(self.ks),
            "results": [result.as_dict() for result in self.results],
            "unmeasured": [asdict(pair) for pair in self.unmeasured],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AllPairs:
        """The inverse of :meth:`as_dict`; embeddings are not part of it.

        Raises:
            DataError: Written in another format.
        """
        rest = dict(values)
        if (found := rest.pop("format", None)) != FORMAT:
            raise DataError(
                f"the results have format {found!r}; this geobind reads {FORMAT}", fix="Run the evaluation again."
            )
        return cls(
            **{
                **rest,
                "modalities": tuple(rest["modalities"]),
                "ks": tuple(rest["ks"]),
                "results": tuple(PairResult.from_dict(result) for result in rest["results"]),
                "unmeasured": tuple(Unmeasured(**pair) for pair in rest["unmeasured"]),
            }
        )

"""Directions of retrieval as multiples of chance, and what emergent ones rest on."""

from __future__ import annotations

from dataclasses import dataclass

from geobind.evaluate.intervals import Interval
from geobind.evaluate.report.overview import is_easy, whole
from geobind.evaluate.results import AllPairs, PairResult, Protocol


@dataclass(frozen=True, slots=True)
class Relation:
    """One direction, by one metric that is a share."""

    protocol: Protocol
    value: float
    chance: float
    """The metric under a random order of the gallery."""
    interval: Interval | None
    """95 % interval of the lift; None where none was computed."""
    legs: tuple[Relation, Relation] | None = None
    """Query → anchor and anchor → gallery, where neither side is the anchor and both were measured."""

    @property
    def name(self) -> str:
        """``text → audio``."""
        return f"{self.protocol.query} → {self.protocol.gallery}"

    @property
    def trained(self) -> bool:
        """Whether the two were trained against each other."""
        return self.protocol.relation == "trained"

    @property
    def lift(self) -> float:
        """The metric as a multiple of chance."""
        return self.value / self.chance

    @property
    def above_chance(self) -> bool:
        """Whether the interval lies above chance; without an interval nothing is claimed."""
        return self.interval is not None and self.interval[0] > 1

    @property
    def by_group(self) -> bool:
        """Whether positives are those of a shared group, a scene class for example, rather than of a place."""
        return self.protocol.rule == "group"

    @property
    def aside(self) -> str:
        """:func:`aside` of its protocol."""
        return aside(self.protocol)

    @property
    def survival(self) -> float | None:
        """The lift as a share of the weaker leg's; None without legs, or over one that finds nothing."""
        weaker = min(leg.lift for leg in self.legs) if self.legs else 0.0
        return self.lift / weaker if weaker else None


def aside(protocol: Protocol) -> str:
    """How the pairs came about, where it is not by observing one place: `` (scene class, synthesised)``, or nothing."""
    words = ["scene class" if "scene class" in protocol.origin.lower() else "group"] * (protocol.rule == "group")
    words += ["synthesised"] * protocol.synthesised
    return f" ({', '.join(words)})" if words else ""


def relations(result: AllPairs) -> tuple[str, list[Relation]]:
    """The metric that leads the overview (R@k, or mAP where chance reaches a high R@k), and all directions by it."""
    metric = "mAP" if is_easy(result) else f"R@{result.top}"
    found = {(pair.protocol.query, pair.protocol.gallery): _relation(pair, metric) for pair in whole(result)}
    return metric, [_with_legs(relation, found, result.anchor) for relation in found.values()]


def _relation(pair: PairResult, metric: str) -> Relation:
    chance = pair.chance.named()[metric]
    interval = pair.intervals.get(metric)
    lift = None if interval is None else (interval[0] / chance, interval[1] / chance)
    return Relation(pair.protocol, pair.scores.named()[metric], chance, lift)


def _with_legs(relation: Relation, found: dict[tuple[str, str], Relation], anchor: str) -> Relation:
    p = relation.protocol
    first, second = found.get((p.query, anchor)), found.get((anchor, p.gallery))
    if anchor in (p.query, p.gallery) or first is None or second is None:
        return relation
    return Relation(p, relation.value, relation.chance, relation.interval, (first, second))

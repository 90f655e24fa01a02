"""The figures an overview of all pairs shows, how they are written, and how strongly they are coloured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import log
from statistics import median

from geobind.evaluate.findings import percent
from geobind.evaluate.results import AllPairs, PairResult
from geobind.evaluate.scores import EASY


@dataclass(frozen=True, slots=True)
class Metric:
    """One way to look at the matrix of pairs."""

    label: str
    value: Callable[[PairResult], float] = field(repr=False)
    write: Callable[[float], str] = field(repr=False)
    low: float
    """Value of the palest colour."""
    high: float
    """Value of the strongest colour."""
    logarithmic: bool

    def level(self, value: float) -> float:
        """Strength of colour in [0, 1]; what is at chance or below has none."""
        if self.high <= self.low or value <= self.low:
            return 0.0
        if self.logarithmic:
            return min(log(value / self.low) / log(self.high / self.low), 1.0)
        return min((value - self.low) / (self.high - self.low), 1.0)


LEAST_TOP = 4.0
"""The strongest colour stands for at least this multiple of chance, so that noise about chance stays pale."""


def metrics(result: AllPairs) -> list[Metric]:
    """R@k and mAP, as multiples of chance and plain, scaled to the best pair of this result; the first one leads.

    R@k leads, unless positives by group make it easy to reach by chance: with a tenth of the gallery positive, chance
    has R@10 near 65 %, and even a perfect space only 1.5 times that. Then mAP does.
    """
    k = result.top
    pairs = whole(result)

    def times_chance(label: str, value: Callable[[PairResult], float]) -> Metric:
        # A factor is a factor: twice chance is as far from chance as ten times is from five.
        return Metric(label, value, times, 1.0, max([LEAST_TOP, *map(value, pairs)]), logarithmic=True)

    def share(label: str, value: Callable[[PairResult], float]) -> Metric:
        return Metric(label, value, percent, 0.0, max(map(value, pairs), default=1.0), logarithmic=False)

    recall = times_chance(f"R@{k} × chance", lambda pair: pair.lift(k))
    precision = times_chance("mAP × chance", lambda pair: pair.precision_lift)
    return [
        *((precision, recall) if is_easy(result) else (recall, precision)),
        share(f"R@{k}", lambda pair: pair.scores.recall[k]),
        share("mAP", lambda pair: pair.scores.mean_average_precision),
    ]


def is_easy(result: AllPairs) -> bool:
    """Whether chance alone reaches a quarter of some pair's R@k, which leaves it little room to tell spaces apart."""
    return any(pair.chance.recall[result.top] > EASY for pair in whole(result))


def whole(result: AllPairs) -> list[PairResult]:
    """The results over the whole split, without those of its subsets."""
    return [pair for pair in result.results if not pair.protocol.subset]


def median_of(result: AllPairs, relation: str, metric: Metric) -> tuple[int, float]:
    """How many directions are ``trained`` or ``emergent``, and the median of a metric over them."""
    values = [metric.value(pair) for pair in whole(result) if pair.protocol.relation == relation]
    return len(values), median(values) if values else float("nan")


def synthesised(result: AllPairs) -> set[str]:
    """Modalities that were not observed: every pair they take part in says that it was synthesised."""
    pairs = [pair.protocol for pair in whole(result)]
    return {
        name
        for name in result.modalities
        if (own := [pair for pair in pairs if name in (pair.query, pair.gallery)])
        and all(pair.synthesised for pair in own)
    }


def times(value: float) -> str:
    """A multiple of chance: ``17×``, ``5.5×``."""
    return f"{value:.0f}×" if value >= 9.95 else f"{value:.1f}×"


def rank(value: float) -> str:
    """A rank: ``263``, ``10.5``."""
    return f"{value:,.1f}".removesuffix(".0")

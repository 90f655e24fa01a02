"""What a comparison of evaluations found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from geobind.evaluate.emergent.relations import aside
from geobind.evaluate.findings import Measure
from geobind.evaluate.intervals import Interval
from geobind.evaluate.report.stored import plain
from geobind.evaluate.results import Protocol

ALL_PAIRS = "all-pairs"
"""Stands for a finding's name where there is none."""

How = Literal["same file", "paired", "independent", "none"]
"""Where an interval is from: a file compared with itself, the same queries, the intervals of both; or there is none."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of one evaluation against the same of the baseline."""

    finding: str
    """``all-pairs``, or the finding's name."""
    name: str
    """Of the evaluation."""
    baseline: Measure
    other: Measure
    how: How
    interval: Interval | None
    """95 % interval of :attr:`value`."""
    unlike: tuple[str, ...]
    """Where the protocols differ: ``split_hash: 0f3a… against 11c8…``; empty for what may be compared."""

    @property
    def label(self) -> str:
        """What was measured: with the finding that did, or how the pairs came about where not by observing a place."""
        if self.finding != ALL_PAIRS:
            return f"{self.finding}: {self.baseline.of}"
        protocol: dict[str, Any] = dict(self.baseline.protocol)
        return self.baseline.of + aside(Protocol(**protocol))

    @property
    def value(self) -> float:
        """Other less baseline."""
        return self.other.value - self.baseline.value

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)

    @property
    def better(self) -> bool:
        """Whether the difference is to the good."""
        return self.value > 0 if self.baseline.higher_is_better else self.value < 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "finding": self.finding,
            "of": self.baseline.of,
            "metric": self.baseline.metric,
            "name": self.name,
            "baseline": self.baseline.as_dict(),
            "other": self.other.as_dict(),
            "difference": self.value,
            "interval": self.interval,
            "how": self.how,
            "unlike": self.unlike,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two or more evaluations side by side."""

    names: tuple[str, ...]
    """The baseline first."""
    differences: tuple[Difference, ...]
    """By measure, in the baseline's order, then by evaluation."""
    unmatched: tuple[str, ...]
    """What only some of them measured, in sentences."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        values: dict[str, Any] = plain(
            {
                "names": self.names,
                "differences": [difference.as_dict() for difference in self.differences],
                "unmatched": self.unmatched,
            }
        )
        return values

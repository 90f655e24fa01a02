"""What became of each pair of modalities from one state of a space to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from geobind.errors import DataError
from geobind.evaluate.intervals import Interval, intervals
from geobind.evaluate.results import AllPairs, PairResult
from geobind.evaluate.scores import per_query


@dataclass(frozen=True, slots=True)
class Change:
    """One direction of one pair, before and after."""

    before: PairResult
    after: PairResult | None
    """None where it can no longer be measured: a tower has become stale."""
    intervals: dict[str, Interval]
    """Figure → 95 % interval of its paired difference; empty where nothing changed."""

    @property
    def name(self) -> str:
        """As tables have it: ``text → satellite``."""
        return f"{self.before.protocol.query} → {self.before.protocol.gallery}"

    @property
    def modalities(self) -> frozenset[str]:
        """Both."""
        return frozenset((self.before.protocol.query, self.before.protocol.gallery))

    @property
    def differences(self) -> dict[str, float]:
        """Every figure after less the same before, by its name; empty where there is none after."""
        if self.after is None:
            return {}
        after = self.after.scores.named()
        return {name: after[name] - value for name, value in self.before.scores.named().items() if name in after}

    @property
    def identical(self) -> bool:
        """Whether it was measured again and not one figure differs by a bit."""
        return self.after is not None and not any(self.differences.values())


def changes(before: AllPairs, after: AllPairs) -> list[Change]:
    """What became of each pair that was measured before.

    Raises:
        DataError: A pair was measured on other items, so that the difference would mean nothing.
    """
    found = []
    for pair in before.results:
        query, gallery = pair.protocol.query, pair.protocol.gallery
        again = after.get(query, gallery)
        if again is not None and again.protocol.split_hash != pair.protocol.split_hash:
            raise DataError(
                f"{query} → {gallery} was measured on the items {pair.protocol.split_hash}, then on"
                f" {again.protocol.split_hash}: the two cannot be compared",
                fix="Evaluate both on the same data.",
            )
        change = Change(pair, again, {})
        if again is not None and not change.identical:
            change = Change(pair, again, _paired(before, after, query, gallery))
        found.append(change)
    return found


def _paired(before: AllPairs, after: AllPairs, query: str, gallery: str) -> dict[str, Interval]:
    """Intervals of the mean differences over the same queries; a difference of medians is no mean and has none."""
    one, two = (per_query(result.rankings[query, gallery], result.ks) for result in (before, after))
    differences = {
        name: two[name] - values
        for name, values in one.items()
        if name in two and not name.startswith(("median", "D@"))
    }
    return intervals(differences, before.ranked[query, gallery].queries.items.place)


def largest(found: Sequence[Change], metric: str) -> float:
    """The largest absolute change of a figure over the pairs that were measured again; 0 when there are none."""
    return max((abs(change.differences[metric]) for change in found if change.after is not None), default=0.0)

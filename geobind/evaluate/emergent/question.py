"""``--emergent``: what relations hold between modalities that were never trained against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from statistics import median

import numpy as np
from numpy.typing import NDArray

from geobind.errors import DataError
from geobind.evaluate.emergent.picture import draw
from geobind.evaluate.emergent.relations import Relation, relations
from geobind.evaluate.findings import Finding, Measure, Table, percent
from geobind.evaluate.intervals import METHOD
from geobind.evaluate.report.overview import times
from geobind.evaluate.results import AllPairs

FEWEST = 5
"""Emergent pairs below which no correlation is worth a number."""
SHUFFLES = 9999
"""Of the permutation test."""


def emergent(result: AllPairs) -> Finding:
    """Set emergent relations against trained ones and against chance.

    Args:
        result: All pairs of a space; parts by tag are left aside.

    Raises:
        DataError: No emergent pair was measured.
    """
    metric, found = relations(result)
    new = [relation for relation in found if not relation.trained]
    if not new:
        raise DataError(
            f"none of the {len(found)} measured directions of {result.space} is emergent: all were trained",
            fix="Bind one more modality: what it has to do with those before it was never trained.",
        )
    return Finding(
        name="emergent",
        title="Which relations hold between modalities that never met in training?",
        answer=tuple(_answer(metric, found)),
        protocol={
            "split": result.split,
            "metric": metric,
            "lift": f"{metric} divided by what a random order of the gallery gives",
            "gallery": "everything of the other modality that has a positive",
            "ties": result.ties,
            "interval": METHOD,
        },
        measures=tuple(_measure(metric, relation) for relation in found),
        tables=(_table(metric, found), *([legs] if (legs := _legs(found)).rows else [])),
        pictures=(draw(metric, found),),
        notes=(
            f"A direction is above chance when the 95 % interval of its {metric} lies above that of a random order.",
            "Legs: what was trained between either modality and the anchor, query → anchor and anchor → gallery. What"
            " survives is the emergent lift as a share of the weaker leg's. Galleries differ, so that lifts have"
            " different ceilings (a perfect space's, shown), and a share above 100 % is no contradiction.",
            "Where pairs go by scene class, the question is whether the class is found, not the place.",
        ),
        details={"of the weaker leg": {relation.name: relation.survival for relation in new if relation.legs}},
    )


def _answer(metric: str, found: Sequence[Relation]) -> list[str]:
    new = sorted((relation for relation in found if not relation.trained), key=lambda relation: -relation.lift)
    old = [relation for relation in found if relation.trained]
    above = [relation for relation in new if relation.above_chance]
    against = f", against {times(median(relation.lift for relation in old))} of trained ones" if old else ""
    sentences = [
        f"{len(above)} of {len(new)} emergent directions are above chance (95 % interval of {metric}); their median is"
        f" {times(median(relation.lift for relation in new))} chance{against}."
    ]
    if above:
        first, *others = above[:3]
        then = "".join(f"; {relation.name} {times(relation.lift)}{relation.aside}" for relation in others)
        sentences.append(f"The strongest: {first.name} {times(first.lift)} (pairs: {first.protocol.origin}){then}.")
    if lost := [relation for relation in new if not relation.above_chance]:
        listed = "; ".join(f"{relation.name} {times(relation.lift)}{relation.aside}" for relation in lost)
        sentences.append(f"Not to be told from chance, or below it: {listed}.")
    else:
        sentences.append("None of them is at chance.")
    if kept := {relation.name: share for relation in new if (share := relation.survival) is not None}:
        least, most = (pick(kept, key=lambda name: kept[name]) for pick in (min, max))
        sentences.append(
            f"Of the weaker leg's lift {_share(median(kept.values()))} survives in the median: from"
            f" {_share(kept[least])} ({least}) to {_share(kept[most])} ({most})."
        )
    if (told := _correlation(new)) is not None:
        rho, p, pairs = told
        sentences.append(
            f"Over {pairs} emergent pairs the lift goes with the product of its legs' lifts by a rank correlation of"
            f" {rho:.2f} (p = {p:.2g} by permutation).".replace("-", "−")
        )
    if by_class := sum(relation.by_group for relation in new):
        sentences.append(
            f"{by_class} of the {len(new)} emergent directions are paired by group, as by scene class: there the class"
            " is found, not the place."
        )
    return sentences


def _correlation(new: Sequence[Relation]) -> tuple[float, float, int] | None:
    """Spearman's ρ of emergent lift and product of the legs, its p value, and the number of pairs.

    The two directions of a pair are not independent: a pair counts once, by the geometric mean of both.
    """
    pairs: dict[frozenset[str], list[tuple[float, float]]] = {}
    for relation in new:
        if relation.legs:
            first, second = relation.legs
            pair = frozenset((relation.protocol.query, relation.protocol.gallery))
            pairs.setdefault(pair, []).append((relation.lift, first.lift * second.lift))
    if len(pairs) < FEWEST:
        return None
    lift, product = np.array([np.prod(both, axis=0) ** (1 / len(both)) for both in pairs.values()]).T
    rho = spearman(lift, product)
    rng = np.random.default_rng(0)
    drawn = np.array([spearman(rng.permutation(lift), product) for _ in range(SHUFFLES)])
    return rho, float((1 + np.sum(np.abs(drawn) >= abs(rho) - 1e-12)) / (1 + SHUFFLES)), len(pairs)


def spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Spearman's rank correlation of ``[N]`` and ``[N]``, ties by their mean rank; 0 where one does not vary."""
    a, b = (_ranked(values) - (len(values) + 1) / 2 for values in (x, y))
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale else 0.0


def _ranked(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """1-based mean ranks ``[N]``."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - (count - 1) / 2)[place])


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _measure(metric: str, relation: Relation) -> Measure:
    low, high = relation.interval or (None, None)
    return Measure(
        of=relation.name,
        metric=f"{metric} × chance",
        value=relation.lift,
        low=low,
        high=high,
        chance=1.0,
        n=relation.protocol.queries,
        protocol=asdict(relation.protocol),
    )


def _table(metric: str, found: Sequence[Relation]) -> Table:
    rows = []
    for relation in sorted(found, key=lambda relation: -relation.lift):
        low, high = relation.interval or (None, None)
        interval = "–" if low is None or high is None else f"{times(low)} – {times(high)}"
        p = relation.protocol
        rows.append(
            (
                relation.name,
                p.relation,
                f"{p.rule}: {p.origin}",
                f"{p.queries:,}",
                f"{p.gallery_size:,}",
                percent(relation.value),
                percent(relation.chance),
                times(relation.lift),
                interval,
                times(1 / relation.chance),
                "yes" if relation.above_chance else "no",
            )
        )
    columns = ("query → gallery", "relation", "pairs by", "queries", "gallery", metric, "chance", "× chance", "95 %")
    return Table(
        title="Every direction, against chance",
        columns=(*columns, "a perfect space", "above chance"),
        rows=tuple(rows),
        note="By lift, the strongest first.",
    )


def _legs(found: Sequence[Relation]) -> Table:
    rows = []
    for relation in sorted(found, key=lambda relation: -relation.lift):
        if not relation.trained and relation.legs:
            first, second = relation.legs
            rows.append(
                (
                    relation.name,
                    times(relation.lift),
                    *(
                        f"{leg.name} {times(leg.lift)}{'' if leg.trained else ' (not trained)'}"
                        for leg in (first, second)
                    ),
                    "–" if relation.survival is None else _share(relation.survival),
                )
            )
    return Table(
        title="Emergent relations and their legs through the anchor",
        columns=("emergent", "× chance", "first leg", "second leg", "of the weaker leg"),
        rows=tuple(rows),
        note="Lifts over chance; the galleries of the three differ.",
    )

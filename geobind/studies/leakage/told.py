"""What ``--leakage`` says: figures under a random and under a spatial split, their ratio, and the reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geobind.data.items import SPLITS
from geobind.evaluate.findings import Finding, Measure, Table, Value, percent
from geobind.evaluate.intervals import LEVEL, RESAMPLES
from geobind.plan import Plan, StagePlan
from geobind.studies.leakage.figures import Direction, Ratio, direction, ratio
from geobind.studies.leakage.pictures import WORD, distances, shares, write_km

if TYPE_CHECKING:
    from geobind.studies.leakage.study import Trial


def finding(plan: Plan, stage: StagePlan, degrees: float, trials: Sequence[Trial]) -> Finding:
    """Put the trials into words, tables and pictures."""
    first = trials[0].result
    names = list(first.ranked)
    told = {(pair, by): direction(trials, by, *pair) for pair in names for by in WORD}
    km = {by: np.concatenate([trial.nearest_km for trial in trials if trial.by == by]) for by in WORD}
    ratios = {pair: ratio(told[pair, "random"], told[pair, "blocks"]) for pair in names}
    seeds = list(dict.fromkeys(trial.seed for trial in trials))
    protocol = _protocol(plan, stage, degrees, trials, seeds)
    return Finding(
        name="leakage",
        title="How much does a random split flatter?",
        answer=(
            *(_answer(pair, told[pair, "random"], told[pair, "blocks"], ratios[pair]) for pair in names),
            f"Half of the test places have a training place within {write_km(np.median(km['random']))} under the random"
            f" split, and within {write_km(np.median(km['blocks']))} under the spatial one.",
        ),
        protocol=protocol,
        measures=tuple(_measures(told, ratios, km, protocol)),
        tables=(_table(told, ratios), _table_of_trials(trials)),
        pictures=(shares(told), distances(km)),
        notes=(
            "Both splits divide the very same places; places drawn at random are then left out until training,"
            " validation and test are of equal size everywhere. All items of a place stay together.",
            "The stage is bound alone, each time from nothing, so that no other modality's data has a part in it. A"
            " side that the recipe freezes, since an earlier stage has trained it, learns its head here.",
            "The spatial split is the harder one for good reason and still no proof: it tells how a space does in"
            " blocks it has not seen of regions it has, not on another continent.",
        ),
        details={
            "trials": [
                {
                    "split": trial.by,
                    "seed": trial.seed,
                    "places": trial.places,
                    "nearest_km": {
                        f"{percent(share, 0)}": float(np.quantile(trial.nearest_km, share))
                        for share in (0.05, 0.5, 0.95)
                    },
                    "all_pairs": trial.result.as_dict(),
                }
                for trial in trials
            ]
        },
    )


def _protocol(
    plan: Plan, stage: StagePlan, degrees: float, trials: Sequence[Trial], seeds: Sequence[int]
) -> dict[str, Value]:
    learns = {side: "head" if how == "frozen" else how for side, how in stage.config.train}
    example = trials[0].result.results[0].protocol
    return {
        "recipe": plan.name,
        "stage": f"{stage.config.name} alone, learns: {', '.join(f'{side} {how}' for side, how in learns.items())}"
        f" (in the recipe: {stage.config.train})",
        "items": "places of known coordinates that hold both modalities, of all splits of the dataset",
        "splits": f"places at random, against blocks of {degrees:g}° × {degrees:g}°",
        "places": ", ".join(f"{split} {size:,}" for split, size in trials[0].places.items()),
        "seeds": ", ".join(map(str, seeds)),
        "pairs": example.origin,
        "rule": example.rule,
        "ties": example.ties,
        "intervals": f"{percent(LEVEL, 0)} bootstrap over blocks, {RESAMPLES:,} resamples, all seeds' queries",
    }


def _answer(pair: tuple[str, str], random: Direction, spatial: Direction, times: Ratio | None) -> str:
    figures = (
        f"R@{random.k} is {percent(random.recall)} against {percent(spatial.recall)} under the spatial split"
        f" (chance {percent(random.chance_recall)})"
    )
    name = f"{pair[0]} → {pair[1]}"
    if times is None:
        return f"{name}: under the random split {figures}: there is no ratio to nothing."
    value, low, high = times
    interval = "95 % interval " + _interval(low, high)
    if low > 1:
        return f"The random split flatters R@{random.k} of {name} by ×{value:.2f} ({interval}): {figures}."
    if high is not None and high < 1:
        return f"{name} fares better under the spatial split, ×{value:.2f} ({interval}): {figures}."
    return f"No leakage is shown for {name}, ×{value:.2f} ({interval}): {figures}."


def _interval(low: float, high: float | None) -> str:
    return f"{low:.2f} to {high:.2f}" if high is not None else f"{low:.2f} and more"


def _measures(
    told: dict[tuple[tuple[str, str], str], Direction],
    ratios: dict[tuple[str, str], Ratio | None],
    km: dict[str, NDArray[np.float64]],
    protocol: dict[str, Value],
) -> list[Measure]:
    found = []
    for ((query, gallery), by), one in told.items():
        of = f"{query} → {gallery}, {WORD[by]}"
        recall, median = one.intervals()
        own: dict[str, Any] = {"of": of, "n": len(one.rank), "protocol": {**protocol, "split": WORD[by]}}
        found += [
            Measure(
                metric=f"R@{one.k}",
                value=one.recall,
                low=recall[0],
                high=recall[1],
                chance=one.chance_recall,
                **own,
            ),
            Measure(
                metric="median rank / gallery",
                value=one.median,
                low=median[0],
                high=median[1],
                chance=one.chance_median,
                higher_is_better=False,
                **own,
            ),
        ]
    for (query, gallery), times in ratios.items():
        if times:
            one = told[(query, gallery), "random"]
            found.append(
                Measure(
                    of=f"{query} → {gallery}",
                    metric=f"R@{one.k}, random / spatial",
                    value=times[0],
                    low=times[1],
                    high=times[2],
                    chance=1.0,
                    n=len(one.rank),
                    higher_is_better=False,
                    protocol=protocol,
                )
            )
    found += [
        Measure(
            of=WORD[by],
            metric="km to the nearest training place, median",
            value=float(np.median(distances)),
            n=len(distances),
            protocol={**protocol, "split": WORD[by]},
        )
        for by, distances in km.items()
    ]
    return found


def _table(told: dict[tuple[tuple[str, str], str], Direction], ratios: dict[tuple[str, str], Ratio | None]) -> Table:
    k = next(iter(told.values())).k
    rows = []
    for ((query, gallery), by), one in told.items():
        recall, median = one.intervals()
        times = ratios[query, gallery]
        rows.append(
            (
                f"{query} → {gallery}",
                WORD[by],
                percent(one.recall),
                f"{percent(recall[0])} to {percent(recall[1])}",
                percent(one.chance_recall),
                f"{times[0]:.2f} ({_interval(*times[1:])})" if times and by == "random" else "",
                percent(one.median),
                f"{percent(median[0])} to {percent(median[1])}",
                percent(one.chance_median),
                f"{len(one.rank):,}",
            )
        )
    return Table(
        title="Under either split",
        columns=(
            "pair",
            "split",
            f"R@{k}",
            "95 % interval",
            "chance",
            "× spatial",
            "median rank / gallery",
            "95 % interval",
            "chance",
            "queries",
        ),
        rows=tuple(rows),
        note="Queries of all seeds together; each is ranked in the gallery of its own seed.",
    )


def _table_of_trials(trials: Sequence[Trial]) -> Table:
    names = list(trials[0].result.ranked)
    k = trials[0].result.top
    return Table(
        title="Seed by seed",
        columns=(
            "seed",
            "split",
            *SPLITS,
            "km to the nearest training place, median",
            *(f"R@{k} {query} → {gallery}" for query, gallery in names),
        ),
        rows=tuple(
            (
                trial.seed,
                WORD[trial.by],
                *(f"{size:,}" for size in trial.places.values()),
                write_km(np.median(trial.nearest_km)),
                *(percent(pair.scores.recall[k]) if (pair := trial.result.get(*name)) else "–" for name in names),
            )
            for trial in trials
        ),
        note="train, val and test: numbers of places.",
    )

"""A probe's figures as measures and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from geobind.evaluate.findings import Measure, Table, Value, percent
from geobind.evaluate.intervals import Interval
from geobind.evaluate.probe.outcome import SMALLER_IS_BETTER, right_by_class
from geobind.evaluate.probe.shots import DRAWS, STRENGTH, FewShot
from geobind.evaluate.probe.task import Task
from geobind.evaluate.probe.words import NAME, Read, common_protocol, label, mean_sd, shots_of, written


def measures(
    task: Task, reads: Sequence[Read], chance: Mapping[str, float], curve: Sequence[FewShot], seed: int
) -> list[Measure]:
    """Every figure of every method and number of shots."""
    common = common_protocol(task)
    found = []
    for read in reads:
        protocol = {**common, "method": NAME[read.chosen.method]}
        found += _of(task, protocol, read.figures, read.intervals, chance)
    for point in curve:
        protocol = {**common, "method": f"linear probe, {shots_of(task, point.n)}", "draws": DRAWS, "seed": seed}
        protocol["hyper-parameter chosen on"] = "nothing, {} = {:g}".format(*STRENGTH[task.kind])
        found += _of(task, protocol, {name: mean for name, (mean, _) in point.figures.items()}, point.intervals, chance)
    return found


def tables(task: Task, reads: Sequence[Read], chance: Mapping[str, float], curve: Sequence[FewShot]) -> list[Table]:
    """Methods beside the baseline, classes, and few examples."""
    metrics = list(chance)
    heads = [label(task, metric) for metric in metrics]
    rows: list[tuple[Value, ...]] = [
        (NAME[read.chosen.method], str(read.chosen), *(_with_interval(task, metric, read) for metric in metrics))
        for read in reads
    ]
    rows.append(("without embeddings", "", *(written(task, metric, chance[metric], unit=False) for metric in metrics)))
    found = [
        Table(
            title=f"{task.target.name} from {task.modality}",
            columns=("method", "chosen", *heads),
            rows=tuple(rows),
            note="In brackets the 95 % interval over places. Without embeddings: always answering"
            + (" the largest class of train." if task.kind == "classification" else " the mean of train."),
        )
    ]
    if task.kind == "classification":
        found.append(_per_class(task, reads))
    if curve:
        found.append(
            Table(
                title=f"{task.target.name} from a few examples",
                columns=("places of each class" if task.kind == "classification" else "places in all", *heads),
                rows=tuple((p.n, *(mean_sd(task, metric, p) for metric in metrics)) for p in curve),
                note=f"Mean ± standard deviation over {DRAWS} draws.{_short(curve)}",
            )
        )
    return found


def _of(
    task: Task,
    protocol: Mapping[str, Value],
    figures: Mapping[str, float],
    intervals: Mapping[str, Interval],
    chance: Mapping[str, float],
) -> list[Measure]:
    return [
        Measure(
            of=f"{task.modality} → {task.target.name}, {protocol['method']}",
            metric=label(task, name),
            value=value,
            low=intervals[name][0],
            high=intervals[name][1],
            chance=chance[name],
            n=len(task.test),
            higher_is_better=name not in SMALLER_IS_BETTER,
            protocol=protocol,
        )
        for name, value in figures.items()
    ]


def _with_interval(task: Task, metric: str, read: Read) -> str:
    value, low, high = (
        written(task, metric, number, unit=False) for number in (read.figures[metric], *read.intervals[metric])
    )
    return f"{value} ({low} to {high})"


def _per_class(task: Task, reads: Sequence[Read]) -> Table:
    trained = dict(zip(*(column.tolist() for column in np.unique(task.train.y, return_counts=True)), strict=True))
    right = [right_by_class(read.outcome) for read in reads]
    rows: list[tuple[Value, ...]] = []
    for name in task.classes:
        shares = [f"{percent(hits / n)}" if n else "" for hits, n in (found.get(name, (0, 0)) for found in right)]
        rows.append((name, trained.get(name, 0), right[0].get(name, (0, 0))[1], *shares))
    return Table(
        title=f"{task.target.name}, class by class",
        columns=("class", "train items", "test items", *(f"recall, {NAME[read.chosen.method]}" for read in reads)),
        rows=tuple(rows),
        note="Recall is the share of a class's test items that were taken for it.",
    )


def _short(curve: Sequence[FewShot]) -> str:
    counts = ", ".join(f"{point.short} at {point.n}" for point in curve if point.short)
    return f" Classes with fewer places than asked for gave all of them: {counts}." if counts else ""

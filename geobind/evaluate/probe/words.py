"""A probe's figures in sentences, tables and measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from geobind.evaluate.findings import Value, percent
from geobind.evaluate.intervals import METHOD, Interval
from geobind.evaluate.probe.fit import FOLDS, Chosen
from geobind.evaluate.probe.outcome import SMALLER_IS_BETTER, Outcome
from geobind.evaluate.probe.shots import DRAWS, STRENGTH, FewShot
from geobind.evaluate.probe.targets import RULE
from geobind.evaluate.probe.task import Task

LEADING = {"classification": "accuracy", "regression": "R²"}
NAME = {"linear": "linear probe", "knn": "k-NN"}


@dataclass(frozen=True, slots=True)
class Read:
    """What one method read off the embeddings."""

    chosen: Chosen
    outcome: Outcome
    figures: dict[str, float]
    intervals: dict[str, Interval]


def common_protocol(task: Task) -> dict[str, Value]:
    """What decides whether two probes may be compared, whatever the method and the space."""
    return {
        "query": task.modality,
        "target": task.target.name,
        "target source": task.target.source,
        "kind": task.kind,
        "split": task.split,
        "split rule": "as the dataset has it",
        "train items": len(task.train),
        "val items": len(task.val),
        "test items": len(task.test),
        "hyper-parameter chosen on": _chosen_on(task),
        "dataset": task.dataset,
        "origin": task.origin,
        "interval": METHOD,
    }


def answer(
    task: Task, reads: Sequence[Read], base: Outcome, chance: Mapping[str, float], curve: Sequence[FewShot]
) -> list[str]:
    """Sentences, the first of which can stand alone."""
    first, *others = reads
    metric = LEADING[task.kind]
    low, high = first.intervals[metric]
    name = task.target.name
    told = f"{base.predicted[0]}, the largest class of train," if task.kind == "classification" else "the mean of train"
    beside = [f"{key} {written(task, key, value)}" for key, value in first.figures.items() if key != metric]
    sentences = [
        f"A {NAME[first.chosen.method]} on frozen {task.modality} embeddings tells {name} with {metric}"
        f" {written(task, metric, first.figures[metric])} (95 % interval {written(task, metric, low)} to"
        f" {written(task, metric, high)}) on {len(task.test):,} {task.split} items; always answering {told} reaches"
        f" {written(task, metric, chance[metric])}.",
        f"Beside it: {' and '.join(beside)}.",
    ]
    sentences += [
        f"{NAME[read.chosen.method]} ({read.chosen}) reaches {metric} {written(task, metric, read.figures[metric])}."
        for read in others
    ]
    if curve:
        points = [f"{shots_of(task, p.n)} {mean_sd(task, metric, p)}" for p in curve]
        sentences.append(f"With few examples {metric} is, over {DRAWS} draws: {'; '.join(points)}.")
    if task.unseen:
        sentences.append(
            f"{sum(task.unseen.values()):,} {task.split} items are of {len(task.unseen)} classes that train lacks and"
            f" count as wrong: {', '.join(f'{label} ({n})' for label, n in task.unseen.items())}."
        )
    return sentences


def notes(task: Task, reads: Sequence[Read], curve: Sequence[FewShot]) -> list[str]:
    """Definitions, sources and limits."""
    grids = {read.chosen.method: read.chosen for read in reads}
    found = []
    if "linear" in grids:
        chosen = grids["linear"]
        model = "logistic regression by L-BFGS" if task.kind == "classification" else "ridge regression"
        found.append(
            f"Linear probe: {model} on unit-norm embeddings, centred and divided by one number for all dimensions (not"
            f" standardised one by one), fitted on train alone; {len(chosen.grid)} values of {chosen.name} from"
            f" {min(chosen.grid):g} to {max(chosen.grid):g}, evenly on a logarithmic scale."
            + (" After Radford et al. 2021, appendix A.3." if task.kind == "classification" else "")
        )
    if "knn" in grids:
        found.append(
            f"k-NN: cosine, every neighbour counts the same; k of {', '.join(f'{k:g}' for k in grids['knn'].grid)}."
        )
    found += [
        f"{NAME[r.chosen.method]}: {r.chosen} lies at the end of the tried values." for r in reads if r.chosen.at_edge
    ]
    if not len(task.val):
        why = "is tested on" if task.split == "val" else "has no such items"
        found.append(f"The val split {why}: hyper-parameters are chosen by {_chosen_on(task)}.")
    if task.kind == "classification":
        found.append("Mean per-class recall is the mean over test classes of the share that was right.")
    else:
        found.append("R² is 1 − squared error / squared distance to the test items' own mean; it may be negative.")
        few, share = _extremes(task)
        if share > 0.5:
            found.append(
                f"The {few:,} test items farthest from the mean make up {percent(share, 0)} of the squared distances"
                " that R² divides by: R² and RMSE are about them, MAE is about all."
            )
    if curve:
        name, value = STRENGTH[task.kind]
        found.append(
            f"Few examples: {name} is fixed at {value:g}, a default found on val patches of EuroSAT; choosing it anew"
            " would take more labels than those few."
        )
    if curve and task.kind == "classification":
        found.append(
            "Few examples are drawn equally often from every class, unlike the test items: accuracy may lie below that"
            " of always answering the largest class."
        )
    if task.target.table is not None:
        found.append(f"{RULE} {_left_out(task)}")
    elif any(task.empty.values()):
        found.append(_left_out(task))
    found.append(
        "Frozen means that the probe changes no tower; training may have met the target, in texts that name it."
    )
    if task.met:
        found.append(f"{task.met:,} {task.split} items share their place with an item of train.")
    return found


def written(task: Task, metric: str, value: float, *, unit: bool = True) -> str:
    """A figure as it is read: shares in per cent, R² with two digits, errors with three and their unit."""
    if task.kind == "classification":
        return percent(value)
    if metric == "R²":
        return f"{value:.2f}".replace("-0.00", "0.00")
    return f"{value:.3g}" + (f" {task.target.unit}" if unit and task.target.unit else "")


def label(task: Task, metric: str) -> str:
    """A figure's name, with the unit of an error."""
    return f"{metric} {task.target.unit}" if metric in SMALLER_IS_BETTER and task.target.unit else metric


def shots_of(task: Task, n: int) -> str:
    """A number of shots, and of what."""
    return f"{n:,} of each class" if task.kind == "classification" else f"{n:,} places"


def mean_sd(task: Task, metric: str, point: FewShot) -> str:
    """A figure's mean and standard deviation over draws."""
    mean, deviation = point.figures[metric]
    if task.kind == "classification":
        return f"{100 * mean:.1f} ± {percent(deviation)}"
    if metric == "R²":
        return f"{mean:.2f} ± {deviation:.2f}"
    return f"{mean:.3g} ± {deviation:.2g}"


def _chosen_on(task: Task) -> str:
    return (
        f"val ({len(task.val):,} items)" if len(task.val) else f"{FOLDS}-fold cross-validation in train, places apart"
    )


def _left_out(task: Task) -> str:
    counts = {"that no row belongs to": task.unjoined, "with an empty value": task.empty}
    parts = [
        f"{sum(by.values()):,} items {why} ({', '.join(f'{name} {n:,}' for name, n in by.items() if n)})"
        for why, by in counts.items()
        if sum(by.values())
    ]
    return f"Left out: {'; '.join(parts)}." if parts else "No item was left out."


def _extremes(task: Task) -> tuple[int, float]:
    """How many items one in a hundred of test is, and what share those farthest out have of all squared distances."""
    squared = np.sort((task.test.y - task.test.y.mean()) ** 2)[::-1]
    few = max(1, len(squared) // 100)
    return few, float(squared[:few].sum() / squared.sum())

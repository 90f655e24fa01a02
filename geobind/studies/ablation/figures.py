"""The figures of an ablation: what each run reached, cells over seeds, and the effect of every choice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING

from geobind.evaluate.results import AllPairs, PairResult
from geobind.studies.ablation.axes import Cell

if TYPE_CHECKING:
    from geobind.studies.ablation.study import Trial

T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's t at 97.5 % for 1 to 10 degrees of freedom; the last one serves for more, and is a little wide there."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What is compared: one column of the table."""

    of: str
    """``satellite ↔ text``, or ``emergent pairs``."""
    metric: str
    """``R@10`` or ``mAP``, mean of both directions; for emergent pairs ``median × chance``."""

    @property
    def is_share(self) -> bool:
        """Whether it lies in [0, 1] and is read in percent."""
        return "×" not in self.metric

    def write(self, value: float, *, digits: int = 1) -> str:
        """The number alone."""
        return f"{100 * value if self.is_share else value:.{digits}f}"

    @property
    def unit(self) -> str:
        """What stands behind the number."""
        return " %" if self.is_share else "×"


@dataclass(frozen=True, slots=True)
class Reached:
    """The value of a figure in one run."""

    value: float
    chance: float
    n: int
    """Queries, both directions; of emergent pairs the number of directions."""
    protocol: Mapping[str, str | int | float | None]
    """Of the first direction; of emergent pairs what they have in common."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What one choice does to one figure, against another choice and everything else being equal."""

    axis: str
    choice: str
    against: str
    """The other choice; ``the recipe`` where one axis was changed at a time."""
    figure: Figure
    by_seed: tuple[float, ...]
    """Difference with each seed, mean over the cells that differ in nothing else."""

    @property
    def mean(self) -> float:
        """Over seeds."""
        return fmean(self.by_seed)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % by Student's t over the seeds' paired differences; None for a single seed."""
        return t_interval(self.by_seed)

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


def t_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of a mean by Student's t; None for a single value."""
    if len(values) < 2:
        return None
    half = T_975[min(len(values) - 1, len(T_975)) - 1] * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def reached(result: AllPairs) -> dict[Figure, Reached]:
    """The figures of one run: each trained pair's, and the median over all emergent ones.

    R@k leads; where positives share a group mAP does, for there chance alone has a high R@k.
    """
    found: dict[Figure, Reached] = {}
    for pair in result.results:
        p = pair.protocol
        back = result.get(p.gallery, p.query)
        if p.relation == "trained" and back is not None and p.query == result.anchor:
            both, name = (pair, back), "mAP" if p.rule == "group" else f"R@{result.top}"
            found[Figure(f"{p.query} ↔ {p.gallery}", name)] = Reached(
                fmean(one.scores.named()[name] for one in both),
                fmean(one.chance.named()[name] for one in both),
                sum(one.protocol.queries for one in both),
                {"split": p.split, "split_hash": p.split_hash, "rule": p.rule, "ties": p.ties, "origin": p.origin},
            )
    emergent = [pair for pair in result.results if pair.protocol.relation == "emergent"]
    if emergent:
        common = {"split": result.split, "ties": result.ties, "origin": "; ".join(_origins(emergent))}
        found[Figure("emergent pairs", "median × chance")] = Reached(
            median(_lift(pair, result.top) for pair in emergent), 1.0, len(emergent), common
        )
    return found


def _lift(pair: PairResult, k: int) -> float:
    return pair.precision_lift if pair.protocol.rule == "group" else pair.lift(k)


def _origins(pairs: Sequence[PairResult]) -> list[str]:
    return list(dict.fromkeys(pair.protocol.origin for pair in pairs))


class Grid:
    """All runs, by cell.

    Args:
        trials: The runs.
    """

    def __init__(self, trials: Sequence[Trial]) -> None:
        self.trials = trials
        self.cells: list[Cell] = list({trial.cell.name: trial.cell for trial in trials}.values())
        self._found = {(t.cell.name, t.seed): reached(t.result) for t in trials if t.result is not None}
        self.figures = list(dict.fromkeys(figure for found in self._found.values() for figure in found))
        self.seeds = sorted({trial.seed for trial in trials})

    def values(self, cell: Cell, figure: Figure) -> dict[int, float]:
        """Seed → what was reached, of the seeds that were."""
        return {seed: run.value for seed in self.seeds if (run := self._run(cell, seed, figure))}

    def example(self, figure: Figure) -> Reached:
        """The first run that has the figure; chance and protocol are those of all."""
        return next(found[figure] for found in self._found.values() if figure in found)

    def _run(self, cell: Cell, seed: int, figure: Figure) -> Reached | None:
        return self._found.get((cell.name, seed), {}).get(figure)

    def is_whole(self, cell: Cell, figure: Figure) -> bool:
        """Whether all seeds reached the figure."""
        return len(self.values(cell, figure)) == len(self.seeds)

    def ranked(self, figure: Figure) -> list[Cell]:
        """Cells with all seeds, the best mean first."""
        whole = [cell for cell in self.cells if self.is_whole(cell, figure)]
        return sorted(whole, key=lambda cell: -fmean(self.values(cell, figure).values()))

    def seconds(self, cell: Cell) -> list[float]:
        """Binding times of the runs that were finished."""
        return [trial.seconds for trial in self._sound() if trial.cell.name == cell.name]

    def effects(self, over: Mapping[str, Sequence[str]], *, one_at_a_time: bool) -> list[Effect]:
        """Every choice against the first one of its axis that did not fail, or against the recipe.

        Cells count where all seeds have both.
        """
        found = []
        for axis, choices in over.items():
            sound = [
                choice for choice in choices if any((axis, choice) in trial.cell.choices for trial in self._sound())
            ]
            against = "the recipe" if one_at_a_time or not sound else sound[0]
            for choice in sound if one_at_a_time else sound[1:]:
                pairs = self._alike(axis, choice, None if one_at_a_time else against)
                for figure in self.figures:
                    both = [pair for pair in pairs if all(self.is_whole(cell, figure) for cell in pair)]
                    if both:
                        by_seed = tuple(
                            fmean(self.values(a, figure)[seed] - self.values(b, figure)[seed] for a, b in both)
                            for seed in self.seeds
                        )
                        found.append(Effect(axis, choice, against, figure, by_seed))
        return found

    def _sound(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.result is not None]

    def _alike(self, axis: str, choice: str, against: str | None) -> list[tuple[Cell, Cell]]:
        """Cells with the choice, each with the one that differs in it alone; without ``against``, in not having it."""
        by_choices = {cell.choices: cell for cell in self.cells}
        found = []
        for cell in self.cells:
            if (axis, choice) in cell.choices:
                other = tuple(
                    (name, against if name == axis else own)
                    for name, own in cell.choices
                    if against is not None or name != axis
                )
                if other in by_choices:
                    found.append((cell, by_choices[other]))  # type: ignore[index]
        return found

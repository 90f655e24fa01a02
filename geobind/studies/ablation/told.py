"""What ``geobind ablate`` says: cells, effects and failures, in sentences and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from geobind.errors import DataError
from geobind.evaluate.findings import Finding, Measure, Table, Value
from geobind.plan import Plan
from geobind.studies.ablation.axes import Cell
from geobind.studies.ablation.figures import Effect, Figure, Grid, t_interval
from geobind.studies.ablation.pictures import cells_picture

if TYPE_CHECKING:
    from geobind.studies.ablation.study import Trial

MOST_TOLD = 6
"""Effects told in sentences; the table has all."""


def finding(
    plan: Plan, over: Mapping[str, Sequence[str]], trials: Sequence[Trial], *, split: str, one_at_a_time: bool
) -> Finding:
    """Put the runs into words, tables and a picture.

    Raises:
        DataError: Not one run could be finished.
    """
    grid = Grid(trials)
    if not grid.figures:
        raise DataError(f"not one of {len(trials)} runs could be finished; the first because: {trials[0].reason}")
    effects = grid.effects(over, one_at_a_time=one_at_a_time)
    failed = {cell.name: reasons for cell in grid.cells if (reasons := _reasons(grid, cell))}
    protocol = _protocol(plan, over, grid, split, one_at_a_time=one_at_a_time)
    return Finding(
        name="ablation",
        title="What does each choice contribute?",
        answer=(
            *(_best(grid, figure, split) for figure in grid.figures if len(grid.ranked(figure)) > 1),
            _effects_told(effects, grid),
            *([f"{len(failed)} of {len(grid.cells)} cells failed: {'; '.join(failed)}."] if failed else []),
        ),
        protocol=protocol,
        measures=(*_measures(grid, protocol), *_effect_measures(effects, grid, protocol)),
        tables=(
            _cells_table(grid, over, one_at_a_time=one_at_a_time),
            *([_effects_table(effects, grid)] if effects else []),
            *([_failed_table(failed)] if failed else []),
        ),
        pictures=(cells_picture(grid, over, one_at_a_time=one_at_a_time),),
        notes=_notes(grid, over),
        details={
            "over": {axis: list(choices) for axis, choices in over.items()},
            "runs": [
                {
                    "cell": dict(trial.cell.choices),
                    "seed": trial.seed,
                    "seconds": trial.seconds,
                    "reason": trial.reason,
                    "figures": {
                        f"{figure.of} {figure.metric}": grid.values(trial.cell, figure).get(trial.seed)
                        for figure in grid.figures
                    },
                }
                for trial in trials
            ],
        },
    )


def _reasons(grid: Grid, cell: Cell) -> list[str]:
    return list(dict.fromkeys(t.reason for t in grid.trials if t.cell.name == cell.name and t.result is None))


def _protocol(
    plan: Plan, over: Mapping[str, Sequence[str]], grid: Grid, split: str, *, one_at_a_time: bool
) -> dict[str, Value]:
    compared = "validation, so that choices leave the test split untouched" if split == "val" else split
    return {
        "recipe": plan.name,
        "stages": ", ".join(stage.config.name for stage in plan.stages),
        "varied": "; ".join(f"{axis}: {', '.join(choices)}" for axis, choices in over.items()),
        "design": "the recipe, and each choice alone" if one_at_a_time else "every combination",
        "cells": len(grid.cells),
        "seeds": len(grid.seeds),
        "split": compared,
        "binding": "from nothing for every run",
        "figure of a pair": "mean of both directions",
    }


def _name(figure: Figure) -> str:
    return f"{figure.of} {figure.metric}"


def _spread(figure: Figure, values: Sequence[float]) -> str:
    """``24.1 ± 0.3``: mean and standard deviation over seeds."""
    mean = figure.write(fmean(values))
    return f"{mean} ± {figure.write(stdev(values))}" if len(values) > 1 else mean


def _best(grid: Grid, figure: Figure, split: str) -> str:
    ranked = grid.ranked(figure)
    told = [f"{_spread(figure, [*grid.values(c, figure).values()])}{figure.unit}" for c in (ranked[0], ranked[-1])]
    chance = "" if not figure.is_share else f" (chance {figure.write(grid.example(figure).chance)} %)"
    return (
        f"{_name(figure)} on {split} is highest with {ranked[0].name}: {told[0]}, and lowest with {ranked[-1].name}:"
        f" {told[1]}{chance}."
    )


def _effects_told(effects: Sequence[Effect], grid: Grid) -> str:
    clear = [effect for effect in effects if effect.is_clear]
    if len(grid.seeds) == 1:
        return "With a single seed no effect has an interval: ask for more seeds before believing a difference."
    if not clear:
        return f"No effect's 95 % interval over {len(grid.seeds)} seeds leaves out zero."
    told = [f"{_change(effect)} changes {_name(effect.figure)} by {_difference(effect)}" for effect in clear]
    more = f"; and {len(clear) - MOST_TOLD} more in the table" if len(clear) > MOST_TOLD else ""
    return f"Intervals that leave out zero: {'; '.join(told[:MOST_TOLD])}{more}."


def _change(effect: Effect) -> str:
    return f"{effect.axis}={effect.choice} instead of {effect.against}"


def _difference(effect: Effect) -> str:
    """``+1.2 points [+0.4, +2.0]``."""
    unit = " points" if effect.figure.is_share else "×"
    return f"{_signed(effect.figure, effect.mean)}{unit}{_interval(effect)}"


def _interval(effect: Effect) -> str:
    if effect.interval is None:
        return ""
    low, high = (_signed(effect.figure, end) for end in effect.interval)
    return f" [{low}, {high}]"


def _signed(figure: Figure, value: float) -> str:
    text = figure.write(abs(value))
    return ("+" if value > 0 else "−") * (float(text) != 0) + text


def _cells_table(grid: Grid, over: Mapping[str, Sequence[str]], *, one_at_a_time: bool) -> Table:
    best = {figure: ranked[0].name for figure in grid.figures if len(ranked := grid.ranked(figure)) > 1}

    def cell_of(cell: Cell, figure: Figure) -> str:
        values = [*grid.values(cell, figure).values()]
        if not values:
            return "–"
        return _spread(figure, values) + " ●" * (best.get(figure) == cell.name)

    def seconds(cell: Cell) -> str:
        return f"{fmean(found):.1f}" if (found := grid.seconds(cell)) else "–"

    return Table(
        title="Cells",
        columns=(
            *(("cell",) if one_at_a_time else over),
            *(f"{_name(figure)}{' %' if figure.is_share else ''}" for figure in grid.figures),
            "binding s",
        ),
        rows=tuple(
            (
                *((cell.name,) if one_at_a_time else (choice for _, choice in cell.choices)),
                *(cell_of(cell, figure) for figure in grid.figures),
                seconds(cell),
            )
            for cell in grid.cells
        ),
        note="Mean ± standard deviation over seeds; ● the best mean of a column. Chance: "
        + ", ".join(f"{_name(f)} {f.write(grid.example(f).chance)} %" for f in grid.figures if f.is_share)
        + ".",
    )


def _effects_table(effects: Sequence[Effect], grid: Grid) -> Table:
    found = {(e.axis, e.choice, e.against, e.figure): e for e in effects}
    rows = dict.fromkeys((e.axis, e.choice, e.against) for e in effects)

    def written(key: tuple[str, str, str], figure: Figure) -> str:
        effect = found.get((*key, figure))
        return "–" if effect is None else _signed(figure, effect.mean) + _interval(effect)

    return Table(
        title="Effect of each choice",
        columns=(
            "axis",
            "choice",
            "against",
            *(f"{_name(figure)}{', points' if figure.is_share else ''}" for figure in grid.figures),
        ),
        rows=tuple((*key, *(written(key, figure) for figure in grid.figures)) for key in rows),
        note="Mean difference over the cells that differ in nothing else, paired by seed, with its 95 % interval.",
    )


def _failed_table(failed: Mapping[str, Sequence[str]]) -> Table:
    return Table(
        title="Failed",
        columns=("cell", "reason"),
        rows=tuple((name, reason) for name, reasons in failed.items() for reason in reasons),
    )


def _measures(grid: Grid, protocol: Mapping[str, Value]) -> list[Measure]:
    found = []
    for cell in grid.cells:
        for figure in grid.figures:
            values, example = [*grid.values(cell, figure).values()], grid.example(figure)
            if values:
                low, high = t_interval(values) or (None, None)
                found.append(
                    Measure(
                        of=f"{figure.of} ({cell.name})",
                        metric=figure.metric,
                        value=fmean(values),
                        low=low,
                        high=high,
                        chance=example.chance,
                        n=example.n,
                        protocol={**protocol, **example.protocol, "cell": cell.name, "interval": "t over seeds"},
                    )
                )
    return found


def _effect_measures(effects: Sequence[Effect], grid: Grid, protocol: Mapping[str, Value]) -> list[Measure]:
    found = []
    for effect in effects:
        low, high = effect.interval or (None, None)
        example = grid.example(effect.figure)
        found.append(
            Measure(
                of=f"{effect.figure.of}: {_change(effect)}",
                metric=f"{effect.figure.metric}, difference",
                value=effect.mean,
                low=low,
                high=high,
                n=example.n,
                protocol={**protocol, **example.protocol, "interval": "t over seeds, paired"},
            )
        )
    return found


def _notes(grid: Grid, over: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return (
        "R@k of pairs by place or list; mAP of pairs by group, where chance alone has a high R@k. Emergent pairs: the"
        " median over all directions of the same figures as multiples of chance.",
        "Intervals are Student's t over seeds: they hold what another initialisation and another order of the data"
        " would change, not what other queries would. Over two seeds they reach nine standard deviations to either"
        " side. They are not corrected for their number: of twenty effects that are none, one is expected to look"
        " clear.",
        "The best of many cells is best partly by chance: measure it once more on the test split.",
        "Binding times hold features that had to be computed first; the runs that find them stored are faster.",
        *(
            [
                "joint: every step takes a batch of each stage, sums their losses with equal weights and moves the"
                " anchor and all modalities together. The stage with the most batches sets the epochs, shorter ones"
                " begin anew when they are through and so meet their pairs more often than staged; the anchor learns"
                " from all stages. interleaved: the same, but a step takes the batch of one stage, and each comes as"
                " often as its pairs and its ratio say. staged: one stage after the other, as the recipe says."
            ]
            if "training" in over
            else []
        ),
        *(["temperature: a number stays fixed; learned starts from the recipe's."] if "temperature" in over else []),
        *(
            ["init=random: the anchor's encoder without its weights, drawn anew with every seed."]
            if "init" in over
            else []
        ),
        *(f"{figure.of}: pairs by {grid.example(figure).protocol['origin']}" for figure in grid.figures),
    )

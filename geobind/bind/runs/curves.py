"""The curves of runs as a PNG: a row per stage, a column per quantity, every line labelled where it ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from geobind.bind.runs.history import LETTERS, Line, PastRun, best_line, number
from geobind.bind.runs.sheet import Sheet, label, nothing, spell
from geobind.palette import GREY, INK, LIGHT, SERIES, Colour, hexadecimal, shade

DOTS = 25
"""A curve of no more points shows each of them."""
BARS = 40
"""At most so many stand side by side; more epochs are averaged."""
WAIT, WORK, REST = SERIES[1], LIGHT[1:5], [shade(((255, 255, 255), GREY), level) for level in (0.3, 0.6)]
"""Time waited for data stands out from time worked, and from what is neither."""


@dataclass(frozen=True)
class Curve:
    """One quantity over the epochs."""

    label: str
    colour: Colour
    x: list[float]
    y: list[float]

    @classmethod
    def of(cls, label: str, colour: Colour, lines: Sequence[Line], metric: str) -> Curve:
        """A metric of lines; epochs where it was not measured are left out, those where it was not finite are gaps."""
        at = [line for line in lines if metric in line]
        return cls(label, colour, [number(line, "epoch") for line in at], [number(line, metric) for line in at])

    @property
    def end(self) -> float:
        """The last value that is finite; NaN where there is none."""
        return next((y for y in reversed(self.y) if math.isfinite(y)), math.nan)


def draw_run(run: PastRun) -> bytes:
    """The curves of one run: losses, recall, ranks, learning rate, and where the time went."""
    stages = {stage: lines for stage in run.stages if (lines := run.metrics(stage))}
    keys = {key for lines in stages.values() for line in lines for key in line}
    columns = [
        name
        for name, shown in {
            "loss": True,
            "recall": any("recall@" in key for key in keys),
            "median rank": "val_median_rank" in keys,
            "learning rate": "lr" in keys,
            "seconds per epoch": True,
        }.items()
        if shown
    ]
    sheet = Sheet(run.name, [(f"{run.status}, recipe {run.state.get('recipe')}", GREY)], columns, len(stages))
    for row, (stage, lines) in enumerate(stages.items()):
        metric = run.metric(stage)
        best = best_line(lines, metric)
        told = f"best epoch {best['epoch']} ({metric} {number(best, metric):.4g})" if best else ""
        sheet.heading(row, stage, told)
        for column, quantity in enumerate(columns):
            axes = sheet.axes(row, column)
            _limit(axes, [lines])
            _draw(axes, quantity, lines)
            if best:
                axes.axvline(best["epoch"], color=hexadecimal(GREY), linewidth=0.7, linestyle=(0, (2, 3)), zorder=0)
    return sheet.png()


def draw_comparison(runs: Sequence[PastRun], metric: str) -> bytes:
    """The curves of runs (A, B, …) over each other: the loss, a metric of choice, and pairs per second.

    Args:
        runs: As many as there are hues for lines, at most.
        metric: As ``metrics.jsonl`` calls it.
    """
    stages = dict.fromkeys(stage for run in runs for stage in run.stages if run.metrics(stage))
    shown = list(dict.fromkeys(("loss", metric, "pairs_per_s")))
    named = list(zip(LETTERS, SERIES, runs, strict=False))
    key = [(f"{letter}  {run.name}, {run.status}", hue) for letter, hue, run in named]
    titles = [quantity.replace("_per_", "/").replace("_", " ") for quantity in shown]
    sheet = Sheet(f"{len(runs)} runs compared", key, titles, len(stages))
    for row, stage in enumerate(stages):
        sheet.heading(row, stage, "")
        measured = [run.metrics(stage) for run in runs]
        for column, quantity in enumerate(shown):
            axes = sheet.axes(row, column)
            _limit(axes, measured)
            curves = [
                Curve.of(letter, hue, lines, quantity) for (letter, hue, _), lines in zip(named, measured, strict=True)
            ]
            _draw_lines(axes, curves, percent="recall" in quantity, from_0=quantity == "pairs_per_s")
    return sheet.png()


def _limit(axes: Axes, runs: Sequence[Sequence[Line]]) -> None:
    """The same epochs in every column of a row."""
    epochs = [number(line, "epoch") for lines in runs for line in lines]
    axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)


def _draw(axes: Axes, quantity: str, lines: Sequence[Line]) -> None:
    """One quantity of one stage."""
    if quantity == "loss":
        _draw_lines(axes, [Curve.of("train", SERIES[0], lines, "loss"), Curve.of("val", SERIES[1], lines, "val_loss")])
    elif quantity == "recall":
        keys = dict.fromkeys(key for line in lines for key in line if key.startswith("val_recall@"))
        hues = zip(keys, (*SERIES, *SERIES), strict=False)
        _draw_lines(
            axes, [Curve.of(key.removeprefix("val_recall"), hue, lines, key) for key, hue in hues], percent=True
        )
    elif quantity == "median rank":
        _draw_lines(axes, [Curve.of("", SERIES[1], lines, "val_median_rank")])
    elif quantity == "learning rate":
        _draw_lines(axes, [Curve.of("", SERIES[0], lines, "lr")])
    else:
        _draw_time(axes, lines)


def _draw_lines(axes: Axes, curves: Sequence[Curve], *, percent: bool = False, from_0: bool = False) -> None:
    curves = [curve for curve in curves if math.isfinite(curve.end)]
    if not curves:
        nothing(axes)
        return
    for curve in curves:
        dots = "o" if len(curve.x) <= DOTS else ""
        axes.plot(curve.x, curve.y, color=hexadecimal(curve.colour), linewidth=1.4, marker=dots, markersize=2.6)
    if percent or from_0:
        highest = max(y for curve in curves for y in curve.y if math.isfinite(y))
        axes.set_ylim(0, 1.1 * highest if highest > 0 else 1)
    if percent:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    ends = [(curve, f"{100 * curve.end:.3g} %" if percent else spell(curve.end)) for curve in curves]
    label(axes, [(f"{curve.label} {end}".strip(), curve.colour, curve.end) for curve, end in ends])


def _draw_time(axes: Axes, lines: Sequence[Line]) -> None:
    """Seconds per epoch, in their parts where these were measured."""
    known = ("time_data", "time_forward", "time_loss", "time_backward", "time_optimiser")
    others = sorted({key for line in lines for key in line if key.startswith("time_")} - set(known))
    parts = [key for key in (*known, *others) if any(key in line for line in lines)]
    if not parts:
        _draw_lines(axes, [Curve.of("", SERIES[0], lines, "seconds")])
        return
    colours = dict(zip(known, (WAIT, *WORK), strict=True)) | dict(zip(others, (*REST, *REST, *REST), strict=False))
    # One bar for each epoch, or for several in a row.
    size = math.ceil(len(lines) / BARS)
    groups = [lines[start : start + size] for start in range(0, len(lines), size)]
    between = [(number(a[-1], "epoch") + number(b[0], "epoch")) / 2 for a, b in pairwise(groups)]
    edges = [number(lines[0], "epoch") - 0.5, *between, number(lines[-1], "epoch") + 0.5]
    below = [0.0] * len(groups)
    labels = []
    total = math.fsum(number(line, key) for line in lines for key in parts if key in line) or 1.0
    for key in parts:
        seconds = [[number(line, key) if key in line else 0.0 for line in group] for group in groups]
        above = [low + math.fsum(group) / len(group) for low, group in zip(below, seconds, strict=True)]
        axes.stairs(above, edges, baseline=below, fill=True, color=hexadecimal(colours[key]), linewidth=0)
        share = math.fsum(second for group in seconds for second in group) / total
        if share >= 0.03:
            text = f"{key.removeprefix('time_')} {100 * share:.0f} %"
            labels.append((text, INK[0], (below[-1] + above[-1]) / 2))
        below = above
    axes.set_ylim(bottom=0)
    label(axes, labels)

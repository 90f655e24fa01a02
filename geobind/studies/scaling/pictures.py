"""What ``--scaling`` shows: quality of each pair, time and size over the number of modalities."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING, NamedTuple

from matplotlib.axes import Axes

from geobind.evaluate.findings import Picture
from geobind.evaluate.plots import figure, heading, png
from geobind.evaluate.report.overview import Metric, times
from geobind.palette import GREY, INK, SERIES, Colour, hexadecimal

if TYPE_CHECKING:
    from geobind.studies.scaling.study import Step

ROW = 0.2
"""Inches that a label takes."""
LOOKS: dict[str, tuple[Colour, str]] = {"trained": (SERIES[0], "-"), "emergent": (SERIES[1], "--")}
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Line(NamedTuple):
    """One pair of modalities over the stages."""

    name: str
    relation: str
    steps: tuple[int, ...]
    """Numbers of the stages after which it was measured, from 1."""
    values: tuple[float, ...]
    """Mean of both directions."""


def pictures(steps: Sequence[Step], metric: Metric) -> tuple[Picture, ...]:
    """Quality over the number of modalities, and what each stage costs."""
    return _quality(steps, metric), _cost(steps)


def _quality(steps: Sequence[Step], metric: Metric) -> Picture:
    lines = _lines(steps, metric)
    tall = max(2.4, ROW * len(lines))
    sheet, (axes,) = figure(7.2, tall + 1.4)
    for line in lines:
        colour, dash = LOOKS[line.relation]
        axes.plot(line.steps, line.values, dash, color=hexadecimal(colour), linewidth=1.6, marker="o", markersize=4)
    values = [value for line in lines for value in line.values]
    low, high = min(0.8, 0.9 * min(values)), max(2.0, *values) * 1.15
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.minorticks_off()
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:g}×" for tick in ticks])
    _name_steps(axes, steps)
    axes.set_xlim(0.7, len(steps) + 0.15)
    heading(axes, f"{metric.label}, mean of both directions")
    _label(axes, lines, tall)
    for relation in dict.fromkeys(line.relation for line in lines):
        colour, dash = LOOKS[relation]
        axes.plot([], [], dash, color=hexadecimal(colour), label=f"{relation} pairs")
    axes.axhline(1, color=hexadecimal(GREY), linewidth=1, linestyle=":", label="chance")
    sheet.legend(loc="outside lower left", frameon=False, fontsize=8, labelcolor=hexadecimal(GREY), ncols=3)
    told = "; ".join(f"{line.name} {', '.join(map(times, line.values))}" for line in lines)
    return Picture(
        name="scaling-quality",
        caption=(
            f"{metric.label} of every pair after each stage, on a logarithmic scale. A level line is a pair that the"
            " later stages left as it was; a line that ends has gone stale."
        ),
        alt=f"{metric.label} per pair, stage by stage: {told}.",
        png=png(sheet),
    )


def _lines(steps: Sequence[Step], metric: Metric) -> list[Line]:
    pairs = dict.fromkeys((p.protocol.query, p.protocol.gallery) for step in steps for p in step.result.results)
    lines = []
    for a, b in pairs:
        if (b, a) in pairs and list(pairs).index((b, a)) < list(pairs).index((a, b)):
            continue
        found = {
            number: (one, other)
            for number, step in enumerate(steps, start=1)
            if (one := step.result.get(a, b)) and (other := step.result.get(b, a))
        }
        values = tuple((metric.value(one) + metric.value(other)) / 2 for one, other in found.values())
        relation = next(one.protocol.relation for one, _ in found.values())
        lines.append(Line(f"{a} ↔ {b}", relation, tuple(found), values))
    return lines


def _label(axes: Axes, lines: Sequence[Line], tall: float) -> None:
    """Names at the right, each at the height where its line ends, or as near to it as the others leave room."""
    low, high = map(log, axes.get_ylim())
    order = sorted(lines, key=lambda line: line.values[-1])
    at = [(log(line.values[-1]) - low) / (high - low) for line in order]
    gap = ROW / tall
    for row in range(len(at)):  # up from the lowest, then down from the highest
        at[row] = max(at[row], at[row - 1] + gap if row else 0.0)
    for row in reversed(range(len(at))):
        at[row] = min(at[row], at[row + 1] - gap if row + 1 < len(at) else 1.0)
    for line, height in zip(order, at, strict=True):
        axes.annotate(
            f"{line.name}  {times(line.values[-1])}",
            (line.steps[-1], line.values[-1]),
            xytext=(1.05, height),
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            color=hexadecimal(LOOKS[line.relation][0]),
            arrowprops={
                "arrowstyle": "-",
                "color": hexadecimal(GREY),
                "linewidth": 0.5,
                "relpos": (0, 0.5),  # from the label's left edge: no line runs through another label
                "shrinkB": 4,
            },
        )


def _cost(steps: Sequence[Step]) -> Picture:
    panels = {
        "Binding the stage, s": ([step.bind_s for step in steps], "{:.1f}"),
        "Peak memory, MB": ([step.peak_mb for step in steps], "{:,.0f}"),
        "Space on disk, MB": ([step.space_mb for step in steps], "{:.3g}"),
    }
    sheet, cells = figure(9.6, 2.8, columns=len(panels))
    for axes, (title, (values, form)) in zip(cells, panels.items(), strict=True):
        bars = axes.bar(range(1, len(steps) + 1), values, width=0.6, color=hexadecimal(SERIES[0]))
        texts = [form.format(value) for value in values]
        axes.bar_label(bars, texts, padding=2, fontsize=8, color=hexadecimal(INK[0]))
        axes.set_ylim(0, max(values) * 1.12)
        _name_steps(axes, steps)
        heading(axes, title)
    told = "; ".join(
        f"{title}: {', '.join(form.format(v) for v in values)}" for title, (values, form) in panels.items()
    )
    return Picture(
        name="scaling-cost",
        caption=(
            "What each stage took and left. Memory is the peak of the whole process, evaluation and libraries included."
        ),
        alt=f"Three bar charts, a bar per stage. {told}.",
        png=png(sheet),
    )


def _name_steps(axes: Axes, steps: Sequence[Step]) -> None:
    axes.set_xlim(0.5, len(steps) + 0.5)
    axes.set_xticks(range(1, len(steps) + 1), [f"{step.modalities}\n+ {step.stage}" for step in steps])
    axes.set_xlabel("modalities by now, and the stage added")

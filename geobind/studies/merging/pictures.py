"""What a sweep shows: each figure over alpha, with its interval and chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.axes import Axes

from geobind.evaluate.findings import Picture
from geobind.evaluate.plots import figure, heading, png
from geobind.palette import GREY, INK, SERIES, hexadecimal
from geobind.studies.merging.asked import Asked

if TYPE_CHECKING:
    from geobind.studies.merging.study import Sweep

COLUMNS = 3
PANEL = 3.4
"""Inches."""
MOST_TICKS = 6
"""Of more alphas than these the quarters alone are written."""


def curves(sweep: Sweep) -> Picture:
    """A panel for every figure."""
    columns = min(COLUMNS, len(sweep.asked))
    rows = -(-len(sweep.asked) // columns)
    sheet, cells = figure(max(4.8, columns * PANEL), 0.4 + 2.6 * rows, rows=rows, columns=columns)
    for axes, asked in zip(cells, sweep.asked, strict=False):
        _panel(axes, sweep, asked)
    for spare in cells[len(sweep.asked) :]:
        spare.set_axis_off()
    handles, labels = cells[0].get_legend_handles_labels()
    sheet.legend(
        handles,
        labels,
        loc="outside lower left",
        frameon=False,
        fontsize=8,
        labelcolor=hexadecimal(GREY),
        ncols=len(labels),
    )
    told = [
        f"{asked.label}: "
        + ", ".join(
            f"{asked.write(value)} at {point.alpha:g}"
            for point, value in zip(sweep.points, sweep.values(asked), strict=True)
        )
        for asked in sweep.asked
    ]
    return Picture(
        name="merging",
        caption=(
            f"{'Each figure' if len(sweep.asked) > 1 else sweep.asked[0].label} over alpha, on the {sweep.split} split:"
            f" {sweep.a.name} at 0, {sweep.b.name} at 1, with 95 % intervals. Scales begin where the values do, not at"
            " zero."
        ),
        alt=f"{'; '.join(told)}. Best at alpha {sweep.best.alpha:g}.",
        png=png(sheet),
    )


def _panel(axes: Axes, sweep: Sweep, asked: Asked) -> None:
    scale = 100 if asked.is_share else 1
    alphas = [point.alpha for point in sweep.points]
    values = [scale * value for value in sweep.values(asked)]
    found = [asked.of(point.result) for point in sweep.points]
    colour = hexadecimal(SERIES[0])
    if all(asked.figure in one.intervals for one in found):
        low, high = zip(*(one.intervals[asked.figure] for one in found), strict=True)
        axes.fill_between(
            alphas,
            [scale * value for value in low],
            [scale * value for value in high],
            color=colour,
            alpha=0.15,
            linewidth=0,
            label="95 % interval",
        )
    axes.plot(alphas, values, color=colour, linewidth=1.6, marker="o", markersize=4)
    best = sweep.points.index(sweep.best)
    axes.plot(
        alphas[best],
        values[best],
        "o",
        markersize=9,
        markerfacecolor="none",
        color=hexadecimal(INK[0]),
        label="best" if len(sweep.asked) == 1 else f"the alpha with the best {sweep.asked[0].label}",
    )
    if (chance := found[0].chance.named().get(asked.figure)) is not None:
        axes.axhline(scale * chance, color=hexadecimal(GREY), linewidth=1, linestyle=":", label="chance")
    ticks = alphas if len(alphas) <= MOST_TICKS else [alpha for alpha in alphas if 4 * alpha == int(4 * alpha)]
    axes.set_xticks(ticks, [_tick(sweep, alpha) for alpha in ticks])
    axes.set_xlabel("alpha")
    heading(axes, f"{asked.label}{', %' if asked.is_share else ' (less is better)'}")


def _tick(sweep: Sweep, alpha: float) -> str:
    """The two spaces are named where they are."""
    name = {0.0: sweep.a.name, 1.0: sweep.b.name}.get(alpha)
    return f"{alpha:g}" if name is None else f"{alpha:g}\n{name}"

"""The picture of ``--emergent``: every direction's lift with its interval, trained filled, emergent hollow."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from geobind.evaluate.emergent.relations import Relation
from geobind.evaluate.findings import Picture
from geobind.evaluate.plots import figure, heading, png, style
from geobind.evaluate.report.overview import times
from geobind.palette import GREY, INK, LIGHT, SERIES, hexadecimal

FLOOR = 0.1
"""Lifts below this are drawn at it: a logarithm has no place for 0."""


def draw(metric: str, found: Sequence[Relation]) -> Picture:
    """A row per direction, the strongest on top, on a logarithmic axis with chance at 1×."""
    order = sorted(found, key=lambda relation: relation.lift)
    sheet, (axes,) = figure(8.6, 1.5 + 0.27 * len(order))
    style(axes, grid="x")
    axes.set_xscale("log")
    axes.axvline(1, color=hexadecimal(GREY), linewidth=1.2)
    for y, relation in enumerate(order):
        colour = hexadecimal(SERIES[0] if relation.trained else SERIES[1])
        if relation.interval is not None:
            low, high = (max(end, FLOOR) for end in relation.interval)
            axes.plot([low, high], [y, y], color=colour, linewidth=1.4, alpha=0.8, solid_capstyle="butt")
        axes.plot(1 / relation.chance, y, "|", color=hexadecimal(LIGHT[2]), markersize=9, markeredgewidth=1.5)
        fill = colour if relation.trained else "white"
        axes.plot(
            max(relation.lift, FLOOR), y, "o", color=colour, markerfacecolor=fill, markersize=6, markeredgewidth=1.4
        )
    axes.set_yticks(range(len(order)), [_label(relation) for relation in order], color=hexadecimal(INK[0]))
    axes.set_ylim(-0.7, len(order) - 0.3)
    ends = [end for relation in order for end in (relation.lift, 1 / relation.chance, *(relation.interval or ()))]
    axes.set_xlim(max(min(0.7, 0.85 * min(ends)), 0.9 * FLOOR), 1.25 * max(ends))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel(f"{metric} as a multiple of chance, 95 % interval")
    heading(axes, "Trained and emergent relations, against chance (1×)")
    marks = [
        axes.plot([], [], "o", color=hexadecimal(SERIES[0]), markersize=6)[0],
        axes.plot([], [], "o", color=hexadecimal(SERIES[1]), markerfacecolor="white", markeredgewidth=1.4)[0],
        axes.plot([], [], "|", color=hexadecimal(LIGHT[2]), markersize=9, markeredgewidth=1.5)[0],
    ]
    words = ["trained", "emergent", "a perfect space"]
    sheet.legend(marks, words, fontsize=8, frameon=False, loc="outside lower center", ncols=3)
    new = [relation.lift for relation in order if not relation.trained]
    return Picture(
        name="emergent",
        caption=f"{metric} of every direction as a multiple of chance (line at 1×), with its 95 % interval; the pale"
        " tick is what a perfect space would reach. Where pairs go by scene class, or one side is synthesised, the"
        " label says so.",
        alt=f"Dot plot of {len(order)} directions; the {len(new)} emergent ones lie between {times(min(new))} and"
        f" {times(max(new))} chance.",
        png=png(sheet),
    )


def _label(relation: Relation) -> str:
    return relation.name + relation.aside.replace(" (", " · ").removesuffix(")")

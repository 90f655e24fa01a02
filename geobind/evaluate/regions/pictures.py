"""The pictures of ``--regions``: maps of blocks, and dots by the values of a tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from geobind.evaluate.findings import Picture, percent
from geobind.evaluate.plots import figure, heading, png, style
from geobind.evaluate.regions import worldmap
from geobind.evaluate.regions.groups import LEAST, Group, corner
from geobind.evaluate.regions.worldmap import Cell, View
from geobind.palette import GREY, INK, LIGHT, SERIES, hexadecimal

MOST = 30
"""Values of a tag that are drawn: those of the most places."""
PALE = "#b3babc"


def draw_map(name: str, metric: str, blocks: Mapping[str, Group], *, degrees: float, aside: str = "") -> Picture:
    """One direction's blocks on a map.

    Args:
        name: ``satellite → text``.
        metric: ``R@10``.
        blocks: Block → group.
        degrees: Their side.
        aside: How the pairs came about, behind the name.
    """
    cells = [Cell(*corner(block, degrees), group.recall, group.places, group.read) for block, group in blocks.items()]
    read = [cell for cell in cells if cell.read]
    across, up = View.of(cells, degrees).size
    sheet, (axes,) = figure(max(across + 0.7, 6.4), up + 1.3)
    worldmap.draw(sheet, axes, cells, degrees=degrees, metric=metric)
    heading(axes, f"{name}{aside}: {metric} by the queries' block of {degrees:g}°")
    return Picture(
        name=f"regions-map-{name.replace(' → ', '-')}",
        caption=f"{name}{aside}: {metric} of the queries in each block of {degrees:g}°, ranking the whole gallery;"
        f" {len(read)} of {len(cells)} blocks hold {LEAST} places or more, the others are grey.",
        alt=f"Map of {len(cells)} blocks"
        + (
            f"; {metric} goes from {percent(min(c.value for c in read), 0)} to"
            f" {percent(max(c.value for c in read), 0)}."
            if read
            else "."
        ),
        png=png(sheet),
    )


def draw_tag(
    tag: str,
    metric: str,
    columns: Mapping[str, Mapping[str, Group]],
    wholes: Mapping[str, Group],
    *,
    titles: Sequence[str] = (),
) -> Picture:
    """The values of a tag, a column of dots per direction.

    Args:
        tag: Its name.
        metric: ``R@10``.
        columns: Direction → value → group, in the order they are drawn in from the top.
        wholes: Direction → all queries with a value.
        titles: Values that stand over others and are set in bold.
    """
    places: dict[str, int] = {}
    for groups in columns.values():
        for value, group in groups.items():
            places[value] = max(places.get(value, 0), group.places)
    kept = set(sorted(places, key=lambda value: -places[value])[:MOST])
    values = [value for value in places if value in kept][::-1]
    sheet, cells = figure(2.2 + 2.5 * len(columns), 1.4 + 0.27 * len(values), columns=len(columns))
    for i, (axes, (name, groups)) in enumerate(zip(cells, columns.items(), strict=True)):
        _column(axes, metric, values, groups, wholes[name])
        heading(axes, name)
        axes.set_yticks(range(len(values)), values if i == 0 else [""] * len(values), color=hexadecimal(INK[0]))
        for text in axes.get_yticklabels():
            text.set_fontweight("bold" if text.get_text() in titles else "normal")
    more = f" The {MOST} values of the most places of {len(places)} are drawn." if len(places) > MOST else ""
    return Picture(
        name=f"regions-{tag}",
        caption=f"{metric} of the queries of each {tag}, ranking the whole gallery, with 95 % Wilson intervals by"
        f" places; the line is all queries with a {tag}, the pale tick chance. Grey: fewer than {LEAST} places, not"
        f" to be read, and cut off at the edge.{more}",
        alt=f"Dot plot of {metric} by {tag} for {', '.join(columns)}.",
        png=png(sheet),
    )


def _column(axes: Axes, metric: str, values: Sequence[str], groups: Mapping[str, Group], whole: Group) -> None:
    style(axes, grid="x")
    axes.axvline(whole.recall, color=hexadecimal(GREY), linewidth=1)
    top = max([whole.high, *(group.high for group in groups.values() if group.read)])
    for y, value in enumerate(values):
        group = groups.get(value)
        if group is None:
            continue
        colour = hexadecimal(SERIES[0]) if group.read else PALE
        axes.plot([group.low, min(group.high, 1.04 * top)], [y, y], color=colour, linewidth=1.4)
        axes.plot(group.chance, y, "|", color=hexadecimal(LIGHT[2]), markersize=8, markeredgewidth=1.5)
        if group.recall <= 1.04 * top:
            axes.plot(group.recall, y, "o", color=colour, markersize=5.5, clip_on=False)
        axes.text(
            1.01,
            y,
            f"{group.places:,}",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=7.5,
            color=hexadecimal(GREY) if group.read else PALE,
        )
    axes.text(
        1.01, len(values) - 0.3, "places", transform=axes.get_yaxis_transform(), fontsize=7, color=hexadecimal(GREY)
    )
    axes.set_xlim(0, 1.04 * top)
    axes.set_ylim(-0.7, len(values) - 0.2)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.set_xlabel(metric)

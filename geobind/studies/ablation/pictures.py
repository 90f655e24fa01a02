"""What ``geobind ablate`` shows: every run as a dot, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.axes import Axes

from geobind.evaluate.findings import Picture
from geobind.evaluate.plots import figure, heading, png, style
from geobind.palette import GREY, INK, SERIES, hexadecimal
from geobind.studies.ablation.axes import Cell
from geobind.studies.ablation.figures import Figure, Grid

LETTER = 0.065
"""Inches that a letter of a label takes."""
PANEL = 2.7
"""Inches of a panel's own width."""
ROW = 0.24
"""Inches of a cell."""
COLUMNS = 3


def cells_picture(grid: Grid, over: Mapping[str, Sequence[str]], *, one_at_a_time: bool) -> Picture:
    """A panel per figure, a row per cell, a dot per seed and a line at their mean."""
    labels = [_label(cell, one_at_a_time=one_at_a_time) for cell in grid.cells]
    columns = min(COLUMNS, len(grid.figures))
    rows = -(-len(grid.figures) // columns)
    width = 0.3 + columns * PANEL + max(3.2 - PANEL, LETTER * max(map(len, labels)))
    sheet, axes = figure(width, rows * (0.95 + ROW * max(3, len(labels))) + 0.2, rows=rows, columns=columns)
    colours = _colours(grid, over)
    for number, (cell, own) in enumerate(zip(axes, grid.figures, strict=False)):
        _panel(cell, grid, own, colours)
        cell.set_yticks(range(len(labels)), labels if number % columns == 0 else [""] * len(labels))
    for spare in axes[len(grid.figures) :]:
        spare.set_axis_off()
    by = "the axis that differs from the recipe" if one_at_a_time else f"the choice of {next(iter(over))}"
    return Picture(
        name="ablation",
        caption=(
            f"Every cell: a dot per seed, a line at their mean, a grey band for the best mean, colours by {by}. Scales"
            " begin where the values do, not at zero."
        ),
        alt=" ".join(_told(grid, own) for own in grid.figures),
        png=png(sheet),
    )


def _label(cell: Cell, *, one_at_a_time: bool) -> str:
    return cell.name if one_at_a_time else " · ".join(choice for _, choice in cell.choices)


def _colours(grid: Grid, over: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Cell → colour: by the choice of the first axis, or where one axis differs at a time by the axis."""
    kinds = [cell.choices[0] if cell.choices else ("", "") for cell in grid.cells]
    first = next(iter(over))
    keys = kinds if all(axis == first for axis, _ in kinds) else [(axis, "") for axis, _ in kinds]
    hues = {key: hexadecimal(SERIES[number % len(SERIES)]) for number, key in enumerate(dict.fromkeys(keys))}
    return {cell.name: hues[key] for cell, key in zip(grid.cells, keys, strict=True)}


def _panel(axes: Axes, grid: Grid, own: Figure, colours: Mapping[str, str]) -> None:
    style(axes, grid="both")
    scale = 100 if own.is_share else 1
    best = grid.ranked(own)[:1]
    for row, cell in enumerate(grid.cells):
        values = [scale * value for value in grid.values(cell, own).values()]
        if not values:
            axes.text(
                0.02,
                row,
                "failed",
                transform=axes.get_yaxis_transform(),
                va="center",
                fontsize=8,
                color=hexadecimal(GREY),
            )
            continue
        colour = colours[cell.name]
        axes.plot(values, [row] * len(values), "o", color=colour, markersize=4.5, alpha=0.75, markeredgewidth=0)
        axes.plot([fmean(values)] * 2, [row - 0.32, row + 0.32], color=colour, linewidth=2, solid_capstyle="butt")
        if cell in best and len(grid.cells) > 1:
            axes.axhspan(row - 0.5, row + 0.5, color=hexadecimal(GREY), alpha=0.12, linewidth=0)
    axes.set_ylim(len(grid.cells) - 0.5, -0.5)
    axes.tick_params(axis="y", labelcolor=hexadecimal(INK[0]))
    axes.margins(x=0.12)
    chance = f" %, chance {own.write(grid.example(own).chance)}" if own.is_share else ""
    axes.set_xlabel(f"{own.metric}{chance}")
    heading(axes, own.of)


def _told(grid: Grid, own: Figure) -> str:
    means = [
        f"{cell.name} {own.write(fmean(values.values()))}" for cell in grid.cells if (values := grid.values(cell, own))
    ]
    return f"{own.of}, {own.metric}{' %' if own.is_share else ''}: {'; '.join(means)}."

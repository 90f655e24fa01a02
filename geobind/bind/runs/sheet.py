"""A sheet of small axes in a grid, with a title, a heading over each row, and labels where lines end."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FuncFormatter, MaxNLocator

from geobind.palette import GREY, INK, LIGHT, Colour, hexadecimal

# The layout, in inches.
LEFT, WIDE, GUTTER = 0.62, 2.1, 0.92
TOP, HEAD, HIGH, FOOT = 0.42, 0.78, 1.3, 0.5
DPI = 120
LABEL_GAP = 10.0
"""Points between the labels of two lines."""


class Sheet:
    """A figure with a title, a key of coloured lines, and a grid of axes with a heading over each row."""

    def __init__(self, title: str, key: Sequence[tuple[str, Colour]], columns: Sequence[str], rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.width = len(columns) * (LEFT + WIDE + GUTTER) + 0.1
        self.top = TOP + 0.2 * len(key) - 0.1
        self.height = self.top + rows * (HEAD + HIGH) + FOOT
        self.figure = Figure(figsize=(self.width, self.height), dpi=DPI, facecolor="white")
        self._write(0.2, 0.3, title, 12, INK[0], bold=True)
        for line, (text, colour) in enumerate(key):
            self._write(0.2, TOP + 0.12 + 0.2 * line, text, 8.5, colour)

    def _write(self, x: float, y: float, text: str, size: float, colour: Colour, *, bold: bool = False) -> Text:
        """Write in inches from the upper left; text is never read as a formula."""
        weight = "bold" if bold else "normal"
        place = x / self.width, 1 - y / self.height
        return self.figure.text(
            *place, text, fontsize=size, color=hexadecimal(colour), fontweight=weight, parse_math=False
        )

    def heading(self, row: int, stage: str, note: str) -> None:
        """Name the stage of a row."""
        name = self._write(0.2, self.top + row * (HEAD + HIGH) + 0.48, stage, 9.5, INK[0], bold=True)
        self.figure.add_artist(
            Annotation(
                note,
                (1, 0),
                xycoords=name,
                xytext=(10, 0),
                textcoords="offset points",
                fontsize=8,
                color=hexadecimal(GREY),
                va="bottom",
            )
        )

    def axes(self, row: int, column: int) -> Axes:
        """The axes of a cell, with a heading of its own."""
        x = column * (LEFT + WIDE + GUTTER) + LEFT
        y = self.top + row * (HEAD + HIGH) + HEAD
        place = x / self.width, 1 - (y + HIGH) / self.height, WIDE / self.width, HIGH / self.height
        axes = self.figure.add_axes(place)
        axes.set_title(self.columns[column], loc="left", fontsize=8, color=hexadecimal(GREY), pad=4)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(hexadecimal(GREY))
        axes.grid(axis="y", color=hexadecimal(LIGHT[0]), linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=7, colors=hexadecimal(GREY), length=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: spell(value)))
        if row == self.rows - 1:
            axes.set_xlabel("epoch", fontsize=7.5, color=hexadecimal(GREY))
        return axes

    def png(self) -> bytes:
        """The finished picture."""
        out = io.BytesIO()
        self.figure.savefig(out, format="png")
        return out.getvalue()


def label(axes: Axes, labels: Sequence[tuple[str, Colour, float]]) -> None:
    """Write right of the axes at the height of each value, moved apart where they would lie over each other."""
    axes.autoscale_view()
    points = [axes.transData.transform((0, value))[1] * 72 / DPI for *_, value in labels]
    order = sorted(range(len(labels)), key=lambda i: points[i])
    heights = [points[i] for i in order]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + LABEL_GAP)
    shift = sum(height - points[i] for height, i in zip(heights, order, strict=True)) / max(1, len(heights))
    floor = axes.transAxes.transform((0, 0))[1] * 72 / DPI
    shift = min(shift, heights[0] - floor) if heights else shift  # below it are the epochs
    for height, i in zip(heights, order, strict=True):
        text, colour, value = labels[i]
        axes.annotate(
            text,
            (1, value),
            (5, height - shift - points[i]),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            color=hexadecimal(colour),
            fontsize=7.5,
            va="center",
            annotation_clip=False,
            parse_math=False,
        )


def nothing(axes: Axes) -> None:
    """Say that there is nothing to draw."""
    axes.xaxis.set_visible(False)
    axes.yaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, color=hexadecimal(GREY), fontsize=7.5, ha="center")


def spell(value: float) -> str:
    """A number in three digits, or whole from 1,000 on."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"

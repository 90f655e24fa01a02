"""Figures in the house's style: a white sheet, thin lines, few words. Matplotlib without its global state."""

from __future__ import annotations

import io

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from geobind.palette import GREY, INK, LIGHT, hexadecimal

DPI = 120
RAMP = LinearSegmentedColormap.from_list("geobind", [hexadecimal(colour) for colour in LIGHT])
"""The house's ramp, for maps and matrices on white."""


def figure(width: float, height: float, *, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of ``width`` × ``height`` inches with axes row by row, in the house's style."""
    sheet = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
    grid = sheet.subplots(rows, columns, squeeze=False)
    axes = [cell for row in grid for cell in row]
    for cell in axes:
        style(cell)
    return sheet, axes


def style(axes: Axes, *, grid: str = "y") -> None:
    """Give axes the house's look; ``grid`` is ``x``, ``y`` or ``both``."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(hexadecimal(GREY))
    axes.grid(axis=grid, color=hexadecimal(LIGHT[0]), linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, colors=hexadecimal(GREY), length=0)
    axes.xaxis.label.set(fontsize=8.5, color=hexadecimal(GREY))
    axes.yaxis.label.set(fontsize=8.5, color=hexadecimal(GREY))


def heading(axes: Axes, text: str) -> None:
    """Name axes, flush left; the text is never read as a formula."""
    axes.set_title(text, loc="left", fontsize=9.5, color=hexadecimal(INK[0]), pad=8, parse_math=False)


def png(sheet: Figure) -> bytes:
    """The finished picture."""
    out = io.BytesIO()
    sheet.savefig(out, format="png")
    return out.getvalue()

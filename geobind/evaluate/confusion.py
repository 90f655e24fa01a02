"""The confusion matrix as a picture, with 2 classes or with 60."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from geobind.evaluate.findings import Picture
from geobind.evaluate.plots import RAMP, figure, heading, png
from geobind.palette import GREY, INK, LIGHT, hexadecimal, ink, shade

WRITTEN = 21
"""Classes up to which the shares are written into the cells."""
LENGTH = 30
"""Characters of a class that are shown."""


def confusion_picture(name: str, title: str, classes: Sequence[str], confusion: NDArray[np.int64]) -> Picture:
    """Draw the confusion matrix: a row per true class, its items' shares by the class they were taken for.

    Args:
        name: Of the picture.
        title: What was classified.
        classes: ``[C]`` words of the classes.
        confusion: ``[C, C]`` numbers of items, true class by what they were taken for.
    """
    size = len(classes)
    with np.errstate(invalid="ignore"):
        shares = confusion / confusion.sum(axis=1, keepdims=True)
    cell = 0.42 if size <= WRITTEN else 0.16
    labels = [words if len(words) <= LENGTH else words[: LENGTH - 1] + "…" for words in classes]
    small = 8.0 if size <= WRITTEN else 6.5
    room = 0.085 * small / 8 * max(map(len, labels))
    sheet, (axes,) = figure(max(room + cell * size + 1.1, 4.5), room + cell * size + 0.7)
    image = axes.pcolormesh(shares, cmap=RAMP, vmin=0, vmax=1, edgecolor="white", linewidth=0.4)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    at = np.arange(size) + 0.5
    axes.set_xticks(at, labels, rotation=90, fontsize=small, color=hexadecimal(INK[0]), parse_math=False)
    axes.set_yticks(at, labels, fontsize=small, color=hexadecimal(INK[0]), parse_math=False)
    axes.set_xlabel("taken for")
    axes.set_ylabel("true class")
    if size > WRITTEN:
        for place in range(size):  # where right answers lie, which the eye loses among so many cells
            axes.add_patch(Rectangle((place, place), 1, 1, fill=False, edgecolor=hexadecimal(GREY), linewidth=0.5))
    else:
        for row, column in np.argwhere(shares >= 0.005).tolist():
            share = float(shares[row, column])
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                fontsize=7.5,
                color=hexadecimal(ink(shade(LIGHT, share))),
            )
    bar = sheet.colorbar(image, ax=axes, shrink=min(1.0, 3 / (cell * size)), aspect=18, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    bar.ax.tick_params(labelsize=7, colors=hexadecimal(GREY), length=0)
    heading(axes, f"{title}: what each class was taken for")
    right, total = np.trace(confusion) / confusion.sum(), int(confusion.sum())
    return Picture(
        name=name,
        caption="Rows are true classes, columns what they were taken for, in per cent of the row; a white row has no"
        f" items. Right answers lie on the diagonal: {100 * right:.1f} % of {total:,} items.",
        alt=f"Confusion matrix of {size} classes; {100 * right:.1f} % of the items lie on its diagonal.",
        png=png(sheet),
    )

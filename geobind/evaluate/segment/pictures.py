"""What a segmentation found, drawn: a few places side by side, and the classes one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from PIL import Image

from geobind.errors import GeobindError
from geobind.evaluate.findings import Picture, percent
from geobind.evaluate.plots import figure, heading, png, style
from geobind.evaluate.preview import preview
from geobind.evaluate.segment.colours import NOTHING, distinct
from geobind.evaluate.segment.masks import IGNORED, Mask, Window
from geobind.evaluate.segment.run import Run
from geobind.palette import GREY, INK, SERIES, hexadecimal
from geobind.plugins import get_plugins

SHOWN = 5
"""Places that are drawn."""
SIDE = 1.45
"""Inches of a map."""
LENGTH = 34
"""Characters of a class that are shown."""
MOST_BARS = 40
"""Classes that are drawn: those of the most pixels."""


def examples(run: Run) -> Picture:
    """Image, map and every reading of places from the best told to the worst."""
    rows = _chosen(run)
    columns = ["image", "map", *(read.name for read in run.reads)]
    truth = run.scenes.maps(run.tested[rows])
    maps = [[mask, *(read.maps[row] for read in run.reads)] for row, mask in zip(rows, truth, strict=True)]
    seen = _seen(maps)
    colours = dict(zip(seen, distinct(len(seen)), strict=True))
    legend_width = 0.5 + 0.068 * min(LENGTH, max(len(run.task.classes[number]) for number in seen))
    height = max(len(rows) * (SIDE + 0.08) + 0.4, 0.4 + 0.19 * (len(seen) + 1))
    sheet, cells = figure(
        len(columns) * (SIDE + 0.06) + legend_width + 0.2, height, rows=len(rows), columns=len(columns)
    )
    for i, row in enumerate(rows):
        own = cells[i * len(columns) : (i + 1) * len(columns)]
        _bare(own[0], _image(run, row))
        for axes, mask in zip(own[1:], maps[i], strict=True):
            _bare(axes, _painted(mask, truth[i], colours))
        own[0].set_ylabel(_short(str(run.scenes.place[run.tested[row]]), 16), parse_math=False)
        if i == 0:
            for axes, name in zip(own, columns, strict=True):
                heading(axes, name)
    patches = [Patch(color=hexadecimal(colours[number]), label=_short(run.task.classes[number])) for number in seen]
    if any((mask == IGNORED).any() for mask in truth):
        patches.append(Patch(color=hexadecimal(NOTHING), label="not counted"))
    legend = sheet.legend(
        handles=patches, loc="outside right upper", frameon=False, fontsize=7.5, handlelength=1.1, handleheight=1.1,
        labelcolor=hexadecimal(INK[0]),
    )  # fmt: skip
    for words in legend.get_texts():
        words.set_parse_math(False)
    first = run.reads[0]
    return Picture(
        name=f"segment-{run.task.name}-places",
        caption=f"{len(rows)} of the {len(run.tested):,} tested scenes, evenly spaced from the one that the"
        f" {first.name} told best (top) to the one it told worst, by pixel accuracy; of those with more than one class"
        " where there are any.",
        alt=f"Rows of {', '.join(columns)} for {len(rows)} scenes with {len(seen)} classes in colours.",
        png=png(sheet),
    )


def bars(run: Run) -> Picture:
    """The IoU of every class that occurs, those of the most pixels first."""
    pixels = run.base.pixels
    order = [number for number in np.argsort(-pixels, kind="stable").tolist() if pixels[number]]
    drawn = order[:MOST_BARS]
    sheet, (axes,) = figure(6.6, 1.1 + len(drawn) * (0.1 + 0.13 * len(run.reads)))
    style(axes, grid="x")
    thick = 0.8 / len(run.reads)
    for i, read in enumerate(run.reads):
        at = np.arange(len(drawn)) + (i - (len(run.reads) - 1) / 2) * thick
        colour = hexadecimal(SERIES[i])
        axes.barh(at, read.result.iou[drawn], height=0.9 * thick, color=colour, label=read.name)
        axes.axvline(read.result.figures()["mIoU"], color=colour, linewidth=1, linestyle=(0, (4, 3)))
    names = [f"{_short(run.task.classes[n])}  {percent(pixels[n] / pixels.sum())}" for n in drawn]
    axes.set_yticks(range(len(drawn)), names, color=hexadecimal(INK[0]), parse_math=False)
    axes.invert_yaxis()
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("IoU; dashed: mIoU")
    axes.legend(frameon=False, fontsize=8, loc="lower right", labelcolor=hexadecimal(GREY))
    heading(axes, "IoU of each class, with its share of the tested pixels")
    more = f" The {MOST_BARS} classes of the most pixels of {len(order)} are drawn." if len(order) > MOST_BARS else ""
    told = ", ".join(f"{read.name} {percent(read.result.figures()['mIoU'])}" for read in run.reads)
    return Picture(
        name=f"segment-{run.task.name}-classes",
        caption=f"IoU of the {len(drawn)} classes with the most pixels first; the dashed lines are mIoU ({told})."
        f" Always the largest class reaches {percent(run.base.figures()['mIoU'])}.{more}",
        alt=f"Bars of IoU for {len(drawn)} classes; mIoU: {told}.",
        png=png(sheet),
    )


def _chosen(run: Run) -> list[int]:
    """Places of the maps to draw, from the best told to the worst, evenly spaced."""
    masks = run.scenes.maps(run.tested)
    known = [mask != IGNORED for mask in masks]
    rows = [i for i, own in enumerate(known) if own.any()]
    rows = [i for i in rows if len(np.unique(masks[i][known[i]])) > 1] or rows
    accuracy = [float((run.reads[0].maps[i] == masks[i])[known[i]].mean()) for i in rows]
    order = np.argsort(-np.array(accuracy), kind="stable")
    return [rows[order[at]] for at in np.unique(np.linspace(0, len(rows) - 1, SHOWN).round().astype(int)).tolist()]


def _seen(maps: Sequence[Sequence[Mask]]) -> list[int]:
    """The classes that are drawn, those of the true maps first, by falling area."""
    true = np.bincount(np.concatenate([own[0][own[0] >= 0].ravel() for own in maps]))
    taken = np.bincount(np.concatenate([mask[own[0] >= 0].ravel() for own in maps for mask in own[1:]]))
    size = max(len(true), len(taken))
    true, taken = (np.pad(counts, (0, size - len(counts))) for counts in (true, taken))
    order = np.lexsort((-taken, -true))
    return [number for number in order.tolist() if true[number] or taken[number]]


def _painted(mask: Mask, truth: Mask, colours: dict[int, tuple[int, int, int]]) -> NDArray[np.uint8]:
    """``[H, W, 3]``; what is not counted is grey in every map."""
    paint = np.full((max(colours) + 2, 3), NOTHING, dtype=np.uint8)
    for number, colour in colours.items():
        paint[number] = colour
    painted: NDArray[np.uint8] = paint[np.where(truth == IGNORED, IGNORED, mask)]
    return painted


def _image(run: Run, row: int) -> NDArray[np.uint8] | None:
    """What the encoder sees of an image, as its plugin shows it to people; None where it cannot."""
    try:
        spec = get_plugins().modality(run.image)
        seen = preview(spec, run.scenes.image(int(run.tested[row])))
    except GeobindError:
        return None
    if not isinstance(seen, Image.Image):
        return None
    return _within(np.asarray(seen.convert("RGB")), run.window)


def _within(picture: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    return picture[window.of_shape(*picture.shape[:2])]


def _bare(axes: Axes, picture: NDArray[np.uint8] | None) -> None:
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal")
    if picture is None:
        axes.text(0.5, 0.5, "no preview", ha="center", va="center", fontsize=8, color=hexadecimal(GREY))
    else:
        axes.imshow(picture, interpolation="nearest")


def _short(text: str, length: int = LENGTH) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"

"""The matrix of all pairs as a PNG picture, drawn with Pillow alone."""

from __future__ import annotations

import io
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from geobind.evaluate.report.overview import metrics, synthesised, whole
from geobind.evaluate.results import AllPairs
from geobind.palette import GREY, INK, LIGHT, Colour, ink, shade

SHARP = 2
"""Pixels of the picture per unit of the layout, for dense screens."""
SMOOTH = 2
"""It is drawn this much larger still and then reduced, which smooths the edges."""

# The layout, in units.
CELL, GAP, MARGIN, TITLE, FOOT = 88, 8, 36, 84, 92
WHITE: Colour = (255, 255, 255)


def to_png(result: AllPairs) -> bytes:
    """Query rows by gallery columns, coloured by R@k as a multiple of chance; trained framed, emergent dashed."""
    metric = metrics(result)[0]
    pairs = {(pair.protocol.query, pair.protocol.gallery): pair for pair in whole(result)}
    marked = synthesised(result)
    labels = {name: f"{name}*" if name in marked else name for name in result.modalities}
    board = _Board(list(labels.values()))
    board.text(MARGIN, MARGIN, f"Retrieval in {result.space}", 24, anchor="lt")
    board.text(
        MARGIN, MARGIN + 36, f"{metric.label}, split {result.split}; rows ask, columns are ranked", 15, GREY, "lt"
    )
    for row, query in enumerate(labels):
        for column, gallery in enumerate(labels):
            if pair := pairs.get((query, gallery)):
                value = metric.value(pair)
                board.cell(row, column, shade(LIGHT, metric.level(value)), metric.write(value), pair.protocol.relation)
            elif query != gallery:
                board.cell(row, column, WHITE, "n/a", "missing")
    board.legend(metric.write(metric.low), metric.write(metric.high), "* synthesised" if marked else "")
    return board.png()


class _Board:
    """A canvas with a grid on it; all lengths are in units of the layout."""

    def __init__(self, labels: list[str]) -> None:
        self.left = MARGIN + max(_font(17).getlength(label) for label in labels) + 16
        self.top = MARGIN + TITLE + 30
        side = len(labels) * (CELL + GAP) - GAP
        self.bottom = self.top + side
        # The title and the legend want some width even where there are two modalities.
        self.size = max(self.left + side + MARGIN, 620.0), self.bottom + FOOT
        self.image = Image.new("RGB", (self._pixels(self.size[0]), self._pixels(self.size[1])), WHITE)
        self.draw = ImageDraw.Draw(self.image)
        for i, label in enumerate(labels):
            middle = i * (CELL + GAP) + CELL / 2
            self.text(self.left - 16, self.top + middle, label, 17, anchor="rm")
            width = _font(17).getlength(label)
            self.text(self.left + middle, self.top - 14, label, 17 * min(1.0, (CELL + GAP - 4) / width), anchor="ms")

    def text(self, x: float, y: float, text: str, size: float, colour: Colour = INK[0], anchor: str = "lt") -> None:
        """Write at a point that ``anchor`` (of Pillow) places in the text."""
        at = self._pixels(x), self._pixels(y)
        self.draw.text(at, _spell(text), font=_font(size * SHARP * SMOOTH), fill=colour, anchor=anchor)

    def cell(self, row: int, column: int, paper: Colour, text: str, relation: str) -> None:
        """One direction's tile."""
        x, y = self.left + column * (CELL + GAP), self.top + row * (CELL + GAP)
        self._tile(x, y, CELL, paper, relation)
        self.text(x + CELL / 2, y + CELL / 2, text, 24, ink(paper) if relation != "missing" else GREY, "mm")

    def legend(self, low: str, high: str, note: str) -> None:
        """The ramp with its ends, and what the frames mean."""
        y = self.bottom + 40
        x = self.left
        self.text(x, y + 8, low, 15, GREY, "lm")
        x += _font(15).getlength(_spell(low)) + 8
        for step in range(24):
            self._box(x + 5 * step, y, 5, 16, shade(LIGHT, step / 23))
        self.text(x + 130, y + 8, high, 15, GREY, "lm")
        x += 130 + _font(15).getlength(_spell(high)) + 28
        for relation in ("trained", "emergent"):
            self._tile(x, y - 4, 24, shade(LIGHT, 0.25), relation)
            self.text(x + 32, y + 8, relation, 15, GREY, "lm")
            x += 32 + _font(15).getlength(relation) + 22
        self.text(x, y + 8, note, 15, GREY, "lm")

    def png(self) -> bytes:
        """The finished picture."""
        size = self.image.width // SMOOTH, self.image.height // SMOOTH
        out = io.BytesIO()
        # So few hues lose nothing by a palette of 256, and the file is a fifth.
        self.image.resize(size, Image.Resampling.LANCZOS).quantize(256).save(out, "PNG", optimize=True)
        return out.getvalue()

    def _tile(self, x: float, y: float, side: float, paper: Colour, relation: str) -> None:
        """A rounded tile with a line inside its edge: whole when trained, dashed when emergent, none otherwise."""
        radius, inset = side / 8, max(side / 18, 3.0)
        box = [self._pixels(value) for value in (x, y, x + side, y + side)]
        self.draw.rounded_rectangle(box, self._pixels(radius), fill=paper)
        line, width = shade((paper, ink(paper)), 0.75), self._pixels(2.0)
        if relation in ("trained", "emergent"):
            inner = [self._pixels(value) for value in (x + inset, y + inset, x + side - inset, y + side - inset)]
            self.draw.rounded_rectangle(inner, self._pixels(radius - inset / 2), outline=line, width=width)
        if relation == "emergent":
            self._gaps(x + inset, y + inset, side - 2 * inset, radius, paper)

    def _gaps(self, x: float, y: float, side: float, radius: float, paper: Colour) -> None:
        """Paint gaps over the straight parts of a frame; its corners stay whole."""
        count = max(round((side - 2 * radius) / 12), 1)
        step = (side - 2 * radius) / count
        for i in range(count):
            along = radius + (i + 0.25) * step
            for across in (-1.0, side - 3.0):
                self._box(x + along, y + across, step / 2, 4, paper)
                self._box(x + across, y + along, 4, step / 2, paper)

    def _box(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        self.draw.rectangle([self._pixels(value) for value in (x, y, x + width, y + height)], fill=colour)

    @staticmethod
    def _pixels(length: float) -> int:
        return round(length * SHARP * SMOOTH)


@cache
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font inside Pillow, so that the picture is the same on every machine."""
    return ImageFont.load_default(size=size)


def _spell(text: str) -> str:
    """Write with the characters that font has."""
    return text.replace("×", "x")

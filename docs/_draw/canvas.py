"""A small SVG canvas in the house's colours: one file that is legible on light and on dark pages.

Colours are classes; a media query swaps them. Every picture brings its own paper, so that it is legible even where the
page and the reader's system disagree on light and dark.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from geobind.palette import DARK, GREY, LIGHT, SERIES, Colour, hexadecimal

WHITE: Colour = (255, 255, 255)
ROLES: dict[str, tuple[Colour, Colour]] = {
    "paper": (WHITE, DARK[0]),
    "ink": ((0, 6, 8), (238, 243, 242)),
    "soft": (GREY, (164, 180, 182)),
    "pale": (LIGHT[0], (44, 58, 63)),
    "mid": (LIGHT[1], DARK[1]),
    "deep": (LIGHT[4], DARK[3]),
    "on-deep": (WHITE, (0, 6, 8)),
    "warm": (SERIES[1], (255, 160, 90)),
    "violet": (SERIES[2], (178, 160, 255)),
    "sea": (SERIES[3], (120, 200, 222)),
}
"""Name of a colour → on light paper, on dark paper."""

FONT = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', Arial, sans-serif"


class Canvas:
    """Shapes in the order they are drawn; coordinates in pixels from the upper left."""

    def __init__(self, width: int, height: int, title: str, description: str) -> None:
        self.width, self.height = width, height
        self.title, self.description = title, description
        self.shapes: list[str] = []

    def box(self, x: float, y: float, w: float, h: float, fill: str = "pale", edge: str = "soft", r: float = 8) -> None:
        """A rounded rectangle; ``edge`` may be empty."""
        self.shapes.append(f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="{r}" {_paint(fill, edge)}/>')

    def dot(self, x: float, y: float, r: float, fill: str = "deep", edge: str = "") -> None:
        """A disc."""
        self.shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" {_paint(fill, edge)}/>')

    def ring(self, x: float, y: float, r: float, edge: str = "soft", dashed: bool = False) -> None:
        """A circle's line."""
        dash = ' stroke-dasharray="5 5"' if dashed else ""
        self.shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" {_paint("", edge)}{dash}/>')

    def diamond(self, x: float, y: float, r: float, fill: str) -> None:
        """A square on its tip."""
        points = f"{x:.1f},{y - r:.1f} {x + r:.1f},{y:.1f} {x:.1f},{y + r:.1f} {x - r:.1f},{y:.1f}"
        self.shapes.append(f'<polygon points="{points}" {_paint(fill, "")}/>')

    def line(
        self,
        x1: float,
        y1: float,
        x2: float,
        y2: float,
        edge: str = "ink",
        width: float = 1.6,
        dashed: bool = False,
        arrow: bool = False,
    ) -> None:
        """A straight line, perhaps with a head at its end."""
        dash = ' stroke-dasharray="5 5"' if dashed else ""
        head = f' marker-end="url(#head-{edge})"' if arrow else ""
        self.shapes.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="s-{edge}"'
            f' stroke-width="{width}"{dash}{head}/>'
        )

    def text(
        self, x: float, y: float, words: str, role: str = "ink", size: int = 14, at: str = "middle", bold: bool = False
    ) -> None:
        """One line of text whose middle height is ``y``; ``at`` is start, middle or end."""
        weight = ' font-weight="600"' if bold else ""
        self.shapes.append(
            f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{at}" dominant-baseline="central"'
            f' class="f-{role}"{weight}>{escape(words)}</text>'
        )

    def code(self, x: float, y: float, words: str, role: str = "ink", size: int = 13, at: str = "middle") -> None:
        """The same in a fixed width, blanks kept."""
        self.shapes.append(
            f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{at}" dominant-baseline="central"'
            f' class="f-{role} code" xml:space="preserve">{escape(words)}</text>'
        )

    def label(self, x: float, y: float, w: float, h: float, words: str, fill: str = "pale", role: str = "ink") -> None:
        """A box with one line in it."""
        self.box(x, y, w, h, fill, "" if fill == "deep" else "soft")
        self.text(x + w / 2, y + h / 2, words, role)

    def lock(self, x: float, y: float, role: str = "soft") -> None:
        """A closed padlock, 12 wide, centred at x, y."""
        self.shapes.append(
            f'<path d="M{x - 3.6} {y - 1} v-3 a3.6 3.6 0 0 1 7.2 0 v3" fill="none" class="s-{role}"'
            ' stroke-width="1.8"/>'
        )
        self.shapes.append(f'<rect x="{x - 6}" y="{y - 1}" width="12" height="9" rx="2" class="f-{role}"/>')

    def save(self, path: Path) -> None:
        """Write the file."""
        light = "".join(_rules(name, pair[0]) for name, pair in ROLES.items())
        dark = "".join(_rules(name, pair[1]) for name, pair in ROLES.items())
        heads = "".join(
            f'<marker id="head-{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
            f' orient="auto"><path d="M0 0 8 4 0 8z" class="f-{name}"/></marker>'
            for name in ("ink", "soft", "deep", "warm")
        )
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}"'
            f' width="{self.width}" height="{self.height}" role="img" font-family="{FONT}">',
            f"<title>{escape(self.title)}</title>",
            f"<desc>{escape(self.description)}</desc>",
            f"<style>.code{{font-family:ui-monospace,Menlo,Consolas,'Liberation Mono',monospace}}{light}"
            f"@media (prefers-color-scheme: dark){{{dark}}}</style>",
            f"<defs>{heads}</defs>",
            f'<rect width="{self.width}" height="{self.height}" rx="10" class="f-paper"/>',
            *self.shapes,
            "</svg>",
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _paint(fill: str, edge: str) -> str:
    classes = " ".join(part for part in (f"f-{fill}" if fill else "", f"s-{edge}" if edge else "") if part)
    return f'class="{classes}"' + ("" if fill else ' fill="none"')


def _rules(name: str, colour: Colour) -> str:
    return f".f-{name}{{fill:{hexadecimal(colour)}}}.s-{name}{{stroke:{hexadecimal(colour)}}}"

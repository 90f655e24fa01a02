"""The house's colours: ramps of one hue for light paper and for dark, ink to be read on them, hues for lines."""

from __future__ import annotations

Colour = tuple[int, int, int]

LIGHT: tuple[Colour, ...] = (
    (240, 244, 243),
    (207, 228, 223),
    (138, 196, 187),
    (61, 152, 147),
    (19, 104, 112),
    (10, 58, 76),
)
DARK: tuple[Colour, ...] = (
    (34, 45, 49),
    (31, 74, 81),
    (30, 115, 119),
    (50, 160, 148),
    (131, 208, 172),
    (226, 246, 200),
)
INK: tuple[Colour, Colour] = ((0, 6, 8), (255, 255, 255))
"""One of the two has a contrast of at least 4.5 with any colour (WCAG 2.2, AA)."""

GREY: Colour = (92, 108, 112)
"""Ink of second rank, on white."""
SERIES: tuple[Colour, ...] = (
    (19, 104, 112),
    (213, 94, 0),
    (58, 23, 153),
    (71, 157, 178),
    (102, 38, 15),
    (164, 34, 230),
)
"""Hues for lines on white. Any two stay apart (0.14 in OKLab) for people who lack one kind of cone, as simulated with
the matrices of Machado et al. 2009, and each has a contrast of at least 3 with the paper (WCAG 2.2, graphics)."""


def shade(ramp: tuple[Colour, ...], level: float) -> Colour:
    """The colour at ``level`` in [0, 1] of a ramp."""
    position = min(max(level, 0.0), 1.0) * (len(ramp) - 1)
    step = min(int(position), len(ramp) - 2)
    low, high = ramp[step], ramp[step + 1]
    r, g, b = (round(x + (y - x) * (position - step)) for x, y in zip(low, high, strict=True))
    return r, g, b


def ink(paper: Colour) -> Colour:
    """Dark or white, whichever stands out more from ``paper``."""
    return max(INK, key=lambda colour: contrast(colour, paper))


def contrast(a: Colour, b: Colour) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    light, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def hexadecimal(colour: Colour) -> str:
    """``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _luminance(colour: Colour) -> float:
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in (c / 255 for c in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

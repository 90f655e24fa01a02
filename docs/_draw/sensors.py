"""Draw the picture of ``docs/sensors.md`` into ``docs/images``: ``python docs/_draw/sensors.py``."""

from __future__ import annotations

from pathlib import Path

from canvas import Canvas

IMAGES = Path(__file__).resolve().parents[1] / "images"


def tower() -> Canvas:
    """Kernels are made from wavelengths; all that follows is the same for every sensor."""
    c = Canvas(
        760,
        300,
        "One transformer for any bands",
        "A wavelength per band passes a code and a small transformer, which gives a patch kernel for each band. The"
        " image is cut into patches with these kernels; the blocks behind them are the same for every sensor.",
    )
    c.text(178, 26, "as many as the image has bands", "soft", 13)
    c.text(578, 26, "the same for every sensor", "soft", 13)
    c.line(375, 14, 375, 288, "soft", 1.2, dashed=True)
    rows = (("0.56 µm", "violet"), ("0.65 µm", "warm"), ("0.73 µm", "sea"), ("0.84 µm", "deep"))
    for number, (length, colour) in enumerate(rows):
        y = 62 + 26 * number
        c.dot(34, y, 5, colour)
        c.text(46, y, length, "ink", 13, "start")
        c.line(106, y, 130, 101 + (y - 101) * 0.72, "soft", 1.2, arrow=True)
        for part in range(9):
            c.box(268 + 8 * (part % 3), y - 11 + 8 * (part // 3), 7, 7, colour, "", 1)
        c.line(230, 101 + (y - 101) * 0.72, 262, y, "soft", 1.2, arrow=True)
    c.box(133, 62, 96, 78, "mid")
    c.text(181, 84, "code, then", "ink", 13)
    c.text(181, 101, "a small", "ink", 13)
    c.text(181, 118, "transformer", "ink", 13)
    c.text(280, 166, "a kernel a band", "soft", 12)
    c.text(64, 166, "wavelengths", "soft", 12)
    for number, (_, colour) in enumerate(reversed(rows)):
        c.box(40 + 12 * number, 196 + 10 * number, 64, 50, colour, "paper", 4)
    c.text(85, 286, "the image: a layer a band", "soft", 12)
    c.line(146, 232, 258, 232, "soft", arrow=True)
    c.line(280, 178, 280, 208, "soft", arrow=True)
    c.label(261, 212, 92, 40, "patches", "pale")
    c.text(307, 268, "added over bands", "soft", 12)
    c.line(353, 232, 412, 232, "soft", arrow=True)
    for number in range(4):
        c.box(416, 203 + 15 * number, 24, 12, "mid", "", 2)
    c.text(428, 268, "tokens", "soft", 12)
    c.line(442, 232, 468, 232, "soft", arrow=True)
    for number in range(3):
        c.label(471 + 36 * number, 202, 30, 60, "", "deep")
    c.text(522, 281, "blocks of a ViT", "soft", 12)
    c.line(575, 232, 600, 232, "soft", arrow=True)
    c.label(603, 212, 60, 40, "head", "mid")
    c.line(663, 232, 688, 232, "soft", arrow=True)
    c.dot(704, 232, 8, "deep")
    c.text(704, 258, "embedding", "soft", 12)
    words = ("3 bands or 202: only what is left of", "the line grows. In another order the", "sum is the same.")
    for number, line in enumerate(words):
        c.text(430, 78 + 22 * number, line, "ink", 14, "start")
    return c


def main() -> None:
    """Draw it."""
    IMAGES.mkdir(exist_ok=True)
    tower().save(IMAGES / "sensors-tower.svg")


if __name__ == "__main__":
    main()

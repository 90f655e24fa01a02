"""How values are written in tables, and which of them are words."""

from __future__ import annotations

import math
import re

from geobind.evaluate.findings import Measure, Table, Value

SHARES = re.compile(r"R@[\d.]+%?|mAP(@\d+)?|nDCG@\d+|MRR|top-\d+|.*\b(accuracy|recall|F1)")
"""Names of figures that are shares in [0, 1], and are read in percent."""


def written(value: Value) -> str:
    """A cell: words and figures that are strings as they are, numbers with four significant digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1e4 else f"{value:.4g}"


def is_word(table: Table, column: int) -> bool:
    """Whether a column holds words, which start at the left; a figure may have a sign, a unit, or be absent."""
    cells = [row[column] for row in table.rows]
    return any(isinstance(cell, (str, bool)) and not _FIGURE.match(str(cell)) for cell in cells)


_FIGURE = re.compile(r"\s*([+\-−±<>≤≥~≈]?\s*[\d.]|[–—-]?\s*$|n/a$)")


def is_share(metric: str) -> bool:
    """Whether a figure is a share in [0, 1] that is read in percent."""
    return SHARES.fullmatch(metric) is not None


def number(value: float | None, metric: str) -> str:
    """A figure: shares in percent, others with four significant digits."""
    if value is None or not math.isfinite(value) or not is_share(metric):
        return written(value)
    return f"{100 * value:.1f} %"


def interval(measure: Measure) -> str:
    """The 95 % interval of a figure: ``24.1 – 31.0 %``."""
    if measure.low is None or measure.high is None:
        return "–"
    low, high = number(measure.low, measure.metric), number(measure.high, measure.metric)
    return f"{low.removesuffix(' %')} – {high}"

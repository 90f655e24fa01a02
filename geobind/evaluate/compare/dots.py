"""Differences of one figure as a dot plot."""

from __future__ import annotations

import re
from collections.abc import Sequence

from geobind.evaluate.compare.result import Comparison, Difference
from geobind.evaluate.findings import Picture
from geobind.evaluate.plots import figure, heading, png, style
from geobind.evaluate.report.words import is_share
from geobind.palette import GREY, SERIES, hexadecimal

ROWS = 30
"""Measures of a picture at most."""


def dots(comparison: Comparison, metric: str, differences: Sequence[Difference]) -> Picture:
    """Differences with their intervals, a row for each thing measured; clear ones are filled."""
    rows: dict[str, list[Difference]] = {}
    for one in differences:
        rows.setdefault(one.label, []).append(one)
    everything = len(rows)
    largest = sorted(rows, key=lambda of: max(abs(one.value) for one in rows[of]), reverse=True)[:ROWS]
    rows = {of: own for of, own in rows.items() if of in largest}
    others = comparison.names[1:]
    scale = 100 if is_share(metric) else 1
    sheet, (axes,) = figure(7.4, 1.5 + 0.26 * len(rows) * max(1.0, 0.6 * len(others)))
    style(axes, grid="both")
    heading(axes, f"{metric}: difference to {comparison.names[0]}")
    for i, own in enumerate(rows.values()):
        for one in own:
            place = others.index(one.name)
            y = i + 0.7 * ((place + 0.5) / len(others) - 0.5)
            colour = hexadecimal(SERIES[place % len(SERIES)])
            if one.interval is not None:
                axes.plot([scale * end for end in one.interval], [y, y], color=colour, linewidth=1.6)
            axes.plot(
                scale * one.value,
                y,
                "o",
                color=colour,
                markersize=5.5,
                markerfacecolor=colour if one.clear else "white",
            )
    axes.axvline(0, color=hexadecimal(GREY), linewidth=1)
    axes.set_yticks(range(len(rows)), list(rows), parse_math=False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    right = "better" if differences[0].baseline.higher_is_better else "worse"
    axes.set_xlabel(f"{'percentage points' if scale == 100 else metric}; to the right is {right}")
    if len(others) > 1:
        for place, name in enumerate(others):
            axes.plot([], [], "o", color=hexadecimal(SERIES[place % len(SERIES)]), markersize=5.5, label=name)
        sheet.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=4)
    shown = (
        f"the {ROWS} of {everything} with the largest differences" if everything > ROWS else f"{everything} measured"
    )
    return Picture(
        name=f"compare-{re.sub(r'[^a-z0-9]+', '-', metric.lower()).strip('-')}",
        caption=(
            f"{metric}, {shown}: difference to {comparison.names[0]} with its 95 % interval. Filled where the interval"
            " excludes 0."
        ),
        alt=f"Dot plot of differences in {metric} between {' and '.join(others)} and {comparison.names[0]}",
        png=png(sheet),
    )

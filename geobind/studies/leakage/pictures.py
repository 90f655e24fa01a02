"""What ``--leakage`` shows: both splits' figures side by side, and how near their test places lie to the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geobind.evaluate.findings import Picture, percent
from geobind.evaluate.plots import figure, heading, png, style
from geobind.palette import GREY, SERIES, hexadecimal

if TYPE_CHECKING:
    from geobind.studies.leakage.figures import Direction

WORD = {"random": "random split", "blocks": "spatial split"}
COLOUR = {"random": hexadecimal(SERIES[1]), "blocks": hexadecimal(SERIES[0])}
LEAST_KM = 0.01
"""What is nearer is counted here: a logarithm knows no 0."""
BINS = 40


def shares(told: Mapping[tuple[tuple[str, str], str], Direction]) -> Picture:
    """R@k of each direction under either split, with interval, seeds and chance."""
    k = next(iter(told.values())).k
    sheet, (axes,) = figure(7.2, 1.5 + 0.36 * len(told))
    style(axes, grid="x")
    axes.grid(visible=False, axis="y")
    for row, (_, one) in enumerate(told.items()):
        (low, high), _ = one.intervals()
        label = WORD[one.by] if row < len(WORD) else None
        axes.plot((100 * low, 100 * high), (row, row), color=COLOUR[one.by], linewidth=2, label=label)
        axes.plot(100 * one.recall, row, "o", markersize=7, color=COLOUR[one.by])
        first = row == 0
        axes.plot(
            [100 * share for share in one.by_seed],
            [row + 0.27] * len(one.by_seed),
            "^",
            markersize=4,
            color=COLOUR[one.by],
        )
        axes.plot(
            100 * one.chance_recall,
            row,
            "|",
            markersize=12,
            color=hexadecimal(GREY),
            label="chance" if first else None,
        )
    axes.plot([], [], "^", markersize=4, color=hexadecimal(GREY), label="one seed")
    axes.set_yticks(range(len(told)), [f"{query} → {gallery}, {WORD[by]}" for (query, gallery), by in told])
    axes.set_ylim(len(told) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"R@{k}, %")
    heading(axes, f"R@{k} on galleries of equal size, with 95 % intervals")
    sheet.legend(loc="outside lower left", frameon=False, fontsize=8, labelcolor=hexadecimal(GREY), ncols=4)
    found = "; ".join(
        f"{query} → {gallery}, {WORD[by]}: {percent(one.recall)}" for ((query, gallery), by), one in told.items()
    )
    return Picture(
        name="leakage-recall",
        caption=f"R@{k} of the same recipe on the same places, split at random and by spatial blocks.",
        alt=f"R@{k}: {found}.",
        png=png(sheet),
    )


def distances(km: Mapping[str, NDArray[np.float64]]) -> Picture:
    """How far each test place is from the nearest training place, under either split."""
    shown = {by: np.maximum(values, LEAST_KM) for by, values in km.items()}
    edges = np.geomspace(min(v.min() for v in shown.values()), max(v.max() for v in shown.values()) * 1.01, BINS + 1)
    sheet, (axes,) = figure(7.2, 2.9)
    for by, values in shown.items():
        weights = np.full(len(values), 100 / len(values))
        axes.hist(values, edges.tolist(), weights=weights, color=COLOUR[by], alpha=0.55, label=WORD[by])
        axes.axvline(float(np.median(values)), color=COLOUR[by], linewidth=1.4, linestyle="--")
    axes.plot([], [], "--", color=hexadecimal(GREY), linewidth=1.4, label="median")
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    ticks = [tick for tick in (0.01, 0.1, 1, 10, 100, 1000, 10_000) if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:,g}" if tick < 1000 else f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("km to the nearest training place")
    axes.set_ylabel("% of test places")
    heading(axes, "How near the test lies to the training")
    sheet.legend(loc="outside lower left", frameon=False, fontsize=8, labelcolor=hexadecimal(GREY), ncols=3)
    medians = ", ".join(f"{write_km(np.median(values))} ({WORD[by]})" for by, values in km.items())
    return Picture(
        name="leakage-distance",
        caption=(
            "Distance from each test place to the nearest training place, on a logarithmic scale, all seeds; the dashed"
            f" lines are the medians. What is nearer than {1000 * LEAST_KM:g} m is counted there."
        ),
        alt=f"Two histograms; medians {medians}.",
        png=png(sheet),
    )


def write_km(value: float | np.floating[Any]) -> str:
    """A distance: ``0.64 km``, ``52 km``."""
    return f"{value:,.0f} km" if value >= 100 else f"{value:.2g} km"

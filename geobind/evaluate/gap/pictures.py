"""The pictures of ``--gap``: a plane with all modalities in it, and dots for what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from geobind.evaluate.findings import Picture
from geobind.evaluate.gap.geometry import Between, Floats
from geobind.evaluate.plots import figure, heading, png, style
from geobind.palette import GREY, INK, LIGHT, SERIES, hexadecimal

SHOWN = 600
"""Items of each modality in the plane, at most."""
MARKS = "os^D"
"""Another mark when the hues are used up."""
HALO = withStroke(linewidth=3, foreground="white")
HUE = hexadecimal(SERIES[0])


def draw_plane(vectors: Mapping[str, Floats], *, seed: int) -> Picture:
    """All modalities in the plane of their two first joint principal components.

    Args:
        vectors: Modality → ``[N, D]``.
        seed: Of the sample; equally many items of each modality are drawn.
    """
    count = min(SHOWN, *map(len, vectors.values()))
    rng = np.random.default_rng(seed)
    chosen = {name: rows[np.sort(rng.choice(len(rows), count, replace=False))] for name, rows in vectors.items()}
    points, held = plane(np.concatenate(list(chosen.values())).astype(np.float64))
    sheet, (axes,) = figure(7.2, 5.6)
    style(axes, grid="both")
    labels = {}
    for i, (name, part) in enumerate(zip(chosen, np.split(points, len(chosen)), strict=True)):
        colour, mark = hexadecimal(SERIES[i % len(SERIES)]), MARKS[i // len(SERIES) % len(MARKS)]
        axes.scatter(part[:, 0], part[:, 1], s=14, marker=mark, color=colour, alpha=0.5, linewidths=0)
        labels[name] = (part.mean(axis=0), colour)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.08)
    _label(axes, labels)
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second")
    heading(
        axes, f"{len(chosen)} modalities, {count:,} items of each; the plane holds {100 * held:.0f} % of the variance"
    )
    return Picture(
        name="gap-plane",
        caption=f"Joint principal components of {count:,} items of each modality (a sample, seed {seed}; as many as the"
        f" smallest has, at most {SHOWN}). A cross marks each centroid. The plane holds {100 * held:.1f} % of the"
        " variance: items that are near each other here may lie far apart in the space.",
        alt=f"Scatter plot of the embeddings of {', '.join(chosen)} in their first two principal components.",
        png=png(sheet),
    )


def plane(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Principal components: ``[N, D]`` → ``[N, 2]``, and the share of the variance these hold."""
    centred = points - points.mean(axis=0)
    values, axes = np.linalg.eigh(centred.T @ centred)
    first = axes[:, :-3:-1]
    # An axis has no sign of its own: its largest entry is made positive.
    first = first * np.sign(first[np.abs(first).argmax(axis=0), [0, 1]])
    total = float(values.sum())
    return centred @ first, float(values[-2:].sum()) / total if total else 1.0


def _label(axes: Axes, labels: Mapping[str, tuple[NDArray[np.float64], str]]) -> None:
    """Write each modality's name at its centroid, moved up or down where names would lie over each other."""
    axes.autoscale_view()
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    wide, high = 0.2 * (right - left), 0.055 * (top - bottom)
    placed: list[tuple[float, float]] = []
    for name, ((x, y), colour) in sorted(labels.items(), key=lambda entry: -entry[1][0][1]):
        at = y + 0.6 * high
        while any(abs(x - other) < wide and abs(at - taken) < high for other, taken in placed):
            at -= 0.25 * high
        placed.append((x, at))
        axes.plot(x, y, marker="X", color=colour, markeredgecolor="white", markersize=8)
        axes.annotate(
            name,
            (x, y),
            (x + 0.02 * (right - left), at),
            color=colour,
            fontsize=10.5,
            fontweight="bold",
            va="center",
            path_effects=[HALO],
        )


def draw_pairs(pairs: Mapping[tuple[str, str], Between]) -> Picture:
    """Gap and alignment of each pair of modalities, the widest gap on top."""
    order = sorted(pairs, key=lambda pair: pairs[pair].gap)
    names = [f"{a} – {b}" for a, b in order]
    y = np.arange(len(order))
    found = [pairs[pair] for pair in order]
    sheet, (left, right) = figure(9.2, 1.3 + 0.3 * len(order), columns=2)
    _rows(left, names)
    left.hlines(
        y, [one.no_gap for one in found], [one.gap for one in found], color=hexadecimal(LIGHT[2]), linewidth=1.5
    )
    left.plot(
        [one.no_gap for one in found], y, "|", color=hexadecimal(GREY), markersize=9, label="samples of one cloud"
    )
    left.plot([one.gap for one in found], y, "o", color=HUE, markersize=6, label="measured")
    left.set_xlim(left=0)
    heading(left, "Modality gap: distance of centroids")
    _rows(right, [""] * len(order))
    others = [2 - 2 * one.negative_cosine for one in found]
    positives = [one.alignment for one in found]
    right.hlines(y, positives, others, color=hexadecimal(LIGHT[2]), linewidth=1.5)
    right.plot(others, y, "o", color=HUE, markerfacecolor="white", markersize=6, label="other pairs")
    right.plot(positives, y, "o", color=HUE, markersize=6, label="positives (alignment)")
    right.set_xlim(left=0)
    heading(right, "Mean squared distance")
    sheet.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=4)
    return Picture(
        name="gap-pairs",
        caption="Left: the modality gap, beside what two samples of one cloud would show. Right: mean squared distance"
        " of positives (alignment) and of all other pairs; retrieval lives on what lies between the two dots.",
        alt="Dot plots of modality gap and alignment for each pair of modalities.",
        png=png(sheet),
    )


def draw_modalities(clouds: Mapping[str, tuple[float, float, int]], *, even: float) -> Picture:
    """Uniformity and effective rank of each modality.

    Args:
        clouds: Modality → uniformity, effective rank, and the most the rank can be.
        even: The uniformity of an evenly covered sphere.
    """
    names = list(clouds)[::-1]
    y = np.arange(len(names))
    uniform, ranks, most = (
        np.array(column, dtype=float) for column in zip(*(clouds[name] for name in names), strict=True)
    )
    sheet, (left, right) = figure(9.2, 1.1 + 0.34 * len(names), columns=2)
    _rows(left, names)
    left.axvline(even, color=hexadecimal(GREY), linewidth=1, linestyle=(0, (2, 3)))
    left.plot(uniform, y, "o", color=HUE, markersize=6)
    for at, value in zip(y, uniform, strict=True):
        if not math.isnan(value):
            left.annotate(
                f"{value:.2f}".replace("-", "−"),
                (value, at),
                (7, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
    left.set_xlim(math.floor(even * 1.05 * 10) / 10, 0)
    heading(left, f"Uniformity (lower is more even; dashed: even sphere, {even:.2f})".replace("-", "−"))
    _rows(right, [""] * len(names))
    right.barh(y, most, height=0.62, color=hexadecimal(LIGHT[0]))
    right.barh(y, ranks, height=0.62, color=HUE)
    for at, value, limit in zip(y, ranks, most, strict=True):
        right.annotate(
            f"{value:.0f} of {limit:.0f}", (limit, at), (5, 0), textcoords="offset points", va="center", fontsize=8
        )
    right.set_xlim(0, 1.2 * max(most))
    heading(right, "Effective rank (pale: the most there can be)")
    return Picture(
        name="gap-modalities",
        caption="Left: uniformity; the dashed line is a sphere covered evenly. Right: effective rank, of the most that"
        " the number of items and of dimensions allow.",
        alt="Dots for the uniformity and bars for the effective rank of each modality.",
        png=png(sheet),
    )


def _rows(axes: Axes, names: list[str]) -> None:
    style(axes, grid="x")
    axes.set_yticks(range(len(names)), names, color=hexadecimal(INK[0]))
    axes.set_ylim(-0.6, len(names) - 0.4)

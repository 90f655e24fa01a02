"""What a probe found, drawn: confusions, predictions against the truth, and the worth of a few examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

from geobind.evaluate.confusion import confusion_picture
from geobind.evaluate.findings import Picture
from geobind.evaluate.plots import figure, heading, png, style
from geobind.evaluate.probe.outcome import Outcome
from geobind.evaluate.probe.shots import DRAWS, FewShot
from geobind.evaluate.probe.task import Task
from geobind.palette import GREY, LIGHT, SERIES, hexadecimal

MOST_CLASSES = 40
"""A confusion matrix of more classes says nothing at the size of a page."""
COUNTS = LinearSegmentedColormap.from_list("counts", [hexadecimal(colour) for colour in LIGHT[1:]])
"""The house's ramp without its palest colour, in which single items would not be seen."""
DOTS = 400
"""Up to so many items each is a dot; more are counted in hexagons."""


def confusions(name: str, task: Task, outcome: Outcome, method: str) -> list[Picture]:
    """The confusion matrix of the classes of train and test; none for more than :data:`MOST_CLASSES`."""
    classes = task.classes
    if len(classes) > MOST_CLASSES:
        return []
    truth, predicted = np.searchsorted(classes, outcome.test.y), np.searchsorted(classes, outcome.predicted)
    cells = np.bincount(truth * len(classes) + predicted, minlength=len(classes) ** 2)
    confusion = cells.reshape(len(classes), len(classes))
    title = f"{task.target.name} from {task.modality}, {method}"
    return [confusion_picture(name, title, classes, confusion)]


def predictions(name: str, task: Task, outcome: Outcome, method: str) -> Picture:
    """Predicted against true values of the test items, on equal axes."""
    found = np.stack([outcome.test.y, outcome.predicted])
    low, high = np.quantile(found, 0.005), np.quantile(found, 0.995)
    margin = 0.03 * (high - low) or 1.0
    ends = (low - margin, high + margin)
    beyond = int(((found < low) | (found > high)).any(axis=0).sum())
    truth, predicted = np.clip(found, low, high)
    sheet, (axes,) = figure(5.2, 4.6)
    style(axes, grid="both")
    if len(truth) <= DOTS:
        axes.scatter(truth, predicted, s=9, alpha=0.6, color=hexadecimal(SERIES[0]), linewidth=0)
    else:
        cells = axes.hexbin(
            truth, predicted, gridsize=36, extent=(*ends, *ends), mincnt=1, cmap=COUNTS, norm=LogNorm(), linewidth=0
        )
        bar = sheet.colorbar(cells, ax=axes, shrink=0.7, aspect=18, pad=0.02)
        bar.outline.set_visible(False)
        bar.locator, bar.minorlocator = LogLocator(subs=(1, 2, 5)), NullLocator()
        bar.formatter = StrMethodFormatter("{x:,.0f}")
        bar.update_ticks()
        bar.ax.tick_params(labelsize=7, colors=hexadecimal(GREY), length=0)
        bar.set_label("test items in a cell", fontsize=8, color=hexadecimal(GREY))
    axes.plot(ends, ends, color=hexadecimal(SERIES[1]), linewidth=1)
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6))
    unit = f", {task.target.unit}" if task.target.unit else ""
    axes.set_xlabel(f"true {task.target.name}{unit}", parse_math=False)
    axes.set_ylabel(f"predicted {task.target.name}{unit}", parse_math=False)
    heading(axes, f"{task.target.name} from {task.modality}, {method}")
    r2 = outcome.figures()["R²"]
    edge = f" The {beyond} items farthest out are drawn at the edge." if beyond else ""
    return Picture(
        name=name,
        caption=f"Predicted against true {task.target.name} of {len(truth):,} test items; a perfect prediction lies on"
        f" the line.{edge} R² {r2:.2f}.",
        alt=f"Scatter of predicted against true {task.target.name} around the diagonal, R² {r2:.2f}.",
        png=png(sheet),
    )


def few_shot_curve(
    name: str, task: Task, curve: Sequence[FewShot], full: Mapping[str, float], chance: Mapping[str, float]
) -> Picture:
    """Each figure over the number of places: mean and standard deviation over draws, all of train, and the baseline.

    Args:
        name: Of the picture.
        task: What was learnt.
        curve: The points.
        full: Figure → its value with all of train.
        chance: Figure → its value for the baseline.
    """
    shown = [metric for metric in curve[0].figures if metric not in ("RMSE", "MAE")]
    sheet, axes_of = figure(4.2 * len(shown) + 0.6, 3.4, columns=len(shown))
    n = np.array([point.n for point in curve])
    for axes, metric in zip(axes_of, shown, strict=True):
        style(axes, grid="both")
        mean, deviation = np.array([point.figures[metric] for point in curve]).T
        teal, grey, orange = (hexadecimal(colour) for colour in (SERIES[0], GREY, SERIES[1]))
        axes.axhline(full[metric], color=orange, linewidth=1.2, label=f"all {len(task.train):,} of train")
        axes.errorbar(n, mean, deviation, color=teal, marker="o", markersize=4, linewidth=1.4, label="a few examples")
        axes.axhline(chance[metric], color=grey, linewidth=1.2, linestyle=(0, (4, 3)), label="without embeddings")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(n.tolist()))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("places of each class" if task.kind == "classification" else "places in all")
        if task.kind == "classification":
            axes.set_ylim(0, 1)
        axes.legend(fontsize=7.5, frameon=False, labelcolor=hexadecimal(GREY))
        heading(axes, f"{task.target.name}: {metric}")
    ends = "; ".join(
        f"{metric} from {curve[0].figures[metric][0]:.2f} to {curve[-1].figures[metric][0]:.2f}, with all of train"
        f" {full[metric]:.2f}"
        for metric in shown
    )
    return Picture(
        name=name,
        caption=f"What a linear probe reaches with few places; the bars are one standard deviation over {DRAWS} draws.",
        alt=f"Curve from {curve[0].n:,} to {curve[-1].n:,} places: {ends}.",
        png=png(sheet),
    )

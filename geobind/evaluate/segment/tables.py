"""A segmentation's figures as measures, as a table of classes, and for ``results.json``."""

from __future__ import annotations

from typing import Any

import numpy as np

from geobind.evaluate.findings import Measure, Table, Value, percent
from geobind.evaluate.segment.run import Run
from geobind.evaluate.segment.words import protocol, verdict


def measures(run: Run) -> tuple[Measure, ...]:
    """The mIoU and pixel accuracy of each reading; chance is the majority class."""
    told, base = protocol(run), run.base.figures()
    found = []
    for read in run.reads:
        intervals = read.result.intervals()
        found += [
            Measure(
                of=f"{run.task.name}, {read.name}",
                metric=metric,
                value=value,
                low=intervals[metric][0],
                high=intervals[metric][1],
                chance=base[metric],
                n=len(read.result.places),
                protocol={**told, "reading": read.name, "chance is": "the majority class"},
            )
            for metric, value in read.result.figures().items()
        ]
    return tuple(found)


def tables(run: Run) -> tuple[Table, ...]:
    """All readings beside the baselines, and the classes one by one."""
    rows: list[tuple[Value, ...]] = []
    for read in run.reads:
        figures, (low, high) = read.result.figures(), read.result.intervals()["mIoU"]
        miou, accuracy = percent(figures["mIoU"]), percent(figures["pixel accuracy"])
        rows.append((read.name, miou, f"{percent(low)} to {percent(high)}", accuracy, verdict(run, read)))
        if not read.learnt:
            by_chance = read.result.renamed()
            rows.append(
                ("its maps, names at random", percent(by_chance["mIoU"]), "", percent(by_chance["pixel accuracy"]), "")
            )
    base = run.base.figures()
    name = f"always {' or '.join(run.usual)}"
    rows.append((name, percent(base["mIoU"]), "", percent(base["pixel accuracy"]), ""))
    whole = Table(
        title=f"{run.task.summary}: all classes",
        columns=("by", "mIoU", "95 % interval", "pixel accuracy", "against the majority class"),
        rows=tuple(rows),
    )
    return whole, _per_class(run)


def _per_class(run: Run) -> Table:
    pixels = run.base.pixels
    rows: list[tuple[Value, ...]] = []
    for number in np.argsort(-pixels, kind="stable").tolist():
        ious = (read.result.iou[number] for read in run.reads)
        shown = tuple("" if np.isnan(iou) else percent(iou) for iou in ious)
        rows.append((run.task.classes[number], percent(pixels[number] / pixels.sum()), *shown, _instead(run, number)))
    first = run.reads[0].name
    return Table(
        title=f"{run.task.summary}, class by class",
        columns=("class", "share of pixels", *(f"IoU, {read.name}" for read in run.reads), "taken for instead"),
        rows=tuple(rows),
        note=f"The last column is what the class's pixels were most often taken for instead, by {first}. A class"
        " without pixels has no IoU and is not in the mean.",
    )


def _instead(run: Run, number: int) -> str:
    row = run.reads[0].result.confusion[number].copy()
    total, row[number] = row.sum(), 0
    most = int(row.argmax())
    return f"{run.task.classes[most]} ({percent(row[most] / total, 0)})" if row[most] else ""


def details(run: Run) -> dict[str, Any]:
    """Legend, confusions, IoU of each class, and every tested place with what was right there."""
    task = run.task
    names, first = np.unique(run.scenes.place[run.tested], return_index=True)
    where = dict(zip(names.tolist(), run.scenes.lat_lon[run.tested][first].tolist(), strict=True))
    splits = dict(zip(names.tolist(), run.scenes.split[run.tested][first].tolist(), strict=True))
    places = []
    for i, place in enumerate(run.base.places.tolist()):
        pixels = int(run.base.by_place[i, 1].sum())
        known = all(map(np.isfinite, where[place]))
        places.append(
            {
                "place": place,
                "split": splits[place],
                "lat": where[place][0] if known else None,
                "lon": where[place][1] if known else None,
                "pixels": pixels,
                "classes": [task.classes[c] for c in np.flatnonzero(run.base.by_place[i, 1]).tolist()],
                "pixel accuracy": {r.name: float(r.result.by_place[i, 0].sum() / pixels) for r in run.reads},
            }
        )
    return {
        "legend": {str(code): words for code, words in task.legend.items()},
        "classes": list(task.classes),
        "templates": list(run.templates),
        "largest class": list(run.usual),
        "baseline": run.base.figures(),
        "names at random": {r.name: r.result.renamed() for r in run.reads if not r.learnt},
        "above the majority class": {r.name: list(r.result.above(run.base)) for r in run.reads},
        "IoU": {
            r.name: {
                words: None if np.isnan(iou) else float(iou)
                for words, iou in zip(task.classes, r.result.iou.tolist(), strict=True)
            }
            for r in run.reads
        },
        "confusion": {r.name: r.result.confusion.tolist() for r in run.reads},
        "pixels head could not learn": run.unlearnt,
        "places": places,
        "source": task.source,
        "licence": task.licence,
    }

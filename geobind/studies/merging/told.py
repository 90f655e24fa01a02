"""What a sweep says: a row for every alpha, where the figure is best, and what may be concluded from that."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import TYPE_CHECKING

from geobind.evaluate.findings import Finding, Measure, Table, Value
from geobind.evaluate.intervals import METHOD, Interval
from geobind.studies.changes import changes
from geobind.studies.merging.asked import Asked
from geobind.studies.merging.pictures import curves

if TYPE_CHECKING:
    from geobind.studies.merging.study import Point, Sweep


def finding(sweep: Sweep) -> Finding:
    """Put the curve into words, a table and a picture."""
    first = sweep.points[0].result
    protocols = [one.of(first).protocol for one in sweep.asked]
    return Finding(
        name="merging",
        title=f"What lies between {sweep.a.name} and {sweep.b.name}?",
        answer=(_best(sweep), *_against_ends(sweep), _honesty(sweep)),
        protocol={
            "alpha 0": str(sweep.a),
            "alpha 1": str(sweep.b),
            "weights": "(1 - alpha) · a + alpha · b",
            "merged": ", ".join(sweep.towers) if sweep.towers else "all towers that both hold",
            "split": sweep.split,
            "dataset": ", ".join(dict.fromkeys(protocol.dataset for protocol in protocols)),
            "ties": first.ties,
            "intervals": METHOD,
        },
        measures=tuple(_measure(one, point) for point in sweep.points for one in sweep.asked),
        tables=(_table(sweep),),
        pictures=(curves(sweep),),
        notes=tuple(
            dict.fromkeys(
                f"{one.direction}: {protocol.queries:,} queries, {protocol.gallery_size:,} items ranked, pairs by"
                f" {protocol.origin}"
                for one, protocol in zip(sweep.asked, protocols, strict=True)
            )
        ),
        details={
            "best_alpha": sweep.best.alpha,
            "points": [{"alpha": point.alpha, "all_pairs": point.result.as_dict()} for point in sweep.points],
        },
    )


def to_csv(sweep: Sweep) -> str:
    """A line for every alpha and figure."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("alpha", "query", "gallery", "metric", "value", "low", "high", "chance", "queries", "split"))
    for point in sweep.points:
        for one in sweep.asked:
            found = _measure(one, point)
            figures = (found.value, found.low, found.high, found.chance)
            writer.writerow((point.alpha, one.query, one.gallery, one.figure, *figures, found.n, sweep.split))
    return out.getvalue()


def _measure(asked: Asked, point: Point) -> Measure:
    found = next(one for one in asked.of(point.result).measures() if one.metric == asked.figure)
    return replace(found, protocol={**found.protocol, "alpha": point.alpha})


def _best(sweep: Sweep) -> str:
    asked, best = sweep.asked[0], sweep.best
    found = _measure(asked, best)
    ends = [
        f"{asked.write(_measure(asked, point).value)} at alpha {point.alpha:g} ({space})"
        for point, space in _ends(sweep)
        if point is not best
    ]
    chance = f", chance {asked.write(found.chance)}" if found.chance is not None else ""
    return (
        f"{asked.label} is best at alpha {best.alpha:g}: {asked.write(found.value)}{_between(asked, found)}{chance},"
        f" {found.n:,} queries of the {sweep.split} split" + (f"; it is {' and '.join(ends)}." if ends else ".")
    )


def _ends(sweep: Sweep) -> list[tuple[Point, str]]:
    """The points that are one of the two spaces."""
    names = {0.0: sweep.a.name, 1.0: sweep.b.name}
    return [(point, names[point.alpha]) for point in sweep.points if point.alpha in names]


def _between(asked: Asked, found: Measure) -> str:
    if found.low is None or found.high is None:
        return ""
    return f" [{asked.write(found.low, unit=False)}, {asked.write(found.high, unit=False)}]"


def _against_ends(sweep: Sweep) -> list[str]:
    """The best alpha against each end, over the same queries."""
    told = []
    for point, space in _ends(sweep):
        if point is sweep.best:
            continue
        change = next(one for one in changes(point.result, sweep.best.result) if one.name == sweep.asked[0].direction)
        if (ends := change.intervals.get(sweep.asked[0].figure)) is None:
            continue  # no bit differs, or it is a difference of medians
        told.append(f"{_points(sweep.asked[0], change.differences[sweep.asked[0].figure], ends)} against {space}")
    return [f"Paired over the same queries, alpha {sweep.best.alpha:g} is {', and '.join(told)}."] if told else []


def _points(asked: Asked, difference: float, ends: Interval) -> str:
    scale, unit = (100, " points") if asked.is_share else (1, "")
    low, high = (scale * end for end in ends)
    clear = "" if low > 0 or high < 0 else ", which is not clear,"
    return f"{scale * difference:+.1f}{unit} [{low:+.1f}, {high:+.1f}]{clear}"


def _honesty(sweep: Sweep) -> str:
    many = f"The best of {len(sweep.points)} alphas was picked by the very figure that is told of it"
    if sweep.split == "test":
        return (
            f"{many}, and on the test split: that is peeking, and no figure here is one of unseen data. Choose alpha on"
            " the val split."
        )
    return f"{many}, so that figure errs upwards; measure the merged space on another split (`geobind evaluate`)."


def _table(sweep: Sweep) -> Table:
    rows: list[tuple[Value, ...]] = []
    for point in sweep.points:
        cells: list[Value] = [f"{point.alpha:g}" + (" ●" if point is sweep.best else "")]
        for one in sweep.asked:
            found = _measure(one, point)
            chance = "–" if found.chance is None else one.write(found.chance, unit=False)
            cells += [f"{one.write(found.value, unit=False)}{_between(one, found)}", chance]
        rows.append(tuple(cells))
    columns = [name for one in sweep.asked for name in (f"{one.label}{' %' if one.is_share else ''}", "chance")]
    return Table(
        title=f"Between {sweep.a.name} (alpha 0) and {sweep.b.name} (alpha 1)",
        columns=("alpha", *columns),
        rows=tuple(rows),
        note=f"In brackets the 95 % interval. ● the best {sweep.asked[0].label}.",
    )

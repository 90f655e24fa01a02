"""All pairs as a table: as CSV, for people, and for the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from string import ascii_lowercase
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from geobind.evaluate.findings import percent
from geobind.evaluate.intervals import METHOD
from geobind.evaluate.report.overview import rank, times
from geobind.evaluate.results import AllPairs, PairResult, Protocol, Unmeasured
from geobind.ranks import TIE_WIDTH, Ties


def to_csv(result: AllPairs) -> str:
    """One row per measured direction; shares in [0, 1], nothing rounded, every row with its whole protocol.

    After its value, each figure has the ends of its 95 % interval and its chance level. What a direction has not is
    left empty.
    """
    rows = [_flat(result, pair) for pair in result.results]
    out = io.StringIO()
    # Distances are not known of every pair, so rows may differ.
    writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _flat(result: AllPairs, pair: PairResult) -> dict[str, Any]:
    row: dict[str, Any] = {"space": result.space, "fingerprint": result.fingerprint, **asdict(pair.protocol)}
    by_chance = pair.chance.named()
    for name, value in pair.scores.named().items():
        low, high = pair.intervals.get(name, (None, None))
        column = name.replace(" ", "_")
        row |= {column: value, f"{column}_low": low, f"{column}_high": high, f"{column}_chance": by_chance.get(name)}
    return row


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table that people read."""

    name: str
    write: Callable[[PairResult], str] = field(repr=False)
    words: bool = False
    """Words start at the left, figures end at the right."""


def columns(result: AllPairs) -> list[Column]:
    """What is said of each direction; the column of subsets only where there are some."""
    top = result.top
    subset = [Column("subset", lambda pair: pair.protocol.subset, words=True)]
    distance = [
        Column(f"D@{top} km", lambda pair: _km(pair.scores.distance_km.get(top))),
        Column(f"chance D@{top} km", lambda pair: _km(pair.chance.distance_km.get(top))),
    ]
    return [
        Column("query", lambda pair: pair.protocol.query, words=True),
        Column("gallery", lambda pair: pair.protocol.gallery, words=True),
        *(subset if any(pair.protocol.subset for pair in result.results) else []),
        Column("pair", lambda pair: pair.protocol.relation, words=True),
        *(Column(f"R@{k}", lambda pair, k=k: percent(pair.scores.recall[k])) for k in result.ks),  # type: ignore[misc]
        Column(f"R@{top} 95 %", lambda pair: span(pair, f"R@{top}")),
        Column(f"chance R@{top}", lambda pair: percent(pair.chance.recall[top])),
        Column("× chance", lambda pair: times(pair.lift(top))),
        Column("median rank", lambda pair: rank(pair.scores.median_rank)),
        Column("chance rank", lambda pair: rank(pair.chance.median_rank)),
        Column("mAP", lambda pair: percent(pair.scores.mean_average_precision)),
        Column("chance mAP", lambda pair: percent(pair.chance.mean_average_precision)),
        Column(f"nDCG@{top}", lambda pair: percent(pair.scores.ndcg[top]) if top in pair.scores.ndcg else "–"),
        *(distance if any(pair.scores.distance_km for pair in result.results) else []),
        Column("queries", lambda pair: f"{pair.protocol.queries:,}"),
        Column("gallery size", lambda pair: f"{pair.protocol.gallery_size:,}"),
        Column("positives", lambda pair: positives(pair.protocol), words=True),
        Column("split hash", lambda pair: pair.protocol.split_hash, words=True),
    ]


def protocol_line(result: AllPairs) -> str:
    """What all rows of a table share."""
    return (
        f"Space {result.space}, anchor {result.anchor} ({result.fingerprint}); split {result.split};"
        f" ties {result.ties}; geobind {result.geobind}."
    )


TIE_RULES: dict[Ties, str] = {
    "optimistic": "before them",
    "mean": "where a random order of the tied items puts them on average",
    "pessimistic": "after them",
}


def notes(result: AllPairs) -> list[str]:
    """What the figures mean, in sentences."""
    top = result.top
    return [
        "R@k is the share of queries whose best-ranked positive is among the first k of the whole gallery (rank ≤ k).",
        "mAP is the average precision over all positives of a query, averaged over queries;"
        f" nDCG@{top} the discounted gain of the positives among the first {top} (Järvelin and Kekäläinen 2002).",
        *(
            [f"D@{top} is the distance of the nearest place among the first {top}, km, median over queries."]
            if any(pair.scores.distance_km for pair in result.results)
            else []
        ),
        f"Intervals: {METHOD}.",
        f"Positives stand among equally similar negatives {TIE_RULES[result.ties]} (tie rule: {result.ties});"
        f" cosines within {TIE_WIDTH:g} count as equal.",
        "Chance is the exact expectation under a random order of the same gallery, with each query's own number of"
        " positives.",
        "Positives are items of the same place (id), of the same group (group), within a radius (radius), or as a file"
        " lists them (listed).",
        "A trained pair was trained against each other; an emergent one never met in training.",
    ]


def span(pair: PairResult, name: str) -> str:
    """The 95 % interval of a share in percent: ``24.1 – 31.0``."""
    if name not in pair.intervals:
        return "–"
    low, high = pair.intervals[name]
    return f"{100 * low:.1f} – {100 * high:.1f}"


def _km(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def to_rich(result: AllPairs) -> Table:
    """A table for the terminal; chance stands in brackets, and a letter says how a row's pairs came about."""
    origins = list(dict.fromkeys(positives(pair.protocol) for pair in result.results))
    letter_of = dict(zip(origins, ascii_lowercase, strict=False))
    legend = [f"{letter_of.get(origin, '?')}: positives by {origin}" for origin in origins]
    missing = [f"not measured: {direction(pair)}: {pair.reason}" for pair in result.unmeasured]
    table = Table(
        title=f"Retrieval in {escape(result.space)}",
        caption=escape("\n".join([protocol_line(result), *legend, *missing])),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("query → gallery", no_wrap=True)
    table.add_column("pair", no_wrap=True)
    for name in (*(f"R@{k} %" for k in result.ks), "× chance", "median rank", "mAP %", "queries × gallery"):
        # In a narrow terminal a figure breaks over two lines rather than lose its end.
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("pairs")
    for pair in result.results:
        p, scores, chance = pair.protocol, pair.scores, pair.chance
        table.add_row(
            escape(f"{p.query} → {p.gallery}" + (f"\n  {p.subset}" if p.subset else "")),
            p.relation,
            *(f"{100 * scores.recall[k]:.1f}" for k in result.ks),
            f"[bold]{times(pair.lift(result.top))}[/]",
            f"{rank(scores.median_rank)} [dim]({rank(chance.median_rank)})[/]",
            f"{100 * scores.mean_average_precision:.1f} [dim]({100 * chance.mean_average_precision:.1f})[/]",
            f"{p.queries:,} × {p.gallery_size:,}",
            letter_of.get(positives(p), "?"),
        )
    return table


def positives(protocol: Protocol) -> str:
    """What makes two items positives of each other, and how the pairs came about."""
    rule = protocol.rule if protocol.radius_km is None else f"within {protocol.radius_km:g} km"
    return f"{rule}: {protocol.origin}"


def direction(names: Protocol | Unmeasured) -> str:
    """``text → satellite``, with the subset where there is one."""
    return f"{names.query} → {names.gallery}" + (f" ({names.subset})" if names.subset else "")

"""All pairs as a table: CSV, Markdown, and for the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from string import ascii_lowercase

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from geobind.evaluate.report.overview import percent, rank, times
from geobind.evaluate.results import AllPairs, PairResult, Protocol, Unmeasured
from geobind.ranks import TIE_WIDTH, Ties


def to_csv(result: AllPairs) -> str:
    """One row per measured direction; shares in [0, 1], nothing rounded, every row with its whole protocol."""
    rows = [_flat(result, pair) for pair in result.results]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _flat(result: AllPairs, pair: PairResult) -> dict[str, str | int | float]:
    p, scores, chance = pair.protocol, pair.scores, pair.chance
    return {
        "space": result.space,
        "fingerprint": result.fingerprint,
        "query": p.query,
        "gallery": p.gallery,
        "subset": p.subset,
        "relation": p.relation,
        "origin": p.origin,
        "rule": p.rule,
        "ties": p.ties,
        "split": p.split,
        "split_hash": p.split_hash,
        "dataset": p.dataset,
        "queries": p.queries,
        "gallery_size": p.gallery_size,
        **{f"R@{k}": share for k, share in scores.recall.items()},
        "median_rank": scores.median_rank,
        "mean_rank": scores.mean_rank,
        "mAP": scores.mean_average_precision,
        **{f"chance_R@{k}": share for k, share in chance.recall.items()},
        "chance_median_rank": chance.median_rank,
        "chance_mean_rank": chance.mean_rank,
        "chance_mAP": chance.mean_average_precision,
    }


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
    return [
        Column("query", lambda pair: pair.protocol.query, words=True),
        Column("gallery", lambda pair: pair.protocol.gallery, words=True),
        *(subset if any(pair.protocol.subset for pair in result.results) else []),
        Column("pair", lambda pair: pair.protocol.relation, words=True),
        *(Column(f"R@{k}", lambda pair, k=k: percent(pair.scores.recall[k])) for k in result.ks),  # type: ignore[misc]
        Column(f"chance R@{top}", lambda pair: percent(pair.chance.recall[top])),
        Column("× chance", lambda pair: times(pair.lift(top))),
        Column("median rank", lambda pair: rank(pair.scores.median_rank)),
        Column("chance rank", lambda pair: rank(pair.chance.median_rank)),
        Column("mAP", lambda pair: percent(pair.scores.mean_average_precision)),
        Column("chance mAP", lambda pair: percent(pair.chance.mean_average_precision)),
        Column("queries", lambda pair: f"{pair.protocol.queries:,}"),
        Column("gallery size", lambda pair: f"{pair.protocol.gallery_size:,}"),
        Column("positives", lambda pair: _positives(pair.protocol), words=True),
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
    return [
        "R@k is the share of queries whose best-ranked positive is among the first k of the whole gallery (rank ≤ k).",
        "mAP is the average precision over all positives of a query, averaged over queries.",
        f"Positives stand among equally similar negatives {TIE_RULES[result.ties]} (tie rule: {result.ties});"
        f" cosines within {TIE_WIDTH:g} count as equal.",
        "Chance is the exact expectation under a random order of the same gallery, with each query's own number of"
        " positives.",
        "Positives are items of the same place (id), of the same group (group), or as a file lists them (listed).",
        "A trained pair was trained against each other; an emergent one never met in training.",
    ]


def to_markdown(result: AllPairs) -> str:
    """A table, the pairs that could not be measured, and what the figures mean."""
    shown = columns(result)
    lines = [
        f"# Retrieval in {result.space}",
        "",
        protocol_line(result),
        "",
        _row([column.name for column in shown]),
        _row(["---" if column.words else "---:" for column in shown]),
        *(_row([column.write(pair) for column in shown]) for pair in result.results),
        "",
        *(f"- {sentence}" for sentence in notes(result)),
    ]
    if result.unmeasured:
        lines += ["", "## Not measured", ""]
        lines += [f"- {_pair(pair)}: {pair.reason}" for pair in result.unmeasured]
    return "\n".join(lines) + "\n"


def _row(values: Sequence[str]) -> str:
    return "| " + " | ".join(value.replace("|", "\\|").replace("\n", " ") for value in values) + " |"


def to_rich(result: AllPairs) -> Table:
    """A table for the terminal; chance stands in brackets, and a letter says how a row's pairs came about."""
    origins = list(dict.fromkeys(_positives(pair.protocol) for pair in result.results))
    letter_of = dict(zip(origins, ascii_lowercase, strict=False))
    legend = [f"{letter_of.get(origin, '?')}: positives by {origin}" for origin in origins]
    missing = [f"not measured: {_pair(pair)}: {pair.reason}" for pair in result.unmeasured]
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
            letter_of.get(_positives(p), "?"),
        )
    return table


def _positives(protocol: Protocol) -> str:
    return f"{protocol.rule}: {protocol.origin}"


def _pair(names: Protocol | Unmeasured) -> str:
    return f"{names.query} → {names.gallery}" + (f" ({names.subset})" if names.subset else "")

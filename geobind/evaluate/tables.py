"""All pairs as a table: CSV, Markdown, and for the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from geobind.evaluate.overview import percent, rank, times
from geobind.evaluate.ranks import TIE_WIDTH, Ties
from geobind.evaluate.results import AllPairs, PairResult


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


def columns(result: AllPairs) -> list[str]:
    """Headings of the table that people read; the first five are words, the others figures."""
    recalls = [f"R@{k}" for k in result.ks]
    return [
        *("query", "gallery", "subset", "pair", "positives"),
        *(*recalls, f"chance R@{result.top}", "× chance", "median rank", "chance", "mAP", "chance mAP"),
        *("queries", "gallery size"),
    ]


def cells(result: AllPairs, pair: PairResult) -> list[str]:
    """One direction under :func:`columns`, written for people."""
    p, scores, chance = pair.protocol, pair.scores, pair.chance
    return [
        *(p.query, p.gallery, p.subset, p.relation, f"{p.rule}: {p.origin}"),
        *(percent(scores.recall[k]) for k in result.ks),
        percent(chance.recall[result.top]),
        times(pair.lift(result.top)),
        rank(scores.median_rank),
        rank(chance.median_rank),
        percent(scores.mean_average_precision),
        percent(chance.mean_average_precision),
        f"{p.queries:,}",
        f"{p.gallery_size:,}",
    ]


WORDS = 5
"""How many of :func:`columns` are words."""


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
    names = columns(result)
    lines = [
        f"# Retrieval in {result.space}",
        "",
        protocol_line(result),
        "",
        _row(names),
        _row(["---"] * WORDS + ["---:"] * (len(names) - WORDS)),
        *(_row(cells(result, pair)) for pair in result.results),
        "",
        *(f"- {sentence}" for sentence in notes(result)),
    ]
    if result.unmeasured:
        lines += ["", "## Not measured", ""]
        lines += [
            f"- {pair.query} → {pair.gallery}{f' ({pair.subset})' * bool(pair.subset)}: {pair.reason}"
            for pair in result.unmeasured
        ]
    return "\n".join(lines) + "\n"


def _row(values: Sequence[str]) -> str:
    return "| " + " | ".join(value.replace("|", "\\|").replace("\n", " ") for value in values) + " |"


def to_rich(result: AllPairs) -> Table:
    """A table for the terminal."""
    top = result.top
    table = Table(
        title=f"Retrieval in {escape(result.space)}", caption=escape(protocol_line(result)), title_justify="left"
    )
    table.add_column("query → gallery")
    table.add_column("pair")
    for name in (*(f"R@{k} %" for k in result.ks), "× chance", "median rank", "mAP %", "queries × gallery"):
        table.add_column(name, justify="right")
    table.add_column("positives")
    for pair in result.results:
        p, scores, chance = pair.protocol, pair.scores, pair.chance
        table.add_row(
            escape(f"{p.query} → {p.gallery}" + (f"\n  {p.subset}" if p.subset else "")),
            p.relation,
            *(f"{100 * scores.recall[k]:.1f}" for k in result.ks),
            f"[bold]{times(pair.lift(top))}[/]" if pair.lift(top) > 1 else times(pair.lift(top)),
            f"{rank(scores.median_rank)} [dim]({rank(chance.median_rank)})[/]",
            f"{100 * scores.mean_average_precision:.1f} [dim]({100 * chance.mean_average_precision:.1f})[/]",
            f"{p.queries:,} × {p.gallery_size:,}",
            escape(f"{p.rule}: {p.origin}"),
        )
    for missing in result.unmeasured:
        name = f"{missing.query} → {missing.gallery}" + (f"\n  {missing.subset}" if missing.subset else "")
        table.add_row(escape(name), "–", *[""] * (len(result.ks) + 4), escape(missing.reason), style="dim")
    return table

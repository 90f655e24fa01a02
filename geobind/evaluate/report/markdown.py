"""An evaluation as Markdown: the table of all pairs, then every finding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from geobind.evaluate.findings import Finding, Measure, Table
from geobind.evaluate.report.page import name_of
from geobind.evaluate.report.tables import columns, direction, notes, protocol_line
from geobind.evaluate.report.words import interval, is_word, number, written
from geobind.evaluate.results import AllPairs


def to_markdown(all_pairs: AllPairs | None, findings: Sequence[Finding] = ()) -> str:
    """Headings, tables, sentences; pictures by the names of their files."""
    lines = [f"# {name_of(all_pairs, findings)}", ""]
    if all_pairs is not None:
        lines += _retrieval(all_pairs)
    for finding in findings:
        lines += _finding(finding)
    return "\n".join(lines).rstrip("\n") + "\n"


def grid(names: Sequence[str], words: Sequence[bool], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table's lines and an empty one; words start at the left, figures end at the right."""
    return [_row(names), _row(["---" if word else "---:" for word in words]), *map(_row, rows), ""]


def _row(values: Sequence[str]) -> str:
    return "| " + " | ".join(value.replace("|", "\\|").replace("\n", " ") for value in values) + " |"


def _retrieval(result: AllPairs) -> list[str]:
    shown = columns(result)
    return [
        "## Retrieval between all pairs",
        "",
        protocol_line(result),
        "",
        *grid(
            [column.name for column in shown],
            [column.words for column in shown],
            ([column.write(pair) for column in shown] for pair in result.results),
        ),
        *(f"- {sentence}" for sentence in notes(result)),
        "",
        *(["### Not measured", ""] if result.unmeasured else []),
        *(f"- {direction(pair)}: {pair.reason}" for pair in result.unmeasured),
        *([""] if result.unmeasured else []),
    ]


def _finding(finding: Finding) -> list[str]:
    lines = [f"## {finding.title}", ""]
    for sentence in finding.answer:
        lines += [sentence, ""]
    for picture in finding.pictures:
        lines += [f"![{picture.alt}]({picture.name}.png)", "", picture.caption, ""]
    for table in finding.tables:
        lines += _table(table)
    if finding.measures and not finding.tables:
        lines += _measures(finding.measures)
    lines += [f"- {name}: {written(value)}" for name, value in finding.protocol.items()]
    lines += [f"- {note}" for note in finding.notes]
    return [*lines, ""]


def _table(table: Table) -> list[str]:
    lines = [f"### {table.title}", ""]
    words = [is_word(table, column) for column in range(len(table.columns))]
    lines += grid(table.columns, words, ([written(value) for value in row] for row in table.rows))
    return [*lines, table.note, ""] if table.note else lines


def _measures(measures: Sequence[Measure]) -> list[str]:
    names = ("of", "figure", "value", "95 % interval", "chance", "n")
    rows = (
        (m.of, m.metric, number(m.value, m.metric), interval(m), number(m.chance, m.metric), f"{m.n:,}")
        for m in measures
    )
    return grid(names, [True, True, False, False, False, False], rows)

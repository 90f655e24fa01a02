"""Write an evaluation down: one HTML page, Markdown, JSON, CSV, ranks of single queries, and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, count
from pathlib import Path

from rich.table import Table

from geobind.errors import GeobindError
from geobind.evaluate.examples import Example
from geobind.evaluate.findings import Finding, Picture
from geobind.evaluate.report import queries, stored
from geobind.evaluate.report.curves import recall_curves
from geobind.evaluate.report.heatmap import to_png
from geobind.evaluate.report.markdown import to_markdown
from geobind.evaluate.report.page import to_html
from geobind.evaluate.report.stored import Results, read
from geobind.evaluate.report.tables import to_csv, to_rich
from geobind.evaluate.results import AllPairs
from geobind.files import write_atomic

__all__ = ["Results", "read", "table", "write_report"]

OWN = ("report.html", "report.md", stored.NAME, "results.csv", queries.NAME, "matrix.png", "recall.png")
"""Files a report may hold beside the pictures of its findings."""


def write_report(
    out_dir: Path,
    all_pairs: AllPairs | None = None,
    findings: Sequence[Finding] = (),
    examples: Sequence[Example] = (),
) -> list[Path]:
    """Write ``report.html``, ``report.md``, ``results.json`` and ``NAME.png`` of every picture; of all pairs also
    ``results.csv``, ``ranks.npz``, ``matrix.png`` and ``recall.png``.

    The report takes the place of the one before: what that one had and this one has not is removed. Other files in
    the folder are left alone.

    Args:
        out_dir: Made when missing.
        all_pairs: What :func:`geobind.evaluate.retrieval.all_pairs` found. Read from a file it has no rankings, and
            neither ``ranks.npz`` nor ``recall.png`` are written.
        findings: Answers to questions, in the order of their sections.
        examples: Of all pairs, from :func:`geobind.evaluate.examples.gather`.

    Returns:
        The files written, the page first.

    Raises:
        GeobindError: There is nothing to report.
    """
    if all_pairs is None and not findings:
        raise GeobindError("there is nothing to report", fix="Ask for all pairs, or for a question.")
    findings = _named_apart(findings)
    curves = None if all_pairs is None else recall_curves(all_pairs)
    contents: dict[str, str | bytes] = {
        "report.html": to_html(all_pairs, findings, examples, [curves] if curves else []),
        "report.md": to_markdown(all_pairs, findings),
        stored.NAME: stored.dump(all_pairs, findings),
    }
    if all_pairs is not None:
        contents |= {"results.csv": to_csv(all_pairs), "matrix.png": to_png(all_pairs)}
        if ranks := queries.pack(all_pairs):
            contents[queries.NAME] = ranks
    pictures = [*([curves] if curves else []), *(picture for finding in findings for picture in finding.pictures)]
    contents |= {f"{picture.name}.png": picture.png for picture in pictures}
    folder = Path(out_dir)
    before = {*OWN, *stored.pictures(folder / stored.NAME)}
    files = [write_atomic(folder / name, content) for name, content in contents.items()]
    for name in before - set(contents):
        (folder / name).unlink(missing_ok=True)
    return files


def table(result: AllPairs) -> Table:
    """All pairs for the terminal."""
    return to_rich(result)


def _named_apart(findings: Sequence[Finding]) -> list[Finding]:
    """The same findings; of pictures with one name, the later ones are named after their finding."""
    taken = {Path(name).stem for name in OWN}

    def own(finding: Finding, picture: Picture) -> Picture:
        longer = f"{finding.name}-{picture.name}"
        names = chain([picture.name, longer], (f"{longer}-{number}" for number in count(2)))
        taken.add(name := next(name for name in names if name not in taken))
        return replace(picture, name=name)

    return [replace(finding, pictures=tuple(own(finding, p) for p in finding.pictures)) for finding in findings]

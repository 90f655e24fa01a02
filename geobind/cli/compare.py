"""``geobind compare``: evaluations side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geobind.cli.common import stdout


def compare(
    results: Annotated[
        list[Path], typer.Argument(metavar="BASELINE OTHER...", help="Report folders, or their results.json.")
    ],
    across_protocols: Annotated[
        bool, typer.Option("--across-protocols", help="Compare even where protocols differ; such rows are marked.")
    ] = False,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="Only this figure, e.g. R@10; may be repeated; `all` for every one. "
            "Default: the leading ones of all pairs, and every one of the questions.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Also write a report into this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how evaluations differ from the first one, with 95 % intervals of the differences."""
    from geobind.evaluate.compare import compare as run

    comparison = run(results, across_protocols=across_protocols, metrics=metric)
    if as_json:
        import json

        typer.echo(json.dumps(comparison.as_dict(), indent=2, ensure_ascii=False))
    else:
        from geobind.evaluate.compare.render import to_rich

        stdout().print(to_rich(comparison))
    if out is not None:
        from geobind.evaluate.compare.render import to_finding
        from geobind.evaluate.report import write_report

        for file in write_report(out, None, [to_finding(comparison)]):
            typer.echo(file, err=as_json)

"""``geobind benchmarks``: what zero-shot classification can be measured on."""

from __future__ import annotations

import typer

from geobind.cli.common import stdout

app = typer.Typer(
    help="Benchmarks of zero-shot classification, for `geobind evaluate --zero-shot`.", no_args_is_help=True
)


@app.command("list")
def list_() -> None:
    """Show every benchmark of the registry: what it holds, and how its folder looks."""
    from rich.table import Table

    from geobind.evaluate.zeroshot.benchmarks import benchmarks

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("benchmark", "modality", "classes", "prompts", "licence", "expected folder"):
        table.add_column(column, overflow="fold", no_wrap=column == "benchmark")
    for name, benchmark in benchmarks().items():
        classes = "folders" if benchmark.classes == "folders" else str(len(benchmark.classes))
        table.add_row(
            name, benchmark.modality, classes, str(len(benchmark.templates)), benchmark.licence, benchmark.layout
        )
    stdout().print(table)

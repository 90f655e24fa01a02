"""``geobind plugins``: what is installed, what it brings, and why something did not load."""

from __future__ import annotations

from typing import Annotated

import typer

from geobind.cli.common import stdout

app = typer.Typer(help="Look at plugins.", no_args_is_help=True)


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show every plugin, sound or not, with the reason when it did not load."""
    from geobind.plugins import get_plugins

    records = [record.as_dict() for record in get_plugins().records]
    if as_json:
        import json

        typer.echo(json.dumps(records, indent=2))
        return
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("plugin", "status", "provides", "origin"):
        table.add_column(column)
    for record in records:
        provides = ", ".join(record["provides"]) if record["status"] == "ok" else record["reason"]
        table.add_row(record["name"], record["status"], provides, record["origin"])
    stdout().print(table)

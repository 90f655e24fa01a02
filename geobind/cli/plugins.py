"""``geobind plugins``: what is installed, what it brings, why something did not load, and how to write one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geobind.cli.check import check
from geobind.cli.common import stdout
from geobind.cli.new import new

if TYPE_CHECKING:
    from rich.console import Console

    from geobind.plugins import PluginRecord

app = typer.Typer(help="Look at plugins, check one, or write a new one.", no_args_is_help=True)
app.command("new")(new)
app.command("check")(check)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Import all that each names, building nothing; exit with 1 when a plugin is unsound."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every plugin, sound or not, with the reason when it did not load."""
    from geobind.plugins import get_plugins

    records = get_plugins().records
    shown = [record.as_dict() for record in records]
    missing = [_missing(record) for record in records] if check else []
    if as_json:
        for values, found in zip(shown, missing, strict=False):
            values["missing"] = found
        typer.echo(json.dumps(shown, indent=2))
    else:
        _print_list(shown)
        for values, found in zip(shown, missing, strict=False):
            for item in found:
                typer.echo(
                    f"plugin {values['name']!r}, {item['spec']}: {item['named']} cannot be had: {item['reason']}"
                )
    if check and (any(missing) or any(record.unsound for record in records)):
        raise typer.Exit(1)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of a plugin, or of its distribution.")],
    weights: Annotated[
        bool, typer.Option("--weights", help="Also look for the weights of each encoder's default config.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show where a plugin is from and what it brings: every spec, and every key of its config with default and help."""
    from geobind.plugins import get_plugins
    from geobind.plugins.about import about, records_of

    records = records_of(get_plugins(), name)
    shown = [about(record) for record in records]
    if weights:
        for record, values in zip(records, shown, strict=True):
            _add_weights(record, values)
    if as_json:
        typer.echo(json.dumps(shown if len(shown) > 1 else shown[0], indent=2, ensure_ascii=False))
        return
    for values in shown:
        _print_about(stdout(), values)


def _missing(record: PluginRecord) -> list[dict[str, str]]:
    from geobind.plugins.about import unimportable
    from geobind.plugins.record import label

    return [{"spec": label(spec), "named": named, "reason": reason} for spec, named, reason in unimportable(record)]


def _add_weights(record: PluginRecord, values: dict[str, Any]) -> None:
    from geobind.modality import EncoderSpec
    from geobind.plugins.about import weights_of

    for spec, told in zip(record.specs, values["provides"], strict=True):
        if isinstance(spec, EncoderSpec):
            here, found = weights_of(spec)
            told["weights_here"], told["weights_found"] = here, found


def _print_list(shown: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("plugin", "version", "status", "load"):
        table.add_column(column, no_wrap=True)
    for column in ("provides", "origin"):
        table.add_column(column)
    for values in shown:
        status = values["status"] + (", slow" if values["slow"] else "")
        provides = ", ".join(values["provides"]) if values["status"] == "ok" else values["reason"]
        seconds = f"{values['seconds']:.2f} s" if values["seconds"] else ""
        table.add_row(values["name"], values["version"], status, seconds, provides, values["origin"])
    stdout().print(table, markup=False, highlight=False)


def _print_about(console: Console, values: dict[str, Any]) -> None:
    def say(text: str, **options: Any) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True, **options)

    speed = f", {'slow: ' if values['slow'] else ''}loaded in {values['seconds']:.2f} s"
    say(f"plugin {values['name']}: {values['status']}{speed if values['status'] == 'ok' else ''}", style="bold")
    if values["reason"]:
        say(f"  {_reason(values)}")
    say(f"  from {values['origin']}" + (f", {values['file']}" if values["file"] else ""))
    of = values["distribution"] or {"summary": "", "licence": "", "page": ""}
    if known := list(filter(None, (of["summary"], of["licence"] and f"licence {of['licence']}", of["page"]))):
        say("  " + " · ".join(known))
    if values["hooks"]:
        say(f"  plugin API {values['api']} · {', '.join(values['hooks'])}")
    for spec in values["provides"]:
        say(f"\n{spec['label']}" + (f": {spec['summary']}" if spec.get("summary") else ""), style="bold")
        for name, value in spec.items():
            if name not in ("label", "name", "summary", "config", "unchecked", "weights_here", "weights_found"):
                say(f"  {name}: {_value(value)}")
        if "weights_found" in spec:
            say(f"  weights by default: {'ABSENT: ' if spec['weights_here'] is False else ''}{spec['weights_found']}")
        for skipped, reason in spec.get("unchecked", {}).items():
            say(f"  not checked: {skipped}, since {reason}")
        if spec.get("config"):
            console.print(_keys(spec["config"]), markup=False, highlight=False)


def _keys(keys: list[dict[str, str]]) -> Any:
    from rich.padding import Padding
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("key", "type", "default", "help"):
        table.add_column(column)
    for key in keys:
        table.add_row(*key.values())
    return Padding(table, (0, 0, 0, 2))


def _reason(values: dict[str, Any]) -> str:
    return str(values["reason"]) + (f" ({values['where']})" if values["where"] else "")


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} = {inner}" for name, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

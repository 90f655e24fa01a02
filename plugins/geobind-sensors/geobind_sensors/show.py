"""``geobind sensors``: which sensors are known, and what is known of each. No torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from geobind.cli.common import stdout

if TYPE_CHECKING:
    from geobind_sensors.image import Band
    from geobind_sensors.sensor import Sensor

app = typer.Typer(help="Look at the sensors that images can be of; yours are in sensors.yaml.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
MANY = 32
"""A table of more bands shows the first and the last few, unless all are asked for."""
ENDS = 6


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """Show every sensor: its modality, its bands and the range of their wavelengths."""
    from rich.table import Table

    from geobind_sensors.sensors import sound_sensors

    sensors = sound_sensors()
    if as_json:
        typer.echo(json.dumps({name: _values(sensor) for name, sensor in sensors.items()}, indent=2))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("sensor", "modality", "bands", "µm"):
        table.add_column(column, no_wrap=True, justify="right" if column == "bands" else "left")
    table.add_column("summary")
    for name, sensor in sensors.items():
        lengths = [band.wavelength for band in sensor.bands() if band.wavelength is not None]
        span = " … ".join(dict.fromkeys(f"{end:g}" for end in (min(lengths), max(lengths)))) if lengths else "none"
        table.add_row(name, sensor.modality, str(len(sensor.names)), span, sensor.entry.summary or sensor.where)
    stdout().print(table, markup=False, highlight=False)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of a sensor, as `geobind sensors list` shows it.")],
    convention: Annotated[
        str | None, typer.Option("--convention", help="Whose stand-ins to show for wavelengths, e.g. dofa_v1.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help=f"Show all bands of a sensor that has more than {MANY}.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a sensor's bands: wavelength, width, units, statistics, and where all of that is from."""
    from rich.table import Table

    from geobind_sensors.sensors import conventions, find_sensor

    sensor = find_sensor(name)
    bands = sensor.bands(tuple(sensor.entry.bands), convention)
    if as_json:
        typer.echo(json.dumps(_values(sensor), indent=2, ensure_ascii=False))
        return
    console, entry = stdout(), sensor.entry
    console.print(f"sensor {name}, modality {sensor.modality}", style="bold", markup=False, highlight=False)
    for label, text in (
        ("", entry.summary),
        ("source", entry.source),
        ("statistics", entry.statistics or "none: each image is standardised by itself"),
        ("licence of the data", entry.licence),
        ("declared in", sensor.where),
    ):
        if text:
            said = f"  {label}: {text}" if label else f"  {text}"
            console.print(said, markup=False, highlight=False, soft_wrap=True)
    table = Table(box=None, header_style="bold", pad_edge=False)
    left = ("band", "common", "units", "")
    for column in ("band", "common", "µm", "width", "gsd m", "mean", "std", "units", ""):
        table.add_column(column, no_wrap=True, justify="left" if column in left else "right")
    short = len(bands) > MANY and not every
    for band in bands[:ENDS] if short else bands:
        table.add_row(*_row(sensor, band))
    if short:
        table.add_row("…")
        for band in bands[-ENDS:]:
            table.add_row(*_row(sensor, band))
    console.print()
    console.print(table, markup=False, highlight=False)
    if entry.conventions:
        console.print("\nconventions for wavelengths", style="bold", highlight=False)
        for each in entry.conventions:
            told = conventions()[each]
            console.print(f"  {each}: {told.summary} {told.source}", markup=False, highlight=False, soft_wrap=True)


def _row(sensor: Sensor, band: Band) -> tuple[str, ...]:
    notes = [
        band.shown_as and f"shown as {band.shown_as}",
        band.name in sensor.entry.left_out and "left out by default",
    ]
    numbers = (band.wavelength, band.width, sensor.said(band.name, "gsd_m"), band.mean, band.std)
    return (
        band.name,
        sensor.entry.bands[band.name].common,
        *("" if number is None else f"{number:g}" for number in numbers),
        band.units,
        ", ".join(note for note in notes if note),
    )


def _values(sensor: Sensor) -> dict[str, object]:
    return {
        "modality": sensor.modality,
        "where": sensor.where,
        **sensor.entry.model_dump(mode="json", exclude={"modality"}),
    }

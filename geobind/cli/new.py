"""``geobind plugins new``: write a new plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geobind.authoring.scaffold import Kind
from geobind.errors import GeobindError

TRY = {
    Kind.MODALITY: ("geobind bind --modality {name} --with-required", "geobind evaluate --all-pairs"),
    Kind.ENCODER: (),
    Kind.DATASET: (),
    Kind.LOSS: ("geobind bind --recipe world --set defaults.loss.type={name}",),
}
"""What binds with a plugin of each kind as it is written."""


def new(
    name: Annotated[str, typer.Argument(help="What it is called: a lower-case word.")],
    kind: Annotated[
        Kind, typer.Option("--from", help="What it brings: a whole modality, or only an encoder, a dataset or a loss.")
    ] = Kind.MODALITY,
    modality: Annotated[
        str | None,
        typer.Option(
            "--modality",
            help="The modality of pictures that an encoder is for. Default: satellite.",
            show_default=False,
        ),
    ] = None,
    loss: Annotated[bool, typer.Option("--loss", help="A whole modality that brings a loss too.")] = False,
    author: Annotated[
        str, typer.Option("--author", help="Whose it is. Default: The geobind-NAME developers.", show_default=False)
    ] = "",
    folder: Annotated[Path, typer.Option("--folder", help="Where the folder geobind-NAME is written.")] = Path(),
) -> None:
    """Write a new plugin: a distribution with specs, code, tests and a recipe that work over made-up data."""
    from geobind.authoring.scaffold import new_plugin, write
    from geobind.plugins import get_plugins

    if modality is not None and kind is not Kind.ENCODER:
        raise GeobindError("--modality is for --from encoder", fix="Leave it out.")
    if loss and kind is not Kind.MODALITY:
        raise GeobindError("--loss is for a whole modality", fix="Leave it out, or take --from loss.")
    of = modality or "satellite"
    plugin = new_plugin(name, kind, get_plugins(), author=author, loss=loss, of=of)
    written = write(plugin, folder)
    typer.echo(f"{written} written: {sum(path.is_file() for path in written.rglob('*'))} files. Next:\n")
    commands = (f"cd {written}", 'pip install -e ".[test]"', "pytest", "geobind plugins check {name}", *TRY[kind])
    for command in commands:
        typer.echo("  " + command.format(name=name))

"""``geobind cache``: the features on disk, what they take, and how to be rid of them."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from geobind.cli.common import stdout
from geobind.errors import GeobindError

if TYPE_CHECKING:
    from pathlib import Path

    from geobind.features.store import Listed

DAY_S = 86_400

app = typer.Typer(help="Look at and clear the features kept on disk.", no_args_is_help=True)


@app.command()
def info(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show what the cache holds: by modality, encoder and view, the last used first."""
    from geobind.features.store import default_folder, listed

    folder = default_folder()
    stores = listed(folder)
    if as_json:
        import json
        from dataclasses import asdict

        rows = [
            {
                **asdict(store.meta),
                "items": store.items,
                "bytes": store.bytes,
                "used": _when(store),
                "path": str(store.path),
            }
            for store in stores
        ]
        total = sum(store.bytes for store in stores)
        typer.echo(json.dumps({"folder": str(folder), "bytes": total, "features": rows}, indent=2))
        return
    _print(stores)
    typer.echo(f"{_total(stores)} in {folder}")
    if results := _results(folder):
        typer.echo(f"{sum(file.stat().st_size for file in results) / 1e6:,.1f} MB of {len(results):,} evaluated pairs")


@app.command()
def clear(
    modality: Annotated[str | None, typer.Option("--modality", "-m", help="Only features of this modality.")] = None,
    unused_days: Annotated[
        float | None, typer.Option("--unused-days", min=0, help="Only what was not used for so many days.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove features from disk, and with all of them what evaluations keep; they are computed again when needed."""
    import shutil

    from geobind.features.store import FILES, RESULTS, default_folder, listed

    folder = default_folder()
    before = time.time() - (unused_days or 0) * DAY_S
    stores = [
        store
        for store in listed(folder)
        if modality in (None, store.meta.modality) and (unused_days is None or store.used < before)
    ]
    everything = modality is None and unused_days is None
    if not stores and not (everything and _results(folder)):
        typer.echo(f"nothing to remove in {folder}")
        return
    _print(stores)
    if not yes:
        typer.confirm(f"Remove {_total(stores)} from {folder}?", abort=True)
    for store in stores:
        try:
            store.remove()
        except OSError as error:
            fix = "Remove it by hand, or ask who owns it."
            raise GeobindError(f"{str(store.path)!r} cannot be removed: {error.strerror}", fix=fix) from error
    if everything:
        for name in (FILES, RESULTS):
            shutil.rmtree(folder / name, ignore_errors=True)
    typer.echo(f"removed {_total(stores)} from {folder}")


def _print(stores: list[Listed]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("modality", "encoder", "view", "items", "MB", "last used"):
        justify: Literal["left", "right"] = "right" if column in ("view", "items", "MB") else "left"
        table.add_column(column, justify=justify, no_wrap=column != "encoder", overflow="fold")
    for store in stores:
        meta = store.meta
        size = f"{store.bytes / 1e6:,.1f}"
        table.add_row(meta.modality, meta.encoder, str(meta.view), f"{store.items:,}", size, _when(store))
    if stores:
        stdout().print(table)


def _total(stores: list[Listed]) -> str:
    return f"{sum(store.bytes for store in stores) / 1e6:,.1f} MB of {sum(store.items for store in stores):,} items"


def _results(folder: Path) -> list[Path]:
    from geobind.features.store import RESULTS

    return list((folder / RESULTS).glob("*.npz"))


def _when(store: Listed) -> str:
    return datetime.fromtimestamp(store.used).astimezone().isoformat(sep=" ", timespec="minutes")

"""What several commands share: which space is meant, and options with one meaning everywhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geobind.errors import SpaceError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

    from geobind.evaluate.findings import Finding, Table
    from geobind.plan import Plan
    from geobind.space.records import SpaceRecord

SPACES = Path("spaces")
RUNS = Path("runs")
REPORTS = Path("reports")
DEFAULT_RECIPE = "world"

SpaceOption = Annotated[
    Path | None,
    typer.Option(
        "--space",
        help="Space folder. Default: $GEOBIND_SPACE, else spaces/RECIPE, else the most recently bound under spaces/.",
        show_default=False,
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="Recipe by name or path. Default: the one the current space was bound by, else world.",
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe key, e.g. stages.audio.optim.epochs=5."),
]


def stdout() -> Console:
    """Where results are printed: as wide as the terminal, or wide enough for any table in a log."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 140)


def find_space(space: Path | None, recipe: str | None = None) -> Path | None:
    """The space folder that is meant; None when nothing is bound yet and no recipe is named."""
    if space is not None:
        return space
    if given := os.environ.get("GEOBIND_SPACE"):
        return Path(given)
    if recipe is not None:
        return SPACES / Path(recipe).stem
    bound = sorted(SPACES.glob("*/space.json"), key=lambda file: file.stat().st_mtime)
    return bound[-1].parent if bound else None


def need_space(space: Path | None, recipe: str | None = None) -> Path:
    """Like :func:`find_space`, for commands that read a space.

    Raises:
        SpaceError: There is none.
    """
    found = find_space(space, recipe)
    if found is None or not (found / "space.json").is_file():
        raise SpaceError(
            f"there is no space in {str(found or SPACES)!r}", fix="Make one with `geobind bind`, or name it by --space."
        )
    return found


def record_of(space: Path | None) -> SpaceRecord | None:
    """What a space folder says of itself, without importing torch; None where nothing is bound."""
    if space is None or not (space / "space.json").is_file():
        return None
    from geobind.space.records import read_record

    return read_record(space)


def plan_of(
    recipe: str | None, space: Path | None, overrides: list[str] | None, *, modality: str | None = None
) -> Plan:
    """The recipe that is meant: as named, else the one the space was bound by, else the default.

    Where it was not named and has no stage for ``modality``, the only recipe that has one comes in: its stage is added
    to the space's recipe, or it is the recipe itself where nothing is bound yet.
    """
    from geobind.plan import load_plan, recipe_that_binds
    from geobind.plugins import get_plugins
    from geobind.space.recipe import plan_of_record

    plugins, record = get_plugins(), record_of(space)
    if recipe is not None:
        return load_plan(recipe, plugins, overrides)
    if record is None:
        name = DEFAULT_RECIPE
        if modality is not None and not _binds(load_plan(name, plugins).resolved(), modality):
            giver = recipe_that_binds(modality, None, plugins)
            name = giver.name if giver else name
        return load_plan(name, plugins, overrides)
    if modality is not None and not _binds(record.recipe, modality):
        giver = recipe_that_binds(modality, record.anchor, plugins)
        stages = giver.resolved()["stages"] if giver else []
        record.recipe["stages"] += [stage for stage in stages if stage["modality"] == modality]
    return plan_of_record(record, f"{space}/space.json", plugins, overrides or ())


def _binds(recipe: dict[str, Any], modality: str) -> bool:
    return any(stage["modality"] == modality for stage in recipe["stages"])


def print_finding(found: Finding) -> None:
    """Print a finding's tables, then its answer under its title."""
    from rich.markup import escape

    console = stdout()
    for table in found.tables:
        console.print(_rich_table(table))
    lines = (f"\n[bold]{escape(found.title)}[/]", *map(escape, found.answer))
    console.print(*lines, sep="\n", highlight=False, soft_wrap=True)


def _rich_table(table: Table) -> RichTable:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table as RichTable

    from geobind.evaluate.report.words import is_word, written

    title, caption = escape(table.title), escape(table.note) or None
    shown = RichTable(box=SIMPLE_HEAD, title=title, caption=caption, title_justify="left")
    for number, name in enumerate(table.columns):
        shown.add_column(escape(name), justify="left" if is_word(table, number) else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*(escape(written(value)) for value in row))
    return shown

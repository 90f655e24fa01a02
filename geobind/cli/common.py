"""What several commands share: which space is meant, and options with one meaning everywhere."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from geobind.errors import SpaceError

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
        help="Recipe by name or path. Default: the recipe of the current space, else world.",
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe key, e.g. stages.audio.optim.epochs=5."),
]


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


def peek(space: Path | None) -> dict[str, Any]:
    """``space.json`` as plain values without importing torch; empty when there is none."""
    file = space / "space.json" if space else None
    if file is None or not file.is_file():
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SpaceError(f"space.json is not JSON: {error}", where=str(file)) from error
    return values if isinstance(values, dict) else {}


def recipe_of(space: Path | None, recipe: str | None) -> str:
    """The recipe that is meant: as named, else the current space's, else the default."""
    return recipe or peek(space).get("recipe_name") or DEFAULT_RECIPE

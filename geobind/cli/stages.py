"""``geobind stages``: what can be bound, and what is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geobind.cli.common import RecipeOption, SetOption, SpaceOption, find_space, plan_of, record_of, stdout

if TYPE_CHECKING:
    from geobind.plan import Plan, StagePlan
    from geobind.space.records import SpaceRecord

app = typer.Typer(help="List, show and check the stages of recipes.", no_args_is_help=True)


@app.command("list")
def list_(
    recipe: Annotated[str | None, typer.Option("--recipe", help="Only this recipe.")] = None,
    space: SpaceOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every stage of every recipe, and whether it is bound in the current space.

    A recipe that cannot be used here, for example since a plugin is absent, is told below the others.
    """
    from geobind.errors import GeobindError
    from geobind.plan import load_plan, read_plan, recipe_paths
    from geobind.plugins import get_plugins

    plugins = get_plugins()
    current = find_space(space)
    record = record_of(current)
    if recipe:
        asked: dict[str, Callable[[], Plan]] = {recipe: partial(load_plan, recipe, plugins)}
    else:
        asked = {name: partial(read_plan, path, name, plugins) for name, path in recipe_paths(plugins).items()}
        if record:  # it may be bound by a recipe of the user's own
            asked.setdefault(record.recipe_name, partial(plan_of, None, current, None))
    plans, unusable = [], {}
    for name, plan_it in asked.items():
        try:
            plans.append(plan_it())
        except GeobindError as error:
            if recipe:
                raise
            unusable[name] = str(error)
    rows: list[dict[str, Any]] = []
    for plan in plans:
        for stage in [*plan.stages, *_added(plan, record, current)]:
            rows.append(
                {
                    "stage": stage.config.name,
                    "recipe": plan.name,
                    "modality": stage.config.modality,
                    "tower": stage.config.tower or "",
                    "trains": str(stage.config.train),
                    "encoder": stage.encoder.type,
                    "data": stage.dataset.type,
                    "loss": stage.loss.type,
                    "bound": bound_state(record, plan.name, stage.config.name, stage.config.modality),
                }
            )
    if as_json:
        import json

        space_name = str(current) if current else None
        typer.echo(json.dumps({"space": space_name, "stages": rows, "unusable": unusable}, indent=2))
        return
    _print_rows(rows, current)
    for name, reason in unusable.items():
        typer.echo(f"recipe {name} cannot be used here: {reason}", err=True)


def _added(plan: Plan, space: SpaceRecord | None, current: Path | None) -> list[StagePlan]:
    """The stages that `bind --modality` added to a space bound by this recipe."""
    if space is None or space.recipe_name != plan.name:
        return []
    names = {stage.config.name for stage in plan.stages}
    if {stage["name"] for stage in space.recipe["stages"]} <= names:
        return []
    return [stage for stage in plan_of(None, current, None).stages if stage.config.name not in names]


def bound_state(space: SpaceRecord | None, recipe: str, stage: str, modality: str) -> str:
    """``yes``, ``stale`` or the empty string for a stage of a recipe in a space."""
    if space is None or space.recipe_name != recipe or modality not in space.towers:
        return ""
    tower = space.towers[modality]
    if tower.bound is None or stage not in (tower.bound.stage, *tower.stages):
        return ""
    return "stale" if modality in space.stale else "yes"


def _print_rows(rows: list[dict[str, Any]], current: Path | None) -> None:
    from rich.table import Table

    title = f"space: {current}" if current else "no space is bound yet"
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    columns = [name for name in rows[0] if name != "tower" or any(row[name] for row in rows)] if rows else ["stage"]
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    stdout().print(table)


@app.command()
def show(
    stage: Annotated[str, typer.Argument(help="Name of a stage.")],
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    space: SpaceOption = None,
) -> None:
    """Print one stage with every default spelt out, as YAML."""
    import yaml

    plan = plan_of(recipe, find_space(space, recipe), overrides)
    plan.stage(stage)
    found = next(values for values in plan.resolved()["stages"] if values["name"] == stage)
    typer.echo(yaml.safe_dump(found, sort_keys=False, allow_unicode=True), nl=False)


@app.command()
def validate(
    recipe: Annotated[str, typer.Argument(help="Recipe by name or path of a YAML file.")],
    overrides: SetOption = None,
) -> None:
    """Check a recipe: keys, values, and that every type exists."""
    from geobind.plan import load_plan
    from geobind.plugins import get_plugins
    from geobind.progress import counted

    plan = load_plan(recipe, get_plugins(), overrides)
    names = ", ".join(stage.config.name for stage in plan.stages)
    typer.echo(f"{plan.source}: fine, {counted(len(plan.stages), 'stage')} ({names})")

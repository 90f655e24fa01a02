"""``geobind bind``: run a recipe's stages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geobind.cli.common import (
    RUNS,
    SPACES,
    RecipeOption,
    SetOption,
    SpaceOption,
    find_space,
    plan_of,
    record_of,
    stdout,
)
from geobind.errors import RecipeError

if TYPE_CHECKING:
    from geobind.modality import Choice
    from geobind.plan import Plan, StagePlan


def bind(
    recipe: RecipeOption = None,
    modality: Annotated[
        str | None,
        typer.Option("--modality", "-m", help="Bind this modality alone; its stage may come from a plugin's recipe."),
    ] = None,
    stage: Annotated[str | None, typer.Option("--stage", "-s", help="Run this stage alone.")] = None,
    stale: Annotated[bool, typer.Option("--stale", help="Bind again what an anchor's change made stale.")] = False,
    with_required: Annotated[
        bool, typer.Option("--with-required", help="Also run stages that must come first.")
    ] = False,
    overrides: SetOption = None,
    space: SpaceOption = None,
    runs: Annotated[Path, typer.Option("--runs", help="Where run folders are made.")] = RUNS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be built, and stop.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the newest unfinished run.")] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Compute every feature anew, and keep none after the run.")
    ] = False,
    track: Annotated[
        list[str] | None, typer.Option("--track", metavar="NAME", help="Also log to tensorboard, wandb or a plugin's.")
    ] = None,
) -> None:
    """Bind modalities to the anchor, stage by stage, and write the space.

    Several processes: torchrun --nproc-per-node N -m geobind bind …
    """
    if sum((modality is not None, stage is not None, stale)) > 1:
        raise RecipeError("--modality, --stage and --stale exclude each other", fix="Give one of them.")
    current = find_space(space, recipe)
    plan = plan_of(recipe, current, overrides, modality=modality)
    target = current or SPACES / plan.name

    from geobind.bind.binder import bind as run_stages
    from geobind.bind.binder import choose
    from geobind.bind.interrupt import Interrupted
    from geobind.progress import first_rank, say

    stages = choose(
        plan, record_of(target), modality=modality, stage=stage, stale=stale, with_required=with_required or dry_run
    )
    if dry_run:
        print_outline(plan, stages, target)
        return
    say(f"recipe {plan.name} ({plan.source}) → space {target}")
    start = time.monotonic()
    try:
        run = run_stages(
            plan,
            stages,
            space=target,
            runs=runs,
            resume=resume,
            keep_features=not no_cache,
            trackers=track or (),
        )
    except Interrupted:
        say("interrupted between two steps; go on with the same command and --resume")
        raise KeyboardInterrupt from None
    if not first_rank():
        return
    typer.echo(f"bound {', '.join(s.config.name for s in stages)} in {time.monotonic() - start:.0f} s → {target}")
    typer.echo(f"run: {run.path}")


def print_outline(plan: Plan, stages: Sequence[StagePlan], target: Path) -> None:
    """Print what would be built."""
    from rich.table import Table

    from geobind.bind.dryrun import outline

    console = stdout()
    console.print(
        f"recipe [bold]{plan.name}[/bold] → space {target}, {plan.recipe.space.dim} dimensions", highlight=False
    )
    anchor = plan.recipe.anchor
    console.print(f"anchor {anchor.modality}: {_settings(plan.anchor)}, head {anchor.head.type}", highlight=False)
    outlines = outline(plan, stages)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("stage", "modality", "learns", "encoder", "trained", "frozen", "pairs", "steps", "memory"):
        numeric = column in ("trained", "frozen", "pairs", "steps", "memory")
        table.add_column(column, justify="right" if numeric else "left", no_wrap=True)
    for item in outlines:
        config = item.stage.config
        table.add_row(
            config.name,
            config.modality,
            str(config.train),
            item.stage.encoder.type,
            f"{item.trained / 1e6:,.2f} M",
            f"{item.frozen / 1e6:,.2f} M",
            "unknown" if item.pairs is None else f"{item.pairs:,}",
            "unknown" if item.steps is None else f"{item.steps:,}",
            f"≥ {item.memory_mb:,.0f} MB",
        )
    console.print(table)
    for item in outlines:
        config = item.stage.config
        lines = [
            f"encoder {_settings(item.stage.encoder)}, head {config.head.type}",
            f"loss {_settings(item.stage.loss)}",
            f"data {_settings(item.stage.dataset)}",
            f"optim {_listed(config.optim.model_dump(mode='json'))}",
        ]
        console.print(f"\n[bold]{config.name}[/bold]", *lines, sep="\n  ", highlight=False, soft_wrap=True)
        if config.note:
            console.print(f"  note: {config.note}", highlight=False, soft_wrap=True, markup=False)
        if item.trouble:
            console.print(f"  pairs unknown: {item.trouble}", highlight=False, soft_wrap=True, markup=False)


def _settings(choice: Choice[Any]) -> str:
    """A choice's type and what the recipe set of it."""
    values = _listed(choice.config.model_dump(mode="json", exclude_unset=True))
    return f"{choice.type} ({values})" if values else choice.type


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())

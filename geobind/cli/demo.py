"""``geobind demo``: the main job on the embedded default, from nothing to a report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from geobind.cli.common import REPORTS, RUNS, SPACES


def demo(
    recipe: Annotated[str, typer.Option("--recipe", help="Recipe to run.")] = "world",
    out: Annotated[Path, typer.Option("--out", help="Folder for space, run and report.")] = Path(),
) -> None:
    """Bind text, elevation, location, ground and audio to satellite tiles, evaluate all pairs, write the report."""
    from geobind.bind.binder import bind
    from geobind.cli.questions import Questions, report
    from geobind.plan import load_plan
    from geobind.plugins import get_plugins

    start = time.monotonic()
    plan = load_plan(recipe, get_plugins())
    space = out / SPACES / plan.name
    bind(plan, plan.stages, space=space, runs=out / RUNS)
    report(space, Questions(all_pairs=True), [], out / REPORTS / plan.name)
    typer.echo(f"done in {time.monotonic() - start:.0f} s; open {out / REPORTS / plan.name}/report.html in a browser")

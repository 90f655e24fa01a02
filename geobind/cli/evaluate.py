"""``geobind evaluate``: measure a space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geobind.cli.common import REPORTS, SetOption, SpaceOption, need_space, plan_of, stdout
from geobind.errors import RecipeError


def evaluate(
    all_pairs: Annotated[bool, typer.Option("--all-pairs", help="Retrieval between every ordered pair.")] = False,
    space: SpaceOption = None,
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    modalities: Annotated[str | None, typer.Option("--modalities", help="Only these, e.g. text,audio.")] = None,
    by: Annotated[str | None, typer.Option("--by", help="Also per value of this tag, e.g. source.")] = None,
    overrides: SetOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Report folder; reports/SPACE by default.")] = None,
) -> None:
    """Evaluate a space on its recipe's data, print a table and write the report."""
    if not all_pairs:
        raise RecipeError("nothing to evaluate was named", fix="Add --all-pairs.")
    target = need_space(space)
    report_all_pairs(target, split=split, modalities=modalities, by=by, overrides=overrides or [], out=out)


def report_all_pairs(
    target: Path,
    *,
    split: str = "test",
    modalities: str | None = None,
    by: str | None = None,
    overrides: list[str],
    out: Path | None = None,
) -> list[Path]:
    """Evaluate every pair of a space, print the table, write the report; returns the files written."""
    from geobind.evaluate.examples import gather
    from geobind.evaluate.report import table, write_report
    from geobind.evaluate.retrieval import all_pairs as run
    from geobind.progress import say
    from geobind.space.checkpoint import load

    loaded = load(target)
    plan = plan_of(None, target, overrides)
    choices = {repr(stage.dataset): stage.dataset for stage in plan.stages}
    datasets = [choice.build() for choice in choices.values()]
    say(f"space {target}, split {split}")
    result = run(loaded, datasets, split=split, modalities=modalities.split(",") if modalities else None, by=by)
    stdout().print(table(result))
    files = write_report(result, out or Path(REPORTS) / loaded.name, examples=gather(result))
    for file in files:
        typer.echo(file)
    return files

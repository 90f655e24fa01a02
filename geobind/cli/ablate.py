"""``geobind ablate``: what each choice of a recipe contributes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geobind.cli.common import REPORTS, SetOption, print_finding
from geobind.errors import RecipeError


def ablate(
    recipe: Annotated[str, typer.Argument(help="Recipe by name or path.")],
    over: Annotated[
        list[str],
        typer.Option(
            "--over",
            metavar="AXIS=A,B",
            help="What to vary: init=pretrained,random, training=staged,joint,interleaved, loss=infonce,siglip, "
            "batch=128,512, temperature=0.03,learned, head=linear,mlp, lr=1e-4,1e-3, epochs=5,10, or any key of a "
            "recipe.",
        ),
    ],
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs of every cell.")] = 2,
    modalities: Annotated[
        str | None, typer.Option("--modalities", help="Bind and evaluate only these, e.g. text,location.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "val",
    one_at_a_time: Annotated[
        bool, typer.Option("--one-at-a-time", help="The recipe and each choice alone, not every combination.")
    ] = False,
    overrides: SetOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Report folder, where finished runs are kept too; reports/ablation-RECIPE."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Also run more than 64.")] = False,
) -> None:
    """Train and evaluate a recipe under every combination of choices, with seeds, and tabulate.

    Choices are compared on the validation split unless told otherwise. A killed ablation goes on when the same command
    is given again.
    """
    from geobind.bind.interrupt import Interrupted
    from geobind.evaluate.report import write_report
    from geobind.progress import say
    from geobind.studies.ablation import ablate as run
    from geobind.studies.ablation.study import MOST

    folder = out or REPORTS / f"ablation-{Path(recipe).stem}"
    try:
        found = run(
            recipe,
            _axes(over),
            overrides=overrides or [],
            modalities=[name.strip() for name in modalities.split(",")] if modalities else None,
            seeds=seeds,
            split=split,
            one_at_a_time=one_at_a_time,
            workdir=folder,
            most=None if yes else MOST,
        )
    except Interrupted:
        say("interrupted; the same command goes on after the last finished run")
        raise KeyboardInterrupt from None
    print_finding(found)
    for file in write_report(folder, findings=[found]):
        typer.echo(file)


def _axes(over: list[str]) -> dict[str, list[str]]:
    """``AXIS=A,B`` → axis and choices; commas inside brackets belong to a choice.

    Raises:
        RecipeError: No ``=``, an empty choice, or an axis given twice.
    """
    axes: dict[str, list[str]] = {}
    for given in over:
        axis, equals, text = given.partition("=")
        choices = _split(text)
        if not equals or not axis or not all(choices):
            raise RecipeError(f"{given!r} names no axis with choices", where="--over", fix="Write AXIS=A,B.")
        if axis in axes:
            raise RecipeError(f"axis {axis!r} is given twice", where="--over", fix=f"Write {axis}=A,B,C.")
        axes[axis] = choices
    return axes


def _split(text: str) -> list[str]:
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]

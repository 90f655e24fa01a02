"""``geobind merge``: what lies between two spaces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geobind.cli.common import REPORTS, SetOption, print_finding
from geobind.errors import RecipeError


def merge(
    a: Annotated[Path, typer.Argument(metavar="A", help="Space folder at alpha 0.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Space folder at alpha 1, of the same ancestry.")],
    alpha: Annotated[
        float | None,
        typer.Option("--alpha", min=0, max=1, help="Share of B: 0 gives A's weights to the bit, 1 gives B's."),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option("--sweep", metavar="ALPHAS", help="Or: evaluate each of these alphas, e.g. 0,0.25,0.5,0.75,1."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="QUERY>GALLERY:FIGURE",
            help="With --sweep: what is measured, e.g. 'text>rgb:R@10'; may be repeated, the first one says what is "
            "best.",
        ),
    ] = None,
    split: Annotated[
        str, typer.Option("--split", help="With --sweep: train or val; choosing alpha on test is peeking.")
    ] = "val",
    towers: Annotated[
        str | None,
        typer.Option("--towers", help="Merge only these, e.g. rgb,sar; the rest is as in A. Default: all both hold."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Space folder to write; with --sweep that of the best alpha."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="With --sweep: report folder; reports/merge-A-B by default.")
    ] = None,
    overrides: SetOption = None,
) -> None:
    """Merge two spaces: every tower becomes (1 - alpha) · A + alpha · B.

    Alpha 0 is A, alpha 1 is B. Both must have been bound from the same initial weights.
    """
    if (alpha is None) == (sweep is None):
        raise RecipeError("an alpha or a sweep is needed, not both", fix="Write --alpha 0.5, or --sweep 0,0.5,1.")
    if sweep is None and (metric or report or overrides):
        raise RecipeError("--metric, --report and --set belong to --sweep", fix="Write --sweep 0,0.5,1.")
    if sweep is None and out is None:
        raise RecipeError("it is not said where the merged space goes", fix="Name a folder with --out.")
    from geobind.space.merge import check_free
    from geobind.space.merge import merge as run

    if out is not None:
        check_free(out)
    names = [name.strip() for name in towers.split(",") if name.strip()] if towers is not None else None
    if sweep is not None:
        alpha = _sweep(a, b, _alphas(sweep), metric or [], split, names, overrides or [], report)
    if out is not None:
        assert alpha is not None  # noqa: S101 — given, or found
        record = run(a, b, alpha, out, names)
        typer.echo(f"{out}: alpha {alpha:g}, anchor {record.anchor} {record.fingerprint}")


def _sweep(
    a: Path,
    b: Path,
    alphas: list[float],
    metrics: list[str],
    split: str,
    towers: list[str] | None,
    overrides: list[str],
    report: Path | None,
) -> float:
    """Print and write the curve; returns the best alpha."""
    from geobind.evaluate.report import write_report
    from geobind.files import write_atomic
    from geobind.studies.merging import sweep
    from geobind.studies.merging.told import to_csv

    done = sweep(a, b, alphas, metrics, split=split, towers=towers, overrides=overrides)
    found = done.finding()
    print_finding(found)
    folder = report or REPORTS / f"merge-{a.resolve().name}-{b.resolve().name}"
    for file in (*write_report(folder, findings=[found]), write_atomic(folder / "merging.csv", to_csv(done))):
        typer.echo(file)
    return done.best.alpha


def _alphas(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise RecipeError(f"--sweep {text!r} is no list of numbers", fix="Write --sweep 0,0.25,0.5,0.75,1.") from None

"""``geobind plugins check``: run the conformance suite on plugins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from geobind.cli.common import stdout

if TYPE_CHECKING:
    from geobind.authoring.checks.run import Outcome

FIGURES = ("checks", "passed", "failed", "skipped")


def check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME...", help="Plugins, as `geobind plugins list` shows them.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Check every plugin that loaded.")] = False,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="CHECK", help="Run this check alone; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that a plugin does all that a sound one does, over examples of its own; exit with 1 when it does not."""
    import json
    import sys
    import time
    from contextlib import redirect_stdout

    from geobind.authoring.checks.run import plan_checks
    from geobind.errors import PluginError, nearest
    from geobind.plugins import get_plugins
    from geobind.progress import counted, track

    if every:
        names = [record.name for record in get_plugins().records if record.status == "ok"]
    if not names:
        raise PluginError("no plugin is named", fix="Name one of `geobind plugins list`, or write --all.")
    start = time.perf_counter()
    planned = [each for name in dict.fromkeys(names) for each in plan_checks(name)]
    known = {each.check.name for each in planned}
    for name in only or ():
        if name not in known:
            raise PluginError(f"there is no check {name!r} of {', '.join(names)}", fix=nearest(name, known))
    outcomes = []
    chosen = [each for each in planned if not only or each.check.name in only]
    # What a plugin prints must not end up among results.
    with redirect_stdout(sys.stderr), track(f"checking {', '.join(names)}", len(chosen), "checks") as advance:
        for each in chosen:
            outcomes.append(each.run())
            advance(1)
    seconds = time.perf_counter() - start
    counts = _counts(outcomes)
    if as_json:
        from dataclasses import asdict

        told = {"plugins": names, **counts, "seconds": seconds, "outcomes": [asdict(outcome) for outcome in outcomes]}
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        _print(outcomes)
        shown = f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped"
        typer.echo(f"\n{counted(counts['checks'], 'check')} of {', '.join(names)}: {shown}, in {seconds:.1f} s")
    if counts["failed"]:
        raise typer.Exit(1)


def _counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many checks there were, and what became of them."""
    each = [outcome.status for outcome in outcomes]
    return {"checks": len(each), **{status: each.count(status) for status in ("passed", "failed", "skipped")}}


def _print(outcomes: Sequence[Outcome]) -> None:
    """A row for each subject, then what failed and what was skipped, each with its reason."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("of")
    for column in (*FIGURES, "seconds"):
        table.add_column(column, justify="right")
    for subject in dict.fromkeys(outcome.subject for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.subject == subject]
        seconds = sum(outcome.seconds for outcome in own)
        table.add_row(subject, *(str(count or "") for count in _counts(own).values()), f"{seconds:.1f}")
    stdout().print(table, markup=False, highlight=False)
    for status, word in (("failed", "FAILED"), ("skipped", "skipped")):
        found = [outcome for outcome in outcomes if outcome.status == status]
        if found:
            typer.echo("")
        for subject, reason, checks in _alike(found):
            typer.echo(f"{word} {subject}: {', '.join(checks)}: {reason}")


def _alike(outcomes: Iterable[Outcome]) -> list[tuple[str, str, list[str]]]:
    """Outcomes of one subject and one reason together: what is amiss with an example is amiss with every check."""
    found: dict[tuple[str, str], list[str]] = {}
    for outcome in outcomes:
        found.setdefault((outcome.subject, outcome.reason), []).append(outcome.check)
    return [(subject, reason, checks) for (subject, reason), checks in found.items()]

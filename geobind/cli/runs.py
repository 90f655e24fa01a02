"""``geobind runs``: what was run, how it went, and what differed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geobind.cli.common import RUNS, stdout
from geobind.errors import GeobindError

if TYPE_CHECKING:
    from rich.table import Table

    from geobind.bind.runs.history import Line, PastRun

app = typer.Typer(help="Look at past runs.", no_args_is_help=True)

RunsOption = Annotated[Path, typer.Option("--runs", help="Where the run folders are.")]
HIDDEN = ("time", "epoch", "step")
REASONS = {
    "killed": "its process ended without a word: killed, out of memory or a crash",
    "running?": "it runs, or was killed, on another host",
    "unreadable": "run.json cannot be read",
}


@app.command("list")
def list_(
    runs: RunsOption = RUNS, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Show all runs, newest first; the losses are those of the stage that ran last."""
    from geobind.bind.runs.history import past_runs

    rows = [_row(run) for run in past_runs(runs)]
    if as_json:
        import json

        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo(f"no runs in {runs}")
        return
    table = _table("run", "recipe", "status", "stages", "started", "duration", "stage", "loss", "best val_loss")
    for row in rows:
        _add(
            table,
            row["run"],
            row["recipe"],
            row["status"],
            f"{len(row['done'])}/{len(row['stages'])}",
            _time(row["started"]),
            _duration(row["seconds"]),
            row["stage"],
            _spell(row["loss"]),
            _spell(row["best_val_loss"]),
        )
    stdout().print(table)


def _row(run: PastRun) -> dict[str, Any]:
    """What ``list`` says of a run."""
    from geobind.bind.runs.history import best_line

    stage, lines = next(((name, lines) for name in reversed(run.stages) if (lines := run.metrics(name))), ("", []))
    best = best_line(lines, "val_loss")
    return {
        "run": run.name,
        "recipe": run.state.get("recipe", ""),
        "status": run.status,
        "done": run.done,
        "stages": run.stages,
        "started": run.state.get("started", ""),
        "seconds": run.seconds,
        "stage": stage,
        "loss": lines[-1].get("loss") if lines else None,
        "best_val_loss": best["val_loss"] if best else None,
    }


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="Its folder, the start of the folder's name, or `last`.")] = "last",
    runs: RunsOption = RUNS,
    png: Annotated[
        Path | None, typer.Option("--png", help="Draw the curves into this file. Default: curves.png in the run.")
    ] = None,
) -> None:
    """Show one run stage by stage, and draw its curves."""
    from geobind.bind.runs.history import find_run
    from geobind.progress import counted

    past = find_run(run, runs)
    console = stdout()
    state = past.state
    sessions = f" in {len(past.sessions)} sessions" if len(past.sessions) > 1 else ""
    reason = f" ({REASONS[past.status]})" if past.status in REASONS else ""
    facts = [
        f"{past.path}: {past.status}{reason}",
        f"recipe {state['recipe']} → space {state['space']}",
        f"started {_time(state.get('started', '?'))}, took {_duration(past.seconds)}{sessions}",
        f"{state.get('machine', '?')}; geobind {state.get('geobind', '?')}",
    ]
    if skipped := past.listed("skipped.txt"):
        facts.append(f"{counted(skipped, 'row')} skipped, listed in {past.path / 'skipped.txt'}")
    console.print(*facts, sep="\n", highlight=False, markup=False, soft_wrap=True)
    measured = {stage: lines for stage in past.stages if (lines := past.metrics(stage))}
    table = _table("", *past.stages)
    for name, cells in _stage_rows(past, measured).items():
        _add(table, name, *(cells.get(stage, "") for stage in past.stages))
    console.print(table)
    if measured:
        from geobind.bind.runs.curves import draw_run

        _write_png(png or past.path / "curves.png", draw_run(past))


def _stage_rows(run: PastRun, measured: dict[str, list[Line]]) -> dict[str, dict[str, str]]:
    """What ``show`` says of the stages: row → stage → cell."""
    from geobind.bind.runs.history import best_line, number, time_split

    rows: dict[str, dict[str, str]] = {"state": {s: "done" if s in run.done else "not done" for s in run.stages}}
    for stage, lines in measured.items():
        last, metric = lines[-1], run.metric(stage)
        asked = run.stage(stage).get("optim", {}).get("epochs", "?")
        cells = {"epochs": f"{last['epoch']} of {asked}"}
        if best := best_line(lines, metric):
            cells["best epoch"] = f"{best['epoch']} ({metric} {_spell(best[metric])})"
        for key in last:
            if key not in HIDDEN and not key.startswith("time_"):
                cells[f"last {key}"] = _spell(number(last, key))
        split = time_split(lines)
        for part, seconds in split.items():
            cells[f"time {part}"] = f"{_duration(seconds)} ({100 * seconds / (sum(split.values()) or 1):.0f} %)"
        if unreadable := run.listed(f"{stage}/unreadable.txt"):
            cells["unreadable items"] = str(unreadable)
        for name, cell in cells.items():
            rows.setdefault(name, {})[stage] = cell
    return rows


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(metavar="RUN RUN…", help="Runs, named as for `show`.")],
    runs: RunsOption = RUNS,
    metric: Annotated[str, typer.Option("--metric", help="Metric to compare beside the loss.")] = "val_loss",
    png: Annotated[Path | None, typer.Option("--png", help="Draw the curves of all runs into this file.")] = None,
) -> None:
    """Show where recipes of runs differ, what came of it, and the curves over each other."""
    from geobind.bind.runs.history import ABSENT, LETTERS, best_line, differences, find_run, number

    if not 2 <= len(names) <= len(LETTERS):
        raise GeobindError(f"{len(names)} run(s) cannot be compared", fix=f"Name 2 to {len(LETTERS)} of them.")
    found = [find_run(name, runs) for name in names]
    measured = {
        stage: [run.metrics(stage) for run in found]
        for stage in dict.fromkeys(stage for run in found for stage in run.stages)
    }
    keys = dict.fromkeys(key for lines in measured.values() for one in lines for line in one for key in line)
    if keys and metric not in keys:
        from geobind.errors import nearest

        raise GeobindError(f"no run has metric {metric!r}", fix=nearest(metric, set(keys) - set(HIDDEN)))
    console = stdout()
    letters = LETTERS[: len(found)]
    legend = [f"{letter}  {run.path}: {run.status}" for letter, run in zip(letters, found, strict=True)]
    console.print(*legend, "", sep="\n", highlight=False, markup=False, soft_wrap=True)
    different = differences([run.resolved for run in found])
    recipe = _table("recipe", *letters)
    for key, values in different.items():
        _add(recipe, key, *("{…}" if isinstance(value, dict) else str(value) for value in values))
    console.print(recipe if different else "the recipes are the same", "", sep="\n")
    table = _table("stage", "measured", *letters)
    shown = [key for key in keys if key in ("loss", metric) or key.startswith("val_")]
    for stage, lines in measured.items():
        for key in shown:
            if any(key in line for one in lines for line in one):
                last = [_spell(number(one[-1], key)) if one else ABSENT for one in lines]
                _add(table, stage, f"last {key}", *last)
        best = [best_line(one, metric) for one in lines]
        if any(best):
            cells = [f"{_spell(line[metric])} (epoch {line['epoch']})" if line else ABSENT for line in best]
            _add(table, stage, f"best {metric}", *cells)
    console.print(table)
    if png is not None and keys:
        from geobind.bind.runs.curves import draw_comparison

        _write_png(png, draw_comparison(found, metric))


def _table(*columns: str) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(escape(column), overflow="fold")
    return table


def _add(table: Table, *cells: str) -> None:
    """Add a row of plain text: what stands in brackets is no markup."""
    from rich.markup import escape

    table.add_row(*map(escape, cells))


def _write_png(path: Path, picture: bytes) -> None:
    from geobind.files import write_atomic

    try:
        write_atomic(path, picture)
    except OSError as error:
        raise GeobindError(f"the curves cannot be written: {error}", fix="Name another file with --png.") from error
    typer.echo(f"curves: {path}")


def _spell(value: float | None) -> str:
    """A number in four digits; a dash for none."""
    return "–" if value is None or value != value else f"{value:.4g}"


def _time(iso: str) -> str:
    """Date and time to the minute."""
    return iso[:16].replace("T", " ")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"

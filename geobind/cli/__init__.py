"""The command line: one file per noun; the work is imported when a command runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from geobind.cli import ablate, benchmarks, bind, cache, compare, demo, doctor, evaluate, merge, plugins, runs, stages
from geobind.errors import GeobindError

EXIT_MISTAKE = 2
"""Exit code of a mistake its reader can mend."""
EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

app = typer.Typer(
    name="geobind",
    help="Bind one more modality to satellite imagery.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(stages.app, name="stages")
app.add_typer(plugins.app, name="plugins")
app.add_typer(cache.app, name="cache")
app.add_typer(runs.app, name="runs")
app.add_typer(benchmarks.app, name="benchmarks")
app.command("bind")(bind.bind)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("merge")(merge.merge)
app.command("ablate")(ablate.ablate)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        from geobind import __version__

        typer.echo(f"geobind {__version__}")
        raise typer.Exit


@app.callback()
def options(
    plugin: Annotated[
        list[Path] | None, typer.Option("--plugin", help="Load a one-file plugin, e.g. ./my_modality.py.")
    ] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Options that stand before the command."""
    from geobind.plugins import get_plugins

    for path in plugin or ():
        get_plugins().load_file(path)


def main() -> None:
    """Run the command line; a user's mistake is one paragraph and exit code 2, never a traceback."""
    try:
        from geobind.plugins import get_plugins

        get_plugins().add_commands(app)
        app()
    except GeobindError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_MISTAKE)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader (head, less) went away: not our mistake, and nothing more can be printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)

"""The run folder: the resolved recipe, what was done, metrics as JSON lines, and checkpoints."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from geobind import __version__
from geobind.bind.runs import checkpoints
from geobind.bind.runs.history import PastRun, differences, number, parse_line, past_runs, read_state
from geobind.bind.runs.process import this_process
from geobind.bind.runs.trackers import Trackers
from geobind.errors import GeobindError, RecipeError, SpaceError
from geobind.files import append_line, remove_parts, write_atomic
from geobind.plugins import get_plugins
from geobind.progress import say

FREE = {"workers", "checkpoints", "note"}
"""Keys of a stage that change no result: a run may go on with other ones."""


class Run:
    """One ``geobind bind``: a folder that says what was asked, what happened, and where to go on.

    Args:
        path: The folder.
        state: What ``run.json`` says.
        writes: Whether this process writes. Of several processes the first alone does; to the others every method
            that writes does nothing in the folder.
    """

    def __init__(self, path: Path, state: dict[str, Any], *, writes: bool = True) -> None:
        self.path, self.state, self.writes = path, state, writes
        self.trackers = Trackers()

    @classmethod
    def start(cls, parent: Path, *, recipe: str, resolved: dict[str, Any], space: Path, stages: list[str]) -> Run:
        """Make a new run folder under ``parent``."""
        run = cls(
            _new_folder(parent, recipe),
            {
                "recipe": recipe,
                "space": str(space.resolve()),
                "stages": stages,
                "done": [],
                "status": "running",
                "started": _spell(datetime.now()),
                "geobind": __version__,
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            },
        )
        write_atomic(run.path / "recipe.yaml", yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True))
        run._begin_session()
        return run

    @classmethod
    def open(cls, path: Path, *, writes: bool = False) -> Run:
        """The run in a folder, as it is: how all but the first of several processes come to it.

        Raises:
            GeobindError: There is no run, or it cannot be read.
        """
        return cls(path, read_state(path), writes=writes)

    @classmethod
    def unfinished(
        cls,
        parent: Path,
        *,
        recipe: str,
        resolved: dict[str, Any],
        space: Path,
        stages: list[str],
        writes: bool = True,
    ) -> Run:
        """The newest run of this recipe into this space that did not end. What its killed writer left is cleared away.

        Raises:
            SpaceError: There is none, or it cannot be gone on with.
            RecipeError: The recipe is not the one the run was started with.
        """
        wanted = {"recipe": recipe, "space": str(space.resolve()), "stages": stages}
        for past in past_runs(parent):
            if not past.state:
                say(f"{past.path / 'run.json'} cannot be read; it is passed over")
            elif past.state["status"] != "finished" and wanted.items() <= past.state.items():
                if writes:  # to the others, the first process is already the one that goes on with it
                    _refuse_a_second_writer(past)
                _refuse_another_recipe(past, resolved)
                run = cls(past.path, past.state, writes=writes)
                if writes:
                    run._clear()
                    run._end_session(past.last_sign())
                    run._begin_session()
                return run
        raise SpaceError(
            f"no unfinished run of recipe {recipe!r} into {str(space)!r}",
            where=str(parent),
            fix="Start one without --resume.",
        )

    def _begin_session(self) -> None:
        self.state.setdefault("sessions", []).append({**this_process(), "started": _spell(datetime.now())})
        self.note(status="running")

    def _end_session(self, when: datetime) -> None:
        for session in self.state.get("sessions", ())[-1:]:
            session.setdefault("ended", _spell(when))

    def _clear(self) -> None:
        """Remove half-written files, and checkpoints of stages that have ended."""
        for folder in (self.path, *(self.path / stage for stage in self.state["stages"])):
            remove_parts(folder)
        for stage in self.state["done"]:
            checkpoints.drop(self.path / stage)

    # -- what was done ----------------------------------------------------------------------------

    def note(self, **values: Any) -> None:
        """Add to ``run.json``. A ``status`` of ``finished``, ``failed`` or ``interrupted`` ends the trackers too."""
        self.state.update(values)
        if "status" in values and values["status"] != "running":
            self.trackers.close(values["status"])
            self._end_session(datetime.now())
        if self.writes:
            write_atomic(self.path / "run.json", json.dumps(_plain(self.state), indent=2, allow_nan=False) + "\n")

    def stage_done(self, stage: str, summary: dict[str, Any]) -> None:
        """Record a finished stage and drop its checkpoints."""
        self.state["done"].append(stage)
        self.note(metrics={**self.state.get("metrics", {}), stage: summary})
        if self.writes:
            checkpoints.drop(self.path / stage)

    def list_skipped(self, rows: Sequence[str]) -> None:
        """Write the rows that the datasets left out to ``skipped.txt``, one line each."""
        if self.writes:
            write_atomic(self.path / "skipped.txt", "".join(_one_line(row) + "\n" for row in rows))

    def list_unreadable(self, stage: str, items: Sequence[str]) -> None:
        """Add the items of a stage that could not be read to its ``unreadable.txt``, one line each, none twice."""
        file = self.path / stage / "unreadable.txt"
        listed = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        new = [line for line in dict.fromkeys(map(_one_line, items)) if line not in listed]
        if self.writes and new:
            write_atomic(file, "".join(line + "\n" for line in (*listed, *new)))

    # -- metrics ----------------------------------------------------------------------------------

    def track(self, names: Sequence[str]) -> None:
        """Have trackers follow the metrics from here on, besides ``metrics.jsonl``.

        Raises:
            PluginError: There is no tracker of that name, or it cannot be started.
        """
        if not self.writes or not names:
            return
        recipe = PastRun(self.path, self.state).resolved
        try:
            for spec in [get_plugins().tracker(name) for name in dict.fromkeys(names)]:
                self.trackers.add(spec, self.path, recipe)
        except GeobindError:
            self.note(status="failed")
            raise
        self.note(trackers=list(self.trackers.of))

    def log(self, stage: str, values: dict[str, Any]) -> None:
        """Append one line to the stage's ``metrics.jsonl``, and tell the trackers its numbers.

        Args:
            stage: The stage.
            values: At least ``epoch``, and the ``step`` of the stage after which they were measured. What is not
                finite becomes ``null``: JSON has no word for it.
        """
        if not self.writes:
            return
        line = {"time": time.time(), **values}
        append_line(self._metrics(stage), json.dumps(_plain(line), allow_nan=False))
        numbers = {
            key: float(value)
            for key, value in values.items()
            if key != "step" and isinstance(value, (int, float)) and not isinstance(value, bool)
        }
        self.trackers.log(stage, values["step"], numbers)

    def rewind(self, stage: str, step: int) -> None:
        """Keep the metrics up to ``step`` alone: those after it belong to steps that are taken again.

        To be called whenever a stage begins or goes on, with 0 where it has no checkpoint; it also drops the half
        line that a killed writer left.
        """
        file = self._metrics(stage)
        if not self.writes or not file.is_file():
            return
        lines = file.read_bytes().splitlines()
        kept = [line for line in lines if (values := parse_line(line)) and number(values, "step") <= step]
        write_atomic(file, b"".join(line + b"\n" for line in kept))

    def _metrics(self, stage: str) -> Path:
        return self.path / stage / "metrics.jsonl"

    # -- checkpoints ------------------------------------------------------------------------------

    def save_checkpoint(self, stage: str, step: int, state: dict[str, Any], keep: int) -> None:
        """Write a stage's state after ``step`` steps, whole or not at all, and keep the ``keep`` newest.

        Raises:
            GeobindError: There is no room for it; what was there before is left.
        """
        if self.writes:
            checkpoints.save(self.path / stage, step, state, keep)

    def checkpoint(self, stage: str) -> dict[str, Any] | None:
        """The newest state of a stage that can be read, or None."""
        return checkpoints.newest(self.path / stage)


def _new_folder(parent: Path, recipe: str) -> Path:
    """A folder that no other process has, named by the time and the recipe."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    n = 1
    while True:
        path = parent / (f"{stamp}-{recipe}" if n == 1 else f"{stamp}-{recipe}-{n}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            n += 1
        else:
            return path


def _refuse_a_second_writer(past: PastRun) -> None:
    if past.status == "running" and not this_process().items() <= past.sessions[-1].items():
        raise SpaceError(
            f"the run is still going on, as process {past.sessions[-1]['pid']}",
            where=str(past.path),
            fix="Wait for it, or stop it with Ctrl-C first.",
        )


def _refuse_another_recipe(past: PastRun, resolved: dict[str, Any]) -> None:
    if not past.resolved:
        raise SpaceError(
            "the recipe of the unfinished run is missing or cannot be read",
            where=str(past.path / "recipe.yaml"),
            fix="Delete that run folder, or start anew without --resume.",
        )
    changed = differences([past.resolved, resolved])
    for key, (before, now) in changed.items():
        if not FREE & set(key.split(".")):
            raise RecipeError(
                f"the recipe is not the one that the unfinished run was started with: {key} was {before}, now {now}",
                where=str(past.path / "recipe.yaml"),
                fix="Resume with the same recipe and --set values, or start anew without --resume.",
            )


def _plain(value: Any) -> Any:
    """The value with None for every number that is not finite."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


def _spell(when: datetime) -> str:
    return when.astimezone().isoformat(timespec="seconds")

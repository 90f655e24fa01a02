"""Past runs as their folders tell them: what was asked, how far it came, what was measured. Imports no torch."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from geobind.bind.runs.process import alive
from geobind.errors import GeobindError, nearest

Line = dict[str, Any]
"""One line of ``metrics.jsonl``: what was measured up to an optimiser step."""
ABSENT = "–"
"""Stands for a value that a run does not have."""
LETTERS = "ABCDEF"
"""Names of runs that are compared: as many as there are hues for lines."""


# -- metrics --------------------------------------------------------------------------------------


def parse_line(line: bytes) -> Line | None:
    """A line of metrics; None for the half line that a killed writer left."""
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


def number(line: Line, key: str) -> float:
    """A metric of a line; NaN where it is absent or was not finite."""
    value = line.get(key)
    return float(value) if isinstance(value, (int, float)) else math.nan


def best_line(lines: Sequence[Line], metric: str) -> Line | None:
    """The first line with the best value of a metric: the highest of a recall, the lowest of anything else."""
    measured = [line for line in lines if math.isfinite(number(line, metric))]
    sign = -1 if "recall" in metric else 1
    return min(measured, key=lambda line: sign * number(line, metric), default=None)


def time_split(lines: Sequence[Line]) -> dict[str, float]:
    """Seconds spent in each part of the work (``time_data`` is ``data``), over all lines."""
    parts = dict.fromkeys(key for line in lines for key in line if key.startswith("time_"))
    return {key.removeprefix("time_"): math.fsum(number(line, key) for line in lines if key in line) for key in parts}


# -- runs -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PastRun:
    """One run folder."""

    path: Path
    state: dict[str, Any] = field(repr=False)
    """What ``run.json`` says; empty when it cannot be read."""

    @classmethod
    def read(cls, path: Path) -> PastRun:
        """Read a run folder, whatever has become of it."""
        try:
            return cls(path, read_state(path))
        except GeobindError:
            return cls(path, {})

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def stages(self) -> list[str]:
        """The stages that were asked for, in order."""
        return list(self.state.get("stages", ()))

    @property
    def done(self) -> list[str]:
        """The stages that have ended."""
        return list(self.state.get("done", ()))

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """When and where it ran; a resumed run has several."""
        return list(self.state.get("sessions", ()))

    @property
    def status(self) -> str:
        """``running``, ``finished``, ``failed``, ``interrupted``, ``killed`` or ``unreadable``.

        ``running?`` is one on another host, which cannot be asked from here.
        """
        said = str(self.state.get("status", "unreadable"))
        if said != "running":
            return said
        lives = alive(self.sessions[-1]) if self.sessions else False
        return {True: "running", False: "killed", None: "running?"}[lives]

    @property
    def seconds(self) -> float | None:
        """How long it ran, all sessions together; up to the last sign of life where it was killed."""
        if not self.sessions:
            return None
        until = time.time() if self.status == "running" else self.last_sign().timestamp()
        total = 0.0
        for session in self.sessions:
            start = datetime.fromisoformat(session["started"]).timestamp()
            end = datetime.fromisoformat(session["ended"]).timestamp() if "ended" in session else until
            total += max(0.0, end - start)
        return total

    def last_sign(self) -> datetime:
        """When it last wrote its state, metrics or a checkpoint."""
        written = (self.path / "run.json", *self.path.glob("*/metrics.jsonl"), *self.path.glob("*/checkpoint-*.pt"))
        return datetime.fromtimestamp(max(file.stat().st_mtime for file in written))

    @cached_property
    def resolved(self) -> dict[str, Any]:
        """The recipe with every default spelt out; empty when it is missing or unreadable."""
        try:
            values = yaml.safe_load((self.path / "recipe.yaml").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            return {}
        return values if isinstance(values, dict) else {}

    def stage(self, name: str) -> dict[str, Any]:
        """A stage of the resolved recipe; empty when it is not there."""
        return next((stage for stage in self.resolved.get("stages", ()) if stage.get("name") == name), {})

    def metric(self, stage: str) -> str:
        """The metric that tells a stage's best epoch, as ``metrics.jsonl`` calls it."""
        return f"val_{self.stage(stage).get('validation', {}).get('metric', 'loss')}"

    def metrics(self, stage: str) -> list[Line]:
        """What was measured in a stage, epoch by epoch."""
        file = self.path / stage / "metrics.jsonl"
        lines = file.read_bytes().splitlines() if file.is_file() else []
        return [values for line in lines if (values := parse_line(line)) and math.isfinite(number(values, "epoch"))]

    def listed(self, file: str) -> int:
        """How many lines a list in the folder has: ``skipped.txt``, or ``STAGE/unreadable.txt``."""
        path = self.path / file
        return len(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else 0


def read_state(path: Path) -> dict[str, Any]:
    """What ``run.json`` in a folder says.

    Raises:
        GeobindError: It is not there, or cannot be read.
    """
    file = path / "run.json"
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(state, dict) or not {"recipe", "space", "stages", "done", "status"} <= state.keys():
            raise ValueError("it says nothing of a run")
    except (OSError, ValueError) as error:
        raise GeobindError(
            f"the run in {str(path)!r} cannot be read: {error}", fix="`geobind runs list` shows the runs there are."
        ) from error
    return state


def past_runs(parent: Path) -> list[PastRun]:
    """All runs in a folder, newest first."""
    return [PastRun.read(file.parent) for file in sorted(parent.glob("*/run.json"), reverse=True)]


def find_run(name: str, parent: Path) -> PastRun:
    """The run that is meant: a path, the name of a folder under ``parent``, the start of one, or ``last``.

    Raises:
        GeobindError: None is, or several are.
    """
    for path in (Path(name), parent / name):
        if (path / "run.json").is_file():
            return PastRun(path, read_state(path))
    runs = past_runs(parent)
    found = runs[:1] if name == "last" else [run for run in runs if run.name.startswith(name)]
    if len(found) == 1:
        return PastRun(found[0].path, read_state(found[0].path))
    if found:
        raise GeobindError(
            f"{name!r} is the start of {len(found)} runs: {', '.join(run.name for run in found)}",
            where=str(parent),
            fix="Write more of the name.",
        )
    known = nearest(name, (run.name for run in runs[:10]))
    raise GeobindError(f"there is no run {name!r}", where=str(parent), fix=f"{known} Name another folder with --runs.")


# -- recipes --------------------------------------------------------------------------------------


def differences(recipes: Sequence[Any], key: str = "") -> dict[str, list[Any]]:
    """Where recipes differ: dotted key → the value in each, in the spelling of ``--set`` (a stage by its name)."""
    recipes = [_by_name(recipe) for recipe in recipes]
    if not all(isinstance(recipe, dict) for recipe in recipes):
        return {key: list(recipes)} if any(recipe != recipes[0] for recipe in recipes) else {}
    found: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for recipe in recipes for name in recipe):
        inner = [recipe.get(name, ABSENT) for recipe in recipes]
        found |= differences(inner, f"{key}.{name}" if key else str(name))
    return found


def _by_name(value: Any) -> Any:
    """A list of mappings that have names, as a mapping; anything else as it is."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        return {item["name"]: item for item in value}
    return value

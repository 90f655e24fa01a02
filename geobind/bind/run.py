"""The run folder: the resolved recipe, what was done, metrics as JSON lines, and checkpoints."""

from __future__ import annotations

import io
import json
import os
import platform
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
import yaml

from geobind import __version__
from geobind.errors import RecipeError, SpaceError
from geobind.files import write_atomic
from geobind.weights import load_torch


class Run:
    """One ``geobind bind``: a folder that says what was asked, what happened, and where to go on."""

    def __init__(self, path: Path, state: dict[str, Any]) -> None:
        self.path = path
        self.state = state

    @classmethod
    def start(cls, parent: Path, *, recipe: str, resolved: dict[str, Any], space: Path, stages: list[str]) -> Run:
        """Make a new run folder under ``parent``."""
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        path = parent / f"{stamp}-{recipe}"
        for n in range(2, 100):
            if not path.exists():
                break
            path = parent / f"{stamp}-{recipe}-{n}"
        state = {
            "recipe": recipe,
            "space": str(space.resolve()),
            "stages": stages,
            "done": [],
            "status": "running",
            "started": datetime.now().astimezone().isoformat(timespec="seconds"),
            "geobind": __version__,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        }
        run = cls(path, state)
        write_atomic(path / "recipe.yaml", yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True))
        run.write()
        return run

    @classmethod
    def unfinished(cls, parent: Path, *, recipe: str, resolved: dict[str, Any], space: Path, stages: list[str]) -> Run:
        """The newest run of this recipe into this space that did not end.

        Raises:
            SpaceError: There is none.
            RecipeError: The recipe is not the one the run was started with.
        """
        for file in sorted(parent.glob("*/run.json"), reverse=True):
            run = cls(file.parent, json.loads(file.read_text(encoding="utf-8")))
            same = run.state["recipe"] == recipe and run.state["space"] == str(space.resolve())
            if same and run.state["status"] != "finished" and run.state["stages"] == stages:
                before = yaml.safe_load((run.path / "recipe.yaml").read_text(encoding="utf-8"))
                if before != resolved:
                    raise RecipeError(
                        "the recipe is not the one that the unfinished run was started with",
                        where=str(run.path / "recipe.yaml"),
                        fix="Resume with the same recipe and --set values, or start anew without --resume.",
                    )
                run.state["status"] = "running"
                run.write()
                return run
        raise SpaceError(
            f"no unfinished run of recipe {recipe!r} into {str(space)!r}",
            where=str(parent),
            fix="Start one without --resume.",
        )

    def write(self) -> None:
        """Write ``run.json``."""
        write_atomic(self.path / "run.json", json.dumps(self.state, indent=2) + "\n")

    def note(self, **values: Any) -> None:
        """Add to ``run.json``."""
        self.state.update(values)
        self.write()

    def log(self, stage: str, metrics: dict[str, Any]) -> None:
        """Append one line to the stage's ``metrics.jsonl``."""
        file = self.path / stage / "metrics.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"time": time.time(), **metrics}) + "\n")

    def save_checkpoint(self, stage: str, state: dict[str, Any]) -> None:
        """Write a stage's checkpoint, whole or not at all."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomic(self.path / stage / "checkpoint.pt", buffer.getvalue())

    def checkpoint(self, stage: str) -> dict[str, Any] | None:
        """A stage's checkpoint, or None."""
        file = self.path / stage / "checkpoint.pt"
        return load_torch(file) if file.is_file() else None

    def stage_done(self, stage: str, summary: dict[str, Any]) -> None:
        """Record a finished stage and drop its checkpoint."""
        self.state["done"].append(stage)
        self.note(**{"metrics": {**self.state.get("metrics", {}), stage: summary}})
        (self.path / stage / "checkpoint.pt").unlink(missing_ok=True)

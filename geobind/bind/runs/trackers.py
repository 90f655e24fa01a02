"""Trackers follow a run's metrics elsewhere: what one is, and the two built in. None is needed: a run keeps its own."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from geobind.errors import GeobindError, PluginError, needs
from geobind.files import write_atomic
from geobind.modality import TrackerSpec, load_object
from geobind.progress import say

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter
    from wandb import Run as WandbRun

EXIT_CODES = {"finished": 0, "interrupted": 255}
"""What W&B calls finished and killed; anything else has failed."""


class Tracker(Protocol):
    """Something that is told how a run goes.

    An error it raises is said once, and the run goes on without it.
    """

    def log(self, stage: str, step: int, values: dict[str, float]) -> None:
        """Take the metrics of a stage after ``step`` optimiser steps of it. They may be NaN or infinite.

        A resumed run goes back to its checkpoint: steps may come a second time.
        """

    def close(self, status: str) -> None:
        """The run ends as ``finished``, ``failed`` or ``interrupted``; nothing comes after it."""


class Trackers:
    """The trackers of a run; one that fails is left out from then on."""

    def __init__(self) -> None:
        self.of: dict[str, Tracker] = {}

    def add(self, spec: TrackerSpec, folder: Path, settings: dict[str, Any]) -> None:
        """Start one.

        Raises:
            PluginError: It cannot be started; at the beginning of a run that is worth knowing.
        """
        try:
            self.of[spec.name] = load_object(spec.build)(folder, settings)
        except GeobindError:
            raise
        except Exception as error:
            raise PluginError(
                f"tracker {spec.name!r} cannot be started: {type(error).__name__}: {error}",
                fix="Mend that, or leave it out; metrics.jsonl in the run folder is written all the same.",
            ) from error

    def log(self, stage: str, step: int, values: dict[str, float]) -> None:
        """Tell all of them."""
        for name, tracker in list(self.of.items()):
            try:
                tracker.log(stage, step, dict(values))
            except Exception as error:
                self._drop(name, error)

    def close(self, status: str) -> None:
        """Take leave of all of them."""
        for name, tracker in list(self.of.items()):
            try:
                tracker.close(status)
            except Exception as error:
                self._drop(name, error)
        self.of.clear()

    def _drop(self, name: str, error: Exception) -> None:
        del self.of[name]
        say(f"tracker {name!r} failed and is left out from here: {type(error).__name__}: {error}")


# -- TensorBoard ----------------------------------------------------------------------------------


def tensorboard(folder: Path, settings: dict[str, Any]) -> Tracker:
    """TensorBoard's event files, one folder per stage: ``tensorboard --logdir runs`` overlays stages and runs."""
    with needs("tensorboard", "pip install 'geobind[tensorboard]'"):
        import torch.utils.tensorboard  # noqa: F401
    return _TensorBoard(folder / "tensorboard")


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writers: dict[str, SummaryWriter] = {}

    def log(self, stage: str, step: int, values: dict[str, float]) -> None:
        if stage not in self.writers:
            from torch.utils.tensorboard import SummaryWriter

            # What an earlier session wrote from this step on was after its last checkpoint: it is taken back.
            self.writers[stage] = SummaryWriter(str(self.folder / stage), purge_step=step)
        for name, value in values.items():
            self.writers[stage].add_scalar(name, value, step)
        self.writers[stage].flush()

    def close(self, status: str) -> None:
        for writer in self.writers.values():
            writer.close()


# -- Weights & Biases -----------------------------------------------------------------------------


def wandb(folder: Path, settings: dict[str, Any]) -> Tracker:
    """A run of W&B named like the run folder, with the resolved recipe as its config.

    Its id is kept in the run folder, so that a resumed run goes on with it. W&B cannot take values back: steps after
    the last checkpoint appear twice. Its own variables hold, among them ``WANDB_PROJECT`` and ``WANDB_MODE=offline``.
    """
    with needs("wandb", "pip install 'geobind[wandb]'"):
        import wandb as library
    kept = folder / "wandb-id.txt"
    if not kept.is_file():
        write_atomic(kept, secrets.token_hex(8))
    try:
        run = library.init(
            project=os.environ.get("WANDB_PROJECT", "geobind"),
            dir=folder,
            name=folder.name,
            id=kept.read_text(encoding="utf-8"),
            resume="allow",
            config=settings,
        )
    except library.Error as error:
        raise PluginError(
            f"W&B cannot be reached: {error}", fix="Run `wandb login`, or set WANDB_MODE=offline and sync later."
        ) from error
    return _Wandb(run)


class _Wandb:
    def __init__(self, run: WandbRun) -> None:
        self.run = run
        self.stages: set[str] = set()

    def log(self, stage: str, step: int, values: dict[str, float]) -> None:
        if stage not in self.stages:
            # Each stage counts its steps from 0, while a W&B run has a single counter that only rises.
            self.run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
            self.stages.add(stage)
        self.run.log({f"{stage}/{name}": value for name, value in values.items()} | {f"{stage}/step": step})

    def close(self, status: str) -> None:
        self.run.finish(exit_code=EXIT_CODES.get(status, 1))

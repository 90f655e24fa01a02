"""A stage's checkpoints: files of a folder, named by their step, of which the newest are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from geobind.errors import WeightsError
from geobind.files import atomic_file
from geobind.progress import say
from geobind.weights import load_torch


def save(folder: Path, step: int, state: dict[str, Any], keep: int) -> None:
    """Write a state (tensors and plain values) after ``step`` steps, and keep the ``keep`` newest.

    It is streamed into the file: no second copy of it is made in memory.

    Raises:
        GeobindError: There is no room for it; what was there before is left.
    """
    import torch

    written = folder / f"checkpoint-{step:09d}.pt"
    with atomic_file(written) as file:
        torch.save(state, file)
    newest_first = _files(folder)
    at = newest_first.index(written)
    # Later ones could not be read when the run went on from an earlier one, or it would have taken them.
    for old in (*newest_first[:at], *newest_first[at + keep :]):
        old.unlink()


def newest(folder: Path) -> dict[str, Any] | None:
    """The newest state that can be read, or None; those that cannot are told of."""
    for file in _files(folder):
        try:
            state: dict[str, Any] = load_torch(file)
        except WeightsError as error:
            say(f"{error.what}; an earlier checkpoint is taken, or the stage starts anew")
        else:
            return state
    return None


def drop(folder: Path) -> None:
    """Remove all of them."""
    for file in _files(folder):
        file.unlink()


def _files(folder: Path) -> list[Path]:
    """The checkpoints, newest first."""
    return sorted(folder.glob("checkpoint-*.pt"), reverse=True)

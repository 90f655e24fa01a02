"""Foreign checkpoints: read without running code, and put into a module whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from geobind.errors import WeightsError
from geobind.weights import file_sha256, load_safetensors, load_torch


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint: safetensors, or a torch file that holds nothing but data.

    A training checkpoint's ``state_dict`` is taken out, and the ``module.`` of a wrapped model is cut off.

    Raises:
        WeightsError: It does not exist, cannot be read, could run code, or holds no state dict.
    """
    if path.suffix == ".safetensors":
        return load_safetensors(path)
    content = load_torch(path)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(
            f"checkpoint {str(path)!r} holds no state dict but {type(content).__name__}",
            fix="Save the model's state_dict().",
        )
    return {key.removeprefix("module."): value for key, value in content.items()}


def fill(module: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Load ``state`` into ``module``; every tensor must have its place.

    Raises:
        WeightsError: Tensors are missing, left over or of another shape; nothing is loaded then.
    """
    wanted = module.state_dict()
    faults = {
        "missing": [key for key in wanted if key not in state],
        "unknown": [key for key in state if key not in wanted],
        "of another shape": [key for key in wanted if key in state and wanted[key].shape != state[key].shape],
    }
    if any(faults.values()):
        told = "; ".join(f"{len(keys)} {fault} (first {keys[0]!r})" for fault, keys in faults.items() if keys)
        raise WeightsError(
            f"{source} does not fit this model: of {len(wanted)} tensors, {told}",
            fix="Name the model that the weights were made for.",
        )
    module.load_state_dict(dict(state))


def describe_file(path: Path) -> str:
    """A path with the beginning of its hash, for the record of where weights came from."""
    return f"{path} (SHA-256 {file_sha256(path)[:12]})"

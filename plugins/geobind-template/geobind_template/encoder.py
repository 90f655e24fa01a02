"""How template items are read and encoded; the core adds the way into the space."""

from pathlib import Path
from typing import Any

import geobind
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geobind_template import CNNConfig

SIDE = 16
"""Rows of an item, and columns."""


def read(item: Any) -> NDArray[np.float32]:
    """An array, or the path of a ``.npy`` file, as float32 ``[16, 16]``. Files of another kind are opened here.

    Raises:
        DataError: It cannot be read, has another shape, or holds NaN.
    """
    where = f"template item, {item if isinstance(item, str | Path) else type(item).__name__}"
    try:
        array = np.asarray(np.load(item) if isinstance(item, str | Path) else item, dtype=np.float32)
    except (OSError, EOFError, TypeError, ValueError) as error:
        raise geobind.DataError(f"it is no array of numbers: {error}", where=where, fix="Make a .npy file.") from error
    if array.shape != (SIDE, SIDE):
        raise geobind.DataError(f"its shape is {array.shape}", where=where, fix=f"Cut it to {(SIDE, SIDE)}.")
    if not np.isfinite(array).all():
        raise geobind.DataError("it holds NaN or infinity", where=where, fix="Fill the gaps, or leave it out.")
    return array


class CNN(geobind.Encoder):
    """Two convolutions and a linear layer, with random weights. B items of a batch, E = ``embed_dim``."""

    def __init__(self, config: CNNConfig) -> None:
        super().__init__()
        self.mean, self.std = config.mean, config.std
        self.embed_dim = 4 * config.width
        self.net = nn.Sequential(
            nn.Conv2d(1, config.width, kernel_size=3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(config.width, 2 * config.width, kernel_size=3, stride=2, padding=1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(2 * config.width * (SIDE // 4) ** 2, self.embed_dim),
        )

    def preprocess(self, item: Any, *, train: bool, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """``{"array": float32 [1, 16, 16]}``; with some noise in training."""
        array = (torch.tensor(read(item)) - self.mean) / self.std
        if train:  # every random draw comes from the generator, so that a run can be repeated
            array = array + 0.1 * torch.randn(array.shape, generator=generator)
        return {"array": array[None]}

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """``array [B, 1, 16, 16]`` → ``[B, E]``."""
        embedding: Tensor = self.net(batch["array"])
        return embedding

    def describe_preprocessing(self) -> dict[str, Any]:
        """What is saved in the space beside the weights."""
        return {"side": SIDE, "mean": self.mean, "std": self.std}

"""Dense features on disk, beside those of whole items.

Shapes: N items, n of them asked for, B batch, t places of a picture, d' features of each.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geobind.data.items import Items
from geobind.encoder import Batch, Encoder, device_of
from geobind.errors import DataError, PluginError
from geobind.features.cache import Features


class Dense(Encoder):
    """An encoder whose features are the dense ones of another, laid in a row: ``[B, t · d']``.

    So they are stored as all features are. Every item must have equally many.

    Args:
        encoder: The other.
        shape: ``(t, d')``.
    """

    def __init__(self, encoder: Encoder, shape: tuple[int, int]) -> None:
        super().__init__()
        self.encoder, self.shape = encoder, shape
        self.embed_dim = shape[0] * shape[1]
        self.throughput_batch = encoder.throughput_batch

    def preprocess(self, item: Any, *, train: bool, generator: torch.Generator | None = None) -> Batch:
        """As the other does."""
        return self.encoder.preprocess(item, train=train, generator=generator)

    def batch_key(self, sample: Batch) -> Hashable:
        """As the other has it."""
        return self.encoder.batch_key(sample)

    def collate(self, samples: list[Batch]) -> Batch:
        """As the other does."""
        return self.encoder.collate(samples)

    def forward(self, batch: Batch) -> Tensor:
        """``[B, t · d']``.

        Raises:
            PluginError: Items of another shape.
        """
        tokens = self.encoder.tokens(batch)
        if tuple(tokens.shape[1:]) != self.shape:
            raise PluginError(
                f"{type(self.encoder).__name__} gives dense features {list(tokens.shape[1:])} here and "
                f"{list(self.shape)} there",
                fix="Only those of one shape can be stored: give it an image size.",
            )
        return tokens.flatten(1)

    def describe_preprocessing(self) -> dict[str, Any]:
        """The other's, and the shape."""
        return {**self.encoder.describe_preprocessing(), "tokens": list(self.shape)}


class DenseFeatures:
    """Dense features of N items, read from disk as they are asked for.

    Args:
        features: Those of a :class:`Dense`.
        shape: Its ``(t, d')``.
    """

    def __init__(self, features: Features, shape: tuple[int, int]) -> None:
        self._features, self.shape = features, shape

    @property
    def unreadable(self) -> dict[int, str]:
        """Row → why the item cannot be read; such a row has no features."""
        return self._features.unreadable

    def gather(self, rows: NDArray[np.int64]) -> Tensor:
        """``[n, t, d']`` float32 of the items at ``rows [n]``."""
        return self._features.gather(rows).view(len(rows), *self.shape)


class Example(NamedTuple):
    """An item, as an encoder sees it."""

    row: int
    batch: Batch
    """Of this item alone."""
    tokens: Tensor
    """``[1, t, d']``"""


@torch.no_grad()
def example(encoder: Encoder, items: Items) -> Example:
    """The first item that can be read, and its dense features; the encoder is left in evaluation mode.

    Raises:
        DataError: None can be read.
        PluginError: The encoder has no dense features, or gives them in another form.
    """
    encoder.eval()
    row, sample = _first(encoder, items)
    device = device_of(encoder)
    batch = {key: value.to(device) for key, value in encoder.collate([sample]).items()}
    try:
        tokens = encoder.tokens(batch)
    except NotImplementedError as error:
        raise PluginError(str(error), fix="Take an encoder that has them, such as a vision transformer.") from error
    if tokens.ndim != 3 or len(tokens) != 1:
        raise PluginError(f"dense features of {type(encoder).__name__} are {list(tokens.shape)}, not [1, T, d]")
    return Example(row, batch, tokens)


def _first(encoder: Encoder, items: Items) -> tuple[int, Batch]:
    wrong = DataError(f"there are no {items.modality} items")
    for row in range(len(items)):
        try:
            return row, encoder.preprocess(items[row], train=False)
        except DataError as error:
            wrong = error
    raise wrong

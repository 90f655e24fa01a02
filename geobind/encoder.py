"""The encoder a plugin writes. Kept apart from ``modality`` because it imports torch.

Shapes: B batch, T tokens, d token width, E = ``embed_dim``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

Batch = dict[str, Tensor]


class Encoder(nn.Module):
    """Turns items of one modality into vectors; the core adds the head and the unit norm.

    A subclass sets :attr:`embed_dim`, and writes :meth:`preprocess` and :meth:`forward`. Its builder returns
    it with random weights; :meth:`load_pretrained` brings weights in. A tower that is loaded from a
    space is built and filled, and never asks for the pretrained weights again.
    """

    embed_dim: int
    """Width E of what :meth:`forward` returns."""

    throughput_batch: int = 64
    """A batch size that suits this encoder when features are embedded without gradients."""

    def load_pretrained(self) -> str:
        """Load the weights the config names; called once, when a tower is first made.

        Returns:
            One phrase on where the weights come from; ``"random"`` when there are none.

        Raises:
            WeightsError: They are missing or altered, with the way to bring them.
        """
        return "random"

    def preprocess(self, item: Any, *, train: bool, generator: torch.Generator | None = None) -> Batch:
        """Turn one item into tensors without batch dimension.

        Deterministic when ``train`` is False. When it is True, every random draw comes from ``generator``.

        Raises:
            DataError: The item cannot be read; the message names it.
        """
        raise NotImplementedError

    def collate(self, samples: list[Batch]) -> Batch:
        """Stack preprocessed samples into a batch; override it for items of unequal length."""
        return {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}

    def forward(self, batch: Batch) -> Tensor:
        """Embed a batch: ``[B, E]`` float, not yet normalised."""
        raise NotImplementedError

    def tokens(self, batch: Batch) -> Tensor:
        """Dense features ``[B, T, d]``, for encoders that have them."""
        raise NotImplementedError(f"{type(self).__name__} has no dense features")

    def describe_preprocessing(self) -> dict[str, Any]:
        """What :meth:`preprocess` does, as JSON-able values; saved in the space beside the weights."""
        return {}

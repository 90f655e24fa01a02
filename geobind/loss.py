"""The loss a plugin writes. Shapes: B pairs of a batch, D dimensions of the space."""

from __future__ import annotations

from torch import Tensor, nn


class Loss(nn.Module):
    """Scores a batch of pairs of unit-norm embeddings.

    Its parameters (temperatures, biases) learn with the towers and are saved with the pair.
    """

    def forward(self, anchor: Tensor, modality: Tensor, positives: Tensor) -> Tensor:
        """A scalar from ``anchor [B, D]``, ``modality [B, D]`` and the mask ``positives [B, B]`` (bool).

        ``positives[i, j]`` says whether anchor i and modality j belong together; the diagonal does.
        """
        raise NotImplementedError

    def clamp(self) -> None:
        """Bring learnt scalars back into their range; called after every optimiser step."""

    def report(self) -> dict[str, float]:
        """Scalars to log beside the loss, such as the temperature."""
        return {}

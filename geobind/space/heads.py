"""Towers: an encoder and the head that projects its features into the space.

Shapes: B batch, E features of the encoder, D dimensions of the space.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from geobind.config import Head
from geobind.encoder import Batch, Encoder
from geobind.errors import SpaceError


def build_head(config: Head, features: int, dim: int, *, where: str) -> nn.Module:
    """Build a head from ``features`` to ``dim``.

    The features are layer-normalised first, since those of frozen encoders have any scale.

    Raises:
        SpaceError: An identity head between unequal widths.
    """
    if config.type == "identity":
        if features != dim:
            raise SpaceError(
                f"an identity head needs an encoder as wide as the space: {features} is not {dim}",
                where=where,
                fix=f"Set space.dim to {features}, or head.type to linear or mlp.",
            )
        return nn.Identity()
    if config.type == "linear":
        return nn.Sequential(nn.LayerNorm(features), nn.Linear(features, dim))
    return nn.Sequential(
        nn.LayerNorm(features),
        nn.Linear(features, config.hidden),
        nn.GELU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden, dim),
    )


class Tower(nn.Module):
    """Encoder + head of one modality; what comes out is float32 ``[B, D]`` with unit norm."""

    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, batch: Batch) -> Tensor:
        """Embed a batch of preprocessed items."""
        return self.project(self.encoder(batch))

    def project(self, features_BE: Tensor) -> Tensor:
        """Head and norm alone, for features that are already at hand."""
        return F.normalize(self.head(features_BE).float(), dim=-1)

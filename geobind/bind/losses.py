"""The contrastive losses. Shapes: B pairs of a batch, D dimensions of the space."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geobind.loss import Loss

if TYPE_CHECKING:
    from geobind.builtin import InfoNCEConfig, SigLIPConfig


class InfoNCE(Loss):
    """Softmax cross-entropy of each query over the batch (CPC, arXiv 1807.03748, eq. 4; CLIP, arXiv 2103.00020).

    With several positives the target is uniform over them (SupCon's outer mean, arXiv 2004.11362, eq. 2).
    ``direction`` says who asks; GeoBind's first stage asks from anchor to modality only.
    """

    def __init__(self, config: InfoNCEConfig) -> None:
        super().__init__()
        self.direction = config.direction
        self.max_log_scale = math.log(config.max_scale)
        self.log_scale = nn.Parameter(
            torch.tensor(-math.log(config.temperature)), requires_grad=config.learn_temperature
        )

    def forward(self, anchor: Tensor, modality: Tensor, positives: Tensor) -> Tensor:
        """Mean cross-entropy of the directions asked for."""
        logits_BB = self.log_scale.exp() * anchor.float() @ modality.float().T
        terms = []
        if self.direction != "modality_to_anchor":
            terms.append(_cross_entropy(logits_BB, positives))
        if self.direction != "anchor_to_modality":
            terms.append(_cross_entropy(logits_BB.T, positives.T))
        return torch.stack(terms).mean()

    @torch.no_grad()
    def clamp(self) -> None:
        """Keep the inverse temperature in [1, max_scale]."""
        self.log_scale.clamp_(0.0, self.max_log_scale)

    def report(self) -> dict[str, float]:
        """The temperature."""
        return {"temperature": math.exp(-self.log_scale.item())}


class SigLIP(Loss):
    """Every pair of the batch is a yes or no on its own (Zhai et al., arXiv 2303.15343, algorithm 1)."""

    def __init__(self, config: SigLIPConfig) -> None:
        super().__init__()
        self.max_log_scale = math.log(config.max_scale)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.temperature)))
        self.bias = nn.Parameter(torch.tensor(config.bias))

    def forward(self, anchor: Tensor, modality: Tensor, positives: Tensor) -> Tensor:
        """Sum over all pairs of the batch, divided by B."""
        logits_BB = self.log_scale.exp() * anchor.float() @ modality.float().T + self.bias
        signs_BB = positives.to(logits_BB.dtype) * 2 - 1
        return -F.logsigmoid(signs_BB * logits_BB).sum() / len(logits_BB)

    @torch.no_grad()
    def clamp(self) -> None:
        """Keep the inverse temperature in [1, max_scale]."""
        self.log_scale.clamp_(0.0, self.max_log_scale)

    def report(self) -> dict[str, float]:
        """The temperature and the bias."""
        return {"temperature": math.exp(-self.log_scale.item()), "bias": self.bias.item()}


def _cross_entropy(logits_BB: Tensor, positives_BB: Tensor) -> Tensor:
    target_BB = positives_BB.to(logits_BB.dtype)
    return F.cross_entropy(logits_BB, target_BB / target_BB.sum(dim=1, keepdim=True))


def build_infonce(config: InfoNCEConfig) -> Loss:
    """Builder of the ``infonce`` spec."""
    return InfoNCE(config)


def build_siglip(config: SigLIPConfig) -> Loss:
    """Builder of the ``siglip`` spec."""
    return SigLIP(config)

"""The contrastive losses, exact for batches whose matrix of similarities does not fit into memory.

Shapes: A anchors, B items of the modality, D dimensions of the space; the side that asks has queries, the other keys.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from geobind.bind.similarity import log_partition, log_partitions, softplus_sum
from geobind.loss import Loss, Positives

if TYPE_CHECKING:
    from geobind.builtin import InfoNCEConfig, SigLIPConfig


class InfoNCE(Loss):
    """Softmax cross-entropy of each query over its candidates (CPC, arXiv 1807.03748, eq. 4; CLIP, arXiv 2103.00020).

    ``direction`` says who asks; GeoBind's first stage asks from anchor to modality only. Candidates are the other
    side's embeddings of the batch. With several positives the target is uniform over them (SupCon's outer mean, arXiv
    2004.11362, eq. 2). With ``label_smoothing`` ε it is 1 − ε of that and ε spread evenly over all candidates.

    With ``queue`` Q, the last Q embeddings of the side that is asked are candidates too, as values without gradient
    (MoCo, arXiv 1911.05722; Sat2Cap, arXiv 2307.15904). Those that are positives of a query are left out of its
    candidates: they are no negatives, and a stale embedding is nothing to aim at. A batch enters the queue after its
    own loss, in training mode; in evaluation mode the queue is neither used nor changed.
    """

    def __init__(self, config: InfoNCEConfig) -> None:
        super().__init__()
        self.anchor_asks = config.direction != "modality_to_anchor"
        self.modality_asks = config.direction != "anchor_to_modality"
        self.label_smoothing = config.label_smoothing
        self.max_log_scale = math.log(config.max_scale)
        self.log_scale = nn.Parameter(
            torch.tensor(-math.log(config.temperature)), requires_grad=config.learn_temperature
        )
        self.past_anchors = Queue(config.queue) if config.queue and self.modality_asks else None
        self.past_modality = Queue(config.queue) if config.queue and self.anchor_asks else None

    def forward(self, anchor: Tensor, modality: Tensor, positives: Positives) -> Tensor:
        """Mean cross-entropy of the directions asked for."""
        a, b = _scaled(anchor, modality, self.log_scale.exp())
        if self.anchor_asks and self.modality_asks:
            log_sum_A, log_sum_B = log_partitions(a, b)
        elif self.anchor_asks:
            log_sum_A = log_partition(a, b)
        else:
            log_sum_B = log_partition(b, a)
        losses = []
        if self.anchor_asks:
            own_A = (a * positives.mean_of(b)).sum(1)
            losses.append(self._cross_entropy(own_A, log_sum_A, anchor, modality, positives, self.past_modality))
        if self.modality_asks:
            asking = positives.flipped()
            own_B = (b * asking.mean_of(a)).sum(1)
            losses.append(self._cross_entropy(own_B, log_sum_B, modality, anchor, asking, self.past_anchors))
        return torch.stack(losses).mean()

    def _cross_entropy(
        self, own: Tensor, log_sum: Tensor, queries: Tensor, keys: Tensor, positives: Positives, past: Queue | None
    ) -> Tensor:
        """Mean over the queries.

        Args:
            own: ``[A]``, each query's mean logit of its positives.
            log_sum: ``[A]``, over the keys of the batch.
            queries: ``[A, D]``.
            keys: ``[B, D]``.
            positives: Of the queries among the keys.
            past: Earlier keys; these ones join them.
        """
        scale = self.log_scale.exp()
        stale = past if past and self.training else None
        if stale:
            known = replace(positives, b=stale.ids)
            log_sum = torch.logaddexp(log_sum, log_partition(scale * queries, stale.embeddings, known))
        if self.label_smoothing:
            mean_AD = _mean_candidate(keys, stale.embeddings, known) if stale else keys.mean(0)
            own = torch.lerp(own, scale * (queries * mean_AD).sum(1), self.label_smoothing)
        if past is not None and self.training:
            past.add(keys, positives.b)
        return (log_sum - own).mean()

    @torch.no_grad()
    def clamp(self) -> None:
        """Keep the inverse temperature in [1, max_scale]."""
        self.log_scale.clamp_(0.0, self.max_log_scale)

    def report(self) -> dict[str, float]:
        """The temperature."""
        return {"temperature": math.exp(-self.log_scale.item())}


class Queue(nn.Module):
    """The newest embeddings of one side and their ids, oldest first.

    It holds what it was given so far, so that no slot is ever empty; loading a state takes on the state's length.

    Args:
        size: Embeddings that are kept, Q.
    """

    embeddings: Tensor
    """``[n, D]`` with n ≤ Q; of shape ``[0]`` before the first."""
    ids: Tensor
    """``[n]`` int64."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("embeddings", torch.empty(0))
        self.register_buffer("ids", torch.empty(0, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, z: Tensor, ids: Tensor) -> None:
        """Let ``z [B, D]`` and their ``ids [B]`` in and the oldest out.

        As new tensors: autograd may still need the old ones.
        """
        z, ids = z.detach()[-self.size :], ids[-self.size :]
        kept = slice(max(0, len(self) + len(ids) - self.size), None)
        self.embeddings = torch.cat([self.embeddings[kept], z])
        self.ids = torch.cat([self.ids[kept], ids])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        for name, own in list(self.named_buffers(recurse=False)):
            if (saved := state_dict.get(prefix + name)) is not None:
                setattr(self, name, own.new_empty(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *others)


class SigLIP(Loss):
    """Every pair of the batch is a yes or no on its own (Zhai et al., arXiv 2303.15343, algorithm 1)."""

    def __init__(self, config: SigLIPConfig) -> None:
        super().__init__()
        self.max_log_scale = math.log(config.max_scale)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.temperature)))
        self.bias = nn.Parameter(torch.tensor(config.bias))

    def forward(self, anchor: Tensor, modality: Tensor, positives: Positives) -> Tensor:
        """Sum over all pairs of the batch, divided by A."""
        # -log σ(l) of a positive is softplus(l) - l, and -log σ(-l) of any other pair is softplus(l).
        a, b = _scaled(anchor, modality, self.log_scale.exp())
        own_A = (a * positives.mean_of(b)).sum(1) + self.bias
        return (softplus_sum(a, b, self.bias) - (positives.count() * own_A).sum()) / len(anchor)

    @torch.no_grad()
    def clamp(self) -> None:
        """Keep the inverse temperature in [1, max_scale]."""
        self.log_scale.clamp_(0.0, self.max_log_scale)

    def report(self) -> dict[str, float]:
        """The temperature and the bias."""
        return {"temperature": math.exp(-self.log_scale.item()), "bias": self.bias.item()}


def _scaled(anchor: Tensor, modality: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """One of the two times the scale: one that has a gradient anyway, so that the scale's costs no further product."""
    return (scale * anchor, modality) if anchor.requires_grad else (anchor, scale * modality)


def _mean_candidate(keys: Tensor, past: Tensor, known: Positives) -> Tensor:
    """``[A, D]``: each query's mean over the keys of the batch and those of the past that are no positives of it."""
    number_A1 = known.count()[:, None]
    total_AD = keys.sum(0) + past.sum(0) - number_A1 * known.mean_of(past)
    return total_AD / (len(keys) + len(past) - number_A1)


def build_infonce(config: InfoNCEConfig) -> Loss:
    """Builder of the ``infonce`` spec."""
    return InfoNCE(config)


def build_siglip(config: SigLIPConfig) -> Loss:
    """Builder of the ``siglip`` spec."""
    return SigLIP(config)

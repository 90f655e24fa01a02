"""Batches for checks of losses, and what a loss makes of them.

Shapes: B rows of a batch, D dimensions of the space.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobind.authoring.checks.check import require

if TYPE_CHECKING:
    from torch import Tensor

    from geobind.loss import Loss, Positives

PAIRS = 8
"""Rows of the batches, B."""
DIM = 16
"""Dimensions D; more than rows, so that all of them can be at right angles."""
_OVERFLOW = "Look for a division by zero, log(0) or exp(large)."


def batch(pairs: int = PAIRS, *, learns: bool = False) -> tuple[Tensor, Tensor, Positives]:
    """Random unit vectors ``[B, D]`` of both sides, each row a pair of its own."""
    import torch

    from geobind.loss import Positives

    generator = torch.Generator().manual_seed(0)
    sides = torch.nn.functional.normalize(torch.randn(2, pairs, DIM, generator=generator), dim=-1)
    anchor, modality = (side.clone().requires_grad_(learns) for side in sides)
    return anchor, modality, Positives(torch.arange(pairs), torch.arange(pairs))


def loss_of(loss: Loss, anchor: Tensor, modality: Tensor, positives: Positives) -> Tensor:
    """The loss of a batch; the mean of what is no scalar, which a check of its own tells."""
    import torch

    value = loss(anchor, modality, positives)
    require(isinstance(value, torch.Tensor), f"it returns a {type(value).__name__}", "Return a scalar tensor.")
    return value.mean()  # type: ignore[no-any-return]


def gradients_of(loss: Loss, anchor: Tensor, modality: Tensor, positives: Positives) -> tuple[Tensor, list[Tensor]]:
    """The loss of a batch, and its gradients ``[B, D]`` for both sides; zeros where there is none."""
    import torch

    anchor, modality = anchor.detach().requires_grad_(), modality.detach().requires_grad_()
    value = loss_of(loss, anchor, modality, positives)
    require(value.requires_grad, "it cannot be differentiated", "Compute it by torch, from both sides, undetached.")
    found = torch.autograd.grad(value, [anchor, modality], allow_unused=True)
    return value, [torch.zeros_like(anchor) if gradient is None else gradient for gradient in found]


def require_finite(tensor: Tensor, what: str, fix: str = _OVERFLOW) -> None:
    """Fail the check unless all of a tensor is finite."""
    require(bool(tensor.isfinite().all()), f"{what} is not finite", fix)

"""The gradient of a whole batch's loss, whatever part of the batch fits into memory and into this process.

Every micro-batch is embedded without gradient, the loss is taken on all embeddings together, and each micro-batch is
embedded once more to carry its embeddings' gradient into the weights (GradCache, arXiv 2101.06983). A batch of one
micro-batch is embedded once. The embeddings of other processes take part as values; see ``parallel.distributed``.

Shapes: B pairs of the batch, n of them in this process, D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from geobind.bind.feed.sides import Side
from geobind.bind.learn.learning import statistics_kept
from geobind.bind.parallel.distributed import World
from geobind.bind.phases import Phases
from geobind.bind.precision import Precision
from geobind.loss import Loss, Positives
from geobind.space.embed import hash_seed


def accumulate(
    sides: tuple[Side, Side],
    loss: Loss,
    chunks: Sequence[tuple[Any, Any]],
    positives: Positives,
    *,
    seed: int,
    dim: int,
    precision: Precision,
    world: World,
    phases: Phases,
    device: str,
) -> Tensor:
    """Add the gradient of the batch's loss to all that learns.

    Args:
        sides: Anchor and modality.
        loss: Sees the whole batch, in float32.
        chunks: Inputs of both sides, micro-batch by micro-batch, of this process's share.
        positives: Who belongs to whom, within this process's share.
        seed: Of dropout: both passes of a micro-batch draw alike.
        dim: Dimensions D of the space.
        precision: Arithmetic of the towers.
        world: The processes that share the batch.
        phases: Counts the time.
        device: Where towers and loss live.

    Returns:
        The loss of the whole batch, detached.
    """
    twice = len(chunks) > 1

    def embed(number: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(hash_seed(seed, number, world.rank))
        with precision.autocast(device):
            a, b = (side.embed(inputs) for side, inputs in zip(sides, chunks[number], strict=True))
        return _full(a), _full(b)

    norms = [module for side in sides for module in side.tower.modules()] if twice else []
    with phases("forward"), torch.no_grad() if twice else nullcontext(), statistics_kept(norms):
        embedded = [embed(number) for number in range(len(chunks))]
    with phases("loss"), precision.products():
        empty = torch.empty(0, dim, device=device)
        own = [torch.cat([pair[side].detach() for pair in embedded] or [empty]) for side in (0, 1)]
        (a, b, ids_a, ids_b), mine = world.gather(*own, positives.a, positives.b)
        for z, side in zip((a, b), sides, strict=True):
            z.requires_grad_(side.learns)
        value: Tensor = loss(a, b, Positives(ids_a, ids_b, positives.edges, positives.width))
        torch.autograd.backward(value)
        _share(loss, world)
    start = mine.start
    for number in range(len(chunks)):
        if twice:
            with phases("forward"):
                embedded[number] = embed(number)
        pair = embedded[number]
        embedded[number] = (empty, empty)  # its graph goes when it has been walked
        rows = slice(start, start + len(pair[0]))
        start = rows.stop
        with phases("backward"):
            learning = [(z, whole.grad[rows]) for z, whole in zip(pair, (a, b), strict=True) if whole.grad is not None]
            torch.autograd.backward([z for z, _ in learning], [gradient for _, gradient in learning])
    return value.detach()


def _full(z: Tensor) -> Tensor:
    """Losses are never taken in half precision."""
    return z if z.dtype == torch.float64 else z.float()


def _share(loss: Loss, world: World) -> None:
    """Every process has the whole gradient of the loss's own parameters: each gives its part of the sum."""
    for parameter in loss.parameters():
        if parameter.grad is not None and world.size > 1:
            parameter.grad /= world.size

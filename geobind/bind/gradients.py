"""The gradient of a whole batch's loss, whatever part of the batch fits into memory and into this process.

Every micro-batch is embedded without gradient, the loss is taken on all embeddings together, and each micro-batch is
embedded once more to carry its embeddings' gradient into the weights (GradCache, arXiv 2101.06983). A batch of one
micro-batch is embedded once. The embeddings of other processes take part as values; see ``parallel.distributed``.

A loss may add terms of each item of the modality alone. They are walked with the embeddings' gradient, micro-batch by
micro-batch, each divided by the pairs of the whole batch; so the sum over micro-batches and processes is their mean.

Shapes: B pairs of the batch, n of them in this process, D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from geobind.bind.feed.sides import Side, in_full
from geobind.bind.learn.learning import statistics_kept
from geobind.bind.parallel.distributed import World
from geobind.bind.phases import Phases
from geobind.bind.precision import Precision
from geobind.loss import Loss, Positives
from geobind.space.embed import hash_seed


class Value(NamedTuple):
    """The loss of a whole batch, detached."""

    whole: Tensor
    of_items: Tensor | None
    """What of it are terms of single items; None for a loss that has none."""


class _Embedded(NamedTuple):
    a: Tensor
    b: Tensor
    terms: Tensor | None = None
    """The sum of the loss's terms of single items."""


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
) -> Value:
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
        The loss of the whole batch, the same in every process.
    """
    twice = len(chunks) > 1
    anchor, modality = sides

    def embed(number: int, *, terms: bool) -> _Embedded:
        torch.manual_seed(hash_seed(seed, number, world.rank))
        inputs_a, inputs_b = chunks[number]
        with precision.autocast(device):
            a = anchor.embed(inputs_a)
            b, own = modality.embed_with_terms(inputs_b, loss) if terms else (modality.embed(inputs_b), None)
        return _Embedded(in_full(a), in_full(b), None if own is None else own.sum())

    norms = [module for side in sides for module in side.tower.modules()] if twice else []
    with phases("forward"), torch.no_grad() if twice else nullcontext(), statistics_kept(norms):
        embedded = [embed(number, terms=not twice) for number in range(len(chunks))]
    with phases("loss"), precision.products():
        empty = torch.empty(0, dim, device=device)
        own = [torch.cat([part[:2][side].detach() for part in embedded] or [empty]) for side in (0, 1)]
        (a, b, ids_a, ids_b), mine = world.gather(*own, positives.a, positives.b)
        for z, side in zip((a, b), sides, strict=True):
            z.requires_grad_(side.learns)
        value: Tensor = loss(a, b, Positives(ids_a, ids_b, positives.edges, positives.width))
        torch.autograd.backward(value)
        _share(loss, world)  # before the terms' gradients, of which every process has its own alone
    value, of_items, start = value.detach(), a.new_zeros(1), mine.start
    for number in range(len(chunks)):
        if twice:
            with phases("forward"):
                embedded[number] = embed(number, terms=True)
        part = embedded[number]
        embedded[number] = _Embedded(empty, empty)  # its graph goes when it has been walked
        rows = slice(start, start + len(part.a))
        start = rows.stop
        with phases("backward"):
            walked: list[tuple[Tensor, Tensor | None]] = [
                (z, whole.grad[rows]) for z, whole in zip(part[:2], (a, b), strict=True) if whole.grad is not None
            ]
            if part.terms is not None:
                walked.append((part.terms / len(a), None))
                of_items += part.terms.detach() / len(a)
            torch.autograd.backward([z for z, _ in walked], [gradient for _, gradient in walked])
    if not loss.teachers:
        return Value(value, None)
    (every,), _ = world.gather(of_items)
    return Value(value + every.sum(), every.sum())


def _share(loss: Loss, world: World) -> None:
    """Every process has the whole gradient of the loss's own parameters: each gives its part of the sum."""
    for parameter in loss.parameters():
        if parameter.grad is not None and world.size > 1:
            parameter.grad /= world.size

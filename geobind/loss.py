"""The loss a plugin writes, and who belongs to whom in a batch.

Shapes: A anchors, B items of the modality, D dimensions of the space, E listed edges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from geobind.encoder import Batch, Encoder


class Links(NamedTuple):
    """Positives between distinct ids: A' of the anchors' side, B' of the modality's, L links."""

    ids_a: Tensor
    """``[A']`` distinct ids, sorted."""
    ids_b: Tensor
    """``[B']``"""
    of_a: Tensor
    """``[A]`` each anchor's place in ``ids_a``."""
    of_b: Tensor
    """``[B]`` each item's place in ``ids_b``."""
    a: Tensor
    """``[L]`` places in ``ids_a`` …"""
    b: Tensor
    """``[L]`` … and in ``ids_b`` that belong together."""


@dataclass(frozen=True, eq=False)
class Positives:
    """Which anchors and which items of the modality belong together, without an A × B mask in memory.

    Two items belong together when their ids are equal or, where pairs are listed, when their edge is.
    """

    a: Tensor
    """``[A]`` int64 ids of the anchors."""
    b: Tensor
    """``[B]`` int64 ids of the items of the modality."""
    edges: Tensor | None = None
    """``[E]`` int64, sorted codes ``id_a * width + id_b`` of all listed edges; None where equal ids decide."""
    width: int = 0
    """One more than the largest id of the second side in ``edges``."""
    turned: bool = False
    """Whether ``edges`` have the ids of ``b`` first."""

    @cached_property
    def links(self) -> Links:
        """What belongs together among the ids that occur here: of all listed edges, those within the batch."""
        if self.turned:
            seen = self.flipped().links
            return Links(seen.ids_b, seen.ids_a, seen.of_b, seen.of_a, seen.b, seen.a)
        ids_a, of_a = torch.unique(self.a, return_inverse=True)
        ids_b, of_b = torch.unique(self.b, return_inverse=True)
        if self.edges is None:
            owner, partner = torch.arange(len(ids_a), device=ids_a.device), ids_a
        else:  # the edges of one id stand together
            first, end = (torch.searchsorted(self.edges, code * self.width) for code in (ids_a, ids_a + 1))
            count = end - first
            owner = torch.repeat_interleave(count)
            rank = torch.arange(len(owner), device=owner.device) - (count.cumsum(0) - count)[owner]
            partner = self.edges[first[owner] + rank] - ids_a[owner] * self.width
        at = torch.searchsorted(ids_b, partner)
        here = torch.searchsorted(ids_b, partner, right=True) > at
        return Links(ids_a, ids_b, of_a, of_b, owner[here], at[here])

    def count(self) -> Tensor:
        """``[A]`` int64: how many positives each anchor has."""
        links = self.links
        number_b = torch.bincount(links.of_b, minlength=len(links.ids_b))
        number_a = torch.zeros_like(links.ids_a).index_add_(0, links.a, number_b[links.b])
        return number_a[links.of_a]

    def mean_of(self, values: Tensor) -> Tensor:
        """``[A, D]``: the mean of each anchor's positives among ``values [B, D]``; zero where it has none.

        Differentiable, in time and memory that grow with A + B and the links between distinct ids.
        """
        links, dim = self.links, values.shape[1]
        # index_select, whose gradient is an index_add; that of indexing is a slow index_put.
        sum_b = values.new_zeros(len(links.ids_b), dim).index_add(0, links.of_b, values).index_select(0, links.b)
        sum_a = values.new_zeros(len(links.ids_a), dim).index_add(0, links.a, sum_b)
        return sum_a.index_select(0, links.of_a) / self.count().clamp(min=1)[:, None]

    def block(self, rows: slice = slice(None)) -> Tensor:
        """The bool mask ``[rows, B]`` of some anchors."""
        if self.edges is None:
            return self.a[rows, None] == self.b
        links = replace(self, a=self.a[rows]).links
        linked = links.of_a.new_zeros(len(links.ids_a), len(links.ids_b), dtype=torch.bool)
        linked[links.a, links.b] = True
        return linked[links.of_a].index_select(1, links.of_b)

    def mask(self) -> Tensor:
        """The whole mask ``[A, B]``, for losses that need it and batches that bear it."""
        return self.block()

    def flipped(self) -> Positives:
        """The same seen from the modality: ``[B]`` asks ``[A]``."""
        return replace(self, a=self.b, b=self.a, turned=not self.turned)

    def to(self, device: str | torch.device) -> Positives:
        """The same on another device."""
        edges = None if self.edges is None else self.edges.to(device)
        return replace(self, a=self.a.to(device), b=self.b.to(device), edges=edges)


class Loss(nn.Module):
    """Scores a batch of pairs of unit-norm embeddings.

    Its parameters (temperatures, biases) learn with the towers and are saved with the pair.
    """

    def forward(self, anchor: Tensor, modality: Tensor, positives: Positives) -> Tensor:
        """A scalar from ``anchor [A, D]``, ``modality [B, D]`` and who belongs to whom.

        A = B, and anchor i belongs to item i at least. With several processes every one of them is given the whole
        batch; the trainer sees to it that each gradient is counted once.
        """
        raise NotImplementedError

    @property
    def teachers(self) -> Mapping[str, Encoder]:
        """Frozen encoders of the modality's items by name, for a loss that distils; their weights are at hand.

        The dense features of every item are computed once, stored, and given to :meth:`of_items`. Teachers are no
        part of the loss's own state: keep them out of its modules.

        Raises:
            WeightsError: Some are missing, with the way to bring them.
        """
        return {}

    def meet(self, tokens: Tensor, batch: Batch, taught: Mapping[str, Tensor]) -> None:
        """Called once before training with what :meth:`of_items` is going to be given, of a single item.

        A loss that has :attr:`teachers` makes its parameters here, since it could not know the widths before. They
        may be drawn from torch's global generator, which follows from the stage's seed.

        Raises:
            RecipeError: Student and teachers do not fit each other.
        """

    def of_items(self, tokens: Tensor, batch: Batch, taught: Mapping[str, Tensor]) -> Tensor:
        """``[n]`` a term of each item alone, whose mean over the whole batch is added to the loss.

        Called for every micro-batch of a loss that has :attr:`teachers`, in training mode: a term may depend on its
        own item only, so that micro-batches and processes sum up to the whole.

        Args:
            tokens: ``[n, T, d]`` the student's dense features, with gradient, never in half precision.
            batch: What the student's encoder was given.
            taught: Teacher → ``[n, t, d']`` float32, its dense features of the plain items.
        """
        raise NotImplementedError

    def clamp(self) -> None:
        """Bring learnt scalars back into their range; called after every optimiser step."""

    def report(self) -> dict[str, float]:
        """Scalars to log beside the loss, such as the temperature."""
        return {}

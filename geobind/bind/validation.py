"""What a stage has reached, measured on the whole validation split: the loss, and exact ranks in both directions.

Shapes: A anchors, M items of the modality, D dimensions.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geobind.bind.feed.sides import Side
from geobind.bind.parallel.distributed import World
from geobind.bind.precision import Precision
from geobind.config import Validation
from geobind.data.pairs import Pairs
from geobind.loss import Loss, Positives
from geobind.ranks import rank_both

KS = (1, 5, 10)
"""The k of R@k that every validation logs."""
Embeddings = NDArray[np.float32]


def edges_of(pairs: Pairs, device: str) -> Tensor | None:
    """The codes of listed pairs on a device, which all batches share; None where labels decide."""
    return None if pairs.edge_codes is None else torch.from_numpy(pairs.edge_codes).to(device)


def positives_of(pairs: Pairs, rows: NDArray[np.int64], edges: Tensor | None, device: str) -> Positives:
    """Who belongs to whom among drawn pairs ``[B, 2]``; ``edges`` are those of :func:`edges_of`."""
    a, b = (torch.from_numpy(np.ascontiguousarray(ids)).to(device) for ids in pairs.ids(rows))
    return Positives(a, b, edges, len(pairs.b) if edges is not None else 0)


@dataclass
class Validator:
    """Measures a stage on its validation pairs.

    Args:
        pairs: The validation split.
        sides: Anchor and modality over its items.
        loss: The stage's loss.
        config: What the recipe says on validation.
        batch_size: Of the loss, as in training, so that both can be compared.
        precision: Arithmetic of the towers.
        world: The processes that share the work.
        device: Where the loss lives.
    """

    pairs: Pairs
    sides: tuple[Side, Side]
    loss: Loss
    config: Validation
    batch_size: int
    precision: Precision
    world: World
    device: str

    def measure(self) -> dict[str, float]:
        """``val_loss``, ``val_recall@K`` and ``val_median_rank`` (both directions averaged), the same on every rank.

        Items that cannot be read are left out of the split, and counted as ``val_unreadable``.
        """
        (all_a, lost_a), (all_b, lost_b) = (self._embed(side) for side in self.sides)
        pairs, rows_a, rows_b = self.pairs.without(lost_a, lost_b)
        a, b = all_a[rows_a], all_b[rows_b]
        metrics = {"val_loss": self._loss(pairs, a, b)}
        if self.world.first:
            metrics |= self._ranks(pairs, a, b)
        if lost_a or lost_b:
            metrics["val_unreadable"] = len(lost_a) + len(lost_b)
        return self.world.same(metrics)

    def _embed(self, side: Side) -> tuple[Embeddings, Collection[int]]:
        """All items' embeddings, and the rows of those that cannot be read."""
        lost: dict[int, str] = {}
        with self.precision.autocast(self.device):
            own = side.embed_all(self.world.share(len(side.items)), lambda row, error: lost.update({row: str(error)}))
        (embedded,), _ = self.world.gather(torch.from_numpy(own))
        return embedded.numpy(), self.world.union(lost)

    @torch.no_grad()
    def _loss(self, pairs: Pairs, a: Embeddings, b: Embeddings) -> float:
        """Mean over batches like those of training, the same pairs every time."""
        self.loss.eval()
        rows, edges = pairs.draw(np.random.default_rng(0)), edges_of(pairs, self.device)
        total = 0.0
        for first in range(0, len(rows), self.batch_size):
            batch = rows[first : first + self.batch_size]
            z = (torch.from_numpy(side[batch[:, column]]).to(self.device) for column, side in enumerate((a, b)))
            total += self.loss(*z, positives_of(pairs, batch, edges, self.device)).item() * len(batch)
        return total / len(rows)

    def _ranks(self, pairs: Pairs, a: Embeddings, b: Embeddings) -> dict[str, float]:
        ks = set(KS)
        if self.config.metric.startswith("recall@"):
            ks.add(int(self.config.metric.removeprefix("recall@")))
        directions = rank_both(a, b, pairs, average_precision=False)
        recall = {f"val_recall@{k}": float(np.mean([np.mean(r.rank <= k) for r in directions])) for k in sorted(ks)}
        return {**recall, "val_median_rank": float(np.mean([np.median(r.rank) for r in directions]))}


def better(metric: str, value: float, than: float | None) -> bool:
    """Whether a value of the metric beats the best so far; more is better of recall, less of the others."""
    if than is None:
        return True
    return value > than if metric.startswith("recall@") else value < than

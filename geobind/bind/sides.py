"""The two sides of a stage. A side knows what of its tower learns, and what must be computed how often.

Frozen: the whole tower once. Head: the encoder once, the head in every step. Full: everything in every step.

Shapes: N items, V views, B batch, E features, D dimensions.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from geobind.bind.feature_cache import FeatureCache
from geobind.config import Learn
from geobind.data.items import Items
from geobind.encoder import Batch, Encoder
from geobind.space.embed import hash_seed, prepare
from geobind.space.heads import Tower

Rows = NDArray[np.int64]


class Side(ABC):
    """One side of a stage over the items of one split."""

    def __init__(self, tower: Tower) -> None:
        self.tower = tower
        self.device = next(itertools.chain(tower.parameters(), tower.buffers()), torch.empty(0)).device

    @abstractmethod
    def inputs(self, batches: Sequence[Rows], seed: int) -> Iterator[Any]:
        """What :meth:`embed` takes, for each batch of item rows; random draws depend on ``seed`` alone."""

    @abstractmethod
    def embed(self, inputs: Any) -> Tensor:
        """Embeddings ``[B, D]`` with unit norm, with gradient to whatever learns."""

    def learning(self) -> dict[str, nn.Module]:
        """The parts that learn, by name."""
        return {}

    def train(self, mode: bool = True) -> None:
        """Put what learns into training mode; what is frozen stays in evaluation mode."""
        self.tower.eval()
        for part in self.learning().values():
            part.train(mode)


class FrozenSide(Side):
    """Embeddings that never change."""

    def __init__(self, tower: Tower, items: Items, cache: FeatureCache) -> None:
        super().__init__(tower)
        with torch.inference_mode():
            features_NE = cache.features(tower.encoder, items)
            tower.eval()
            chunks = torch.split(features_NE, 4096)
            self.z_ND = torch.cat([tower.project(chunk.to(self.device)).cpu() for chunk in chunks]).clone()

    def inputs(self, batches: Sequence[Rows], seed: int) -> Iterator[Tensor]:
        """Stored embeddings ``[B, D]``."""
        for rows in batches:
            yield self.z_ND[torch.from_numpy(rows)]

    def embed(self, inputs: Tensor) -> Tensor:
        """The embeddings as they are."""
        return inputs.to(self.device, non_blocking=True)


class HeadSide(Side):
    """Frozen features, a learning head."""

    def __init__(self, tower: Tower, items: Items, cache: FeatureCache, views: int) -> None:
        super().__init__(tower)
        self.features_VNE = torch.stack([cache.features(tower.encoder, items, view=view) for view in range(views)])

    def inputs(self, batches: Sequence[Rows], seed: int) -> Iterator[Tensor]:
        """Stored features ``[B, E]``, a random view of each item."""
        draws = np.random.default_rng(seed)
        for rows in batches:
            views = draws.integers(len(self.features_VNE), size=len(rows))
            yield self.features_VNE[torch.from_numpy(views), torch.from_numpy(rows)]

    def embed(self, inputs: Tensor) -> Tensor:
        """The head on stored features."""
        return self.tower.project(inputs.to(self.device, non_blocking=True))

    def learning(self) -> dict[str, nn.Module]:
        """The head."""
        return {"head": self.tower.head}


class FullSide(Side):
    """Items prepared anew for every step, augmented unless told otherwise; the whole tower learns."""

    def __init__(self, tower: Tower, items: Items, *, augment: bool, workers: int) -> None:
        super().__init__(tower)
        self.items = items
        self.augment = augment
        self.workers = workers
        # Without augmentation an item's tensors never change: prepare each once and keep them.
        self.kept = None if augment else [prepare(tower.encoder, items, row, None) for row in range(len(items))]

    def inputs(self, batches: Sequence[Rows], seed: int) -> Iterator[Batch]:
        """Prepared items."""
        encoder = self.tower.encoder
        if self.kept is not None:
            for rows in batches:
                yield encoder.collate([self.kept[row] for row in rows])
            return
        yield from DataLoader(
            _Prepared(encoder, self.items, seed),
            batch_sampler=[rows.tolist() for rows in batches],
            collate_fn=encoder.collate,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
        )

    def embed(self, inputs: Batch) -> Tensor:
        """The whole tower."""
        batch = {key: value.to(self.device, non_blocking=True) for key, value in inputs.items()}
        embeddings: Tensor = self.tower(batch)
        return embeddings

    def learning(self) -> dict[str, nn.Module]:
        """Encoder and head."""
        return {"encoder": self.tower.encoder, "head": self.tower.head}


class _Prepared(TorchDataset[Batch]):
    """Augmented items whose draws depend on seed and row alone, so that any number of workers gives the same."""

    def __init__(self, encoder: Encoder, items: Items, seed: int) -> None:
        self.encoder, self.items, self.seed = encoder, items, seed

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> Batch:
        return prepare(self.encoder, self.items, row, hash_seed(self.seed, row))


def make_side(
    learn: Learn, tower: Tower, items: Items, cache: FeatureCache, views: int, augment: bool, workers: int
) -> Side:
    """The side that fits what learns."""
    if learn == "frozen":
        return FrozenSide(tower, items, cache)
    if learn == "head":
        return HeadSide(tower, items, cache, views)
    return FullSide(tower, items, augment=augment, workers=workers)

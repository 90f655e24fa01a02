"""The two sides of a stage: what of a tower must be computed how often.

An encoder that does not learn has computed its features once; one that learns sees prepared items in every step.

Shapes: N items, V views, B batch, E features, D dimensions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geobind.data.items import Items
from geobind.encoder import Batch, device_of
from geobind.errors import DataError
from geobind.features.cache import Features
from geobind.features.dense import DenseFeatures
from geobind.loss import Loss
from geobind.space.embed import by_key, embed
from geobind.space.heads import Tower

Rows = NDArray[np.int64]
CHUNK = 4096
"""Stored features that go through a head together when all of them do."""
KEPT_BYTES = 2**30
"""Items that no augmentation changes are kept in memory once prepared, if all of them take no more than this."""


class Side(ABC):
    """One side of a stage over the items of one split.

    Loader threads or processes call :meth:`prepare` and :meth:`collate`; the trainer calls :meth:`embed`.
    """

    def __init__(self, tower: Tower, items: Items) -> None:
        self.tower, self.items = tower, items

    @property
    def device(self) -> torch.device:
        """Where the tower lives."""
        return device_of(self.tower)

    @property
    def learns(self) -> bool:
        """Whether anything of the tower does."""
        return any(parameter.requires_grad for parameter in self.tower.parameters())

    @abstractmethod
    def prepare(self, rows: Rows, seed: int) -> tuple[Any, dict[int, str]]:
        """One sample per row, and what is wrong with those that cannot be read: position → message.

        Random draws depend on ``seed`` alone.
        """

    @abstractmethod
    def collate(self, samples: Any, keep: Rows) -> Any:
        """What :meth:`embed` takes, out of the samples at the positions ``keep``."""

    @abstractmethod
    def embed(self, inputs: Any) -> Tensor:
        """Embeddings ``[B, D]`` with unit norm, with gradient to whatever learns."""

    def embed_with_terms(self, inputs: Any, loss: Loss) -> tuple[Tensor, Tensor | None]:
        """:meth:`embed`, and the loss's term of each item ``[B]``; None where no teacher has seen the items."""
        return self.embed(inputs), None

    @abstractmethod
    def embed_all(self, rows: slice, on_error: Callable[[int, DataError], None]) -> NDArray[np.float32]:
        """Embeddings of the plain items at ``rows``, without gradient; NaN where ``on_error`` was told of a row."""


class StoredSide(Side):
    """The encoder's features are at hand, V views of each item; only the head runs, and perhaps learns."""

    def __init__(self, tower: Tower, items: Items, views: Sequence[Features]) -> None:
        super().__init__(tower, items)
        self.views = views

    def prepare(self, rows: Rows, seed: int) -> tuple[Any, dict[int, str]]:
        """``[B, 2]``: a random view of each item, and its row."""
        if len(self.views) == 1:
            views = np.zeros(len(rows), dtype=np.int64)
        else:
            views = np.random.default_rng(seed).integers(len(self.views), size=len(rows))
        return np.stack([views, rows], axis=1), {}

    def collate(self, samples: NDArray[np.int64], keep: Rows) -> Tensor:
        """Stored features ``[B, E]``."""
        drawn = samples[keep]
        if len(self.views) == 1:
            return self.views[0].gather(drawn[:, 1])
        out = torch.empty(len(drawn), self.views[0].width)
        for view, features in enumerate(self.views):
            at = np.flatnonzero(drawn[:, 0] == view)
            out[torch.from_numpy(at)] = features.gather(drawn[at, 1])
        return out

    def embed(self, inputs: Tensor) -> Tensor:
        """The head on stored features."""
        return self.tower.project(inputs.to(self.device, non_blocking=True))

    @torch.inference_mode()
    def embed_all(self, rows: slice, on_error: Callable[[int, DataError], None]) -> NDArray[np.float32]:
        """The head on the plain items' features; whatever cannot be read was left out before."""
        at = np.arange(len(self.items))[rows]
        chunks = [at[first : first + CHUNK] for first in range(0, len(at), CHUNK)] or [at]
        embedded = [self.embed(self.views[0].gather(chunk)).float().cpu() for chunk in chunks]
        return torch.cat(embedded).numpy()


class ItemSide(Side):
    """Items prepared for every step, augmented unless told otherwise; the encoder learns, all of it or a part."""

    def __init__(self, tower: Tower, items: Items, *, augment: bool) -> None:
        super().__init__(tower, items)
        self.augment = augment
        self.kept: dict[int, Batch] | None = None if augment else {}

    def prepare(self, rows: Rows, seed: int) -> tuple[Any, dict[int, str]]:
        """Prepared items; None at the positions of those that cannot be read."""
        # Masked to what both NumPy and torch take for a seed.
        seeds = (np.random.SeedSequence(seed).generate_state(len(rows), np.uint64) >> np.uint64(1)).tolist()
        samples: list[Batch | None] = []
        wrong: dict[int, str] = {}
        for position, (row, own_seed) in enumerate(zip(rows.tolist(), seeds, strict=True)):
            try:
                samples.append(self._prepared(row, own_seed))
            except DataError as error:
                samples.append(None)
                wrong[position] = str(error)
        return samples, wrong

    def _prepared(self, row: int, seed: int) -> Batch:
        encoder = self.tower.encoder
        if self.augment:
            return encoder.preprocess(self.items[row], train=True, generator=torch.Generator().manual_seed(seed))
        # Without augmentation an item's tensors never change.
        if self.kept is not None and row in self.kept:
            return self.kept[row]
        sample = encoder.preprocess(self.items[row], train=False)
        if self.kept is not None:
            size = sum(tensor.numel() * tensor.element_size() for tensor in sample.values())
            if size * len(self.items) > KEPT_BYTES:
                self.kept = None
            else:
                self.kept[row] = sample
        return sample

    def collate(self, samples: list[Batch], keep: Rows) -> Batch:
        """The encoder's own batch.

        Raises:
            DataError: Samples that cannot share one.
        """
        encoder, kept = self.tower.encoder, [samples[position] for position in keep.tolist()]
        if len(by_key(encoder, kept)) > 1:
            keys = " and ".join(repr(encoder.batch_key(kept[group[0]])) for group in by_key(encoder, kept)[:2])
            raise DataError(
                f"{self.items.modality} items of unequal kinds, {keys}, fell into one batch of training",
                fix="Their dataset tells them apart in `Items.kind`; or bind one kind alone.",
            )
        return encoder.collate(kept)

    def embed(self, inputs: Batch) -> Tensor:
        """The whole tower."""
        embeddings: Tensor = self.tower({key: x.to(self.device, non_blocking=True) for key, x in inputs.items()})
        return embeddings

    @torch.inference_mode()
    def embed_all(self, rows: slice, on_error: Callable[[int, DataError], None]) -> NDArray[np.float32]:
        """The whole tower on plain items, which are prepared once if they can be kept."""
        at = np.arange(len(self.items))[rows]
        some = at if len(at) else np.zeros(1, dtype=np.int64)  # nothing to do still has a width
        if self.kept is None:
            embedded = embed(
                self.tower.encoder,
                self.items.take(some),
                self.tower,
                on_error=lambda position, error: on_error(int(some[position]), error),
            )
            return embedded[: len(at)]
        size = self.tower.encoder.throughput_batch
        parts = [self._embed_kept(some[first : first + size], on_error) for first in range(0, len(some), size)]
        return np.concatenate(parts)[: len(at)]

    def _embed_kept(self, rows: Rows, on_error: Callable[[int, DataError], None]) -> NDArray[np.float32]:
        samples, wrong = self.prepare(rows, 0)
        for position, message in wrong.items():
            on_error(int(rows[position]), DataError(message))
        good = np.asarray([position for position in range(len(rows)) if position not in wrong], dtype=np.int64)
        groups = by_key(self.tower.encoder, [samples[position] for position in good.tolist()])
        out: NDArray[np.float32] | None = None
        for picked in groups or [[]]:
            at = good[picked]
            embedded = self.embed(self.collate(samples, at)).float().cpu().numpy()
            if out is None:
                out = np.full((len(rows), embedded.shape[1]), np.nan, dtype=np.float32)
            out[at] = embedded
        assert out is not None  # noqa: S101 — there is at least one group
        return out


class Lesson(NamedTuple):
    """What a side with teachers embeds."""

    batch: Batch
    """The encoder's own."""
    taught: dict[str, Tensor]
    """Teacher → ``[B, t, d']`` its dense features."""


class TaughtSide(Side):
    """Plain items prepared for every step, with what each teacher sees in them.

    Args:
        tower: The student.
        items: Its items.
        taught: Teacher → its dense features of the same items.
    """

    def __init__(self, tower: Tower, items: Items, taught: Mapping[str, DenseFeatures]) -> None:
        super().__init__(tower, items)
        self.student, self.taught = ItemSide(tower, items, augment=False), taught

    def prepare(self, rows: Rows, seed: int) -> tuple[Any, dict[int, str]]:
        """Prepared items, and their rows."""
        samples, wrong = self.student.prepare(rows, seed)
        return (samples, rows), wrong

    def collate(self, samples: tuple[list[Batch], Rows], keep: Rows) -> Lesson:
        """The encoder's own batch, and the teachers' features of the same items."""
        prepared, rows = samples
        taught = {name: features.gather(rows[keep]) for name, features in self.taught.items()}
        return Lesson(self.student.collate(prepared, keep), taught)

    def embed(self, inputs: Lesson) -> Tensor:
        """The whole tower, in the way of :meth:`embed_with_terms`: what is random in it draws alike in both."""
        return self._embed(self._moved(inputs.batch))[0]

    def embed_with_terms(self, inputs: Lesson, loss: Loss) -> tuple[Tensor, Tensor | None]:
        """Embeddings and terms out of one pass of the encoder; the loss is never taken in half precision."""
        batch, taught = map(self._moved, inputs)
        embeddings, tokens = self._embed(batch)
        with torch.autocast(self.device.type, enabled=False):
            return embeddings, loss.of_items(in_full(tokens), batch, taught)

    def _embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embeddings ``[B, D]``, and the encoder's dense features."""
        features, tokens = self.tower.encoder.features_and_tokens(batch)
        return self.tower.project(features), tokens

    def _moved(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {key: x.to(self.device, non_blocking=True) for key, x in tensors.items()}

    def embed_all(self, rows: slice, on_error: Callable[[int, DataError], None]) -> NDArray[np.float32]:
        """The whole tower on plain items."""
        return self.student.embed_all(rows, on_error)


def in_full(values: Tensor) -> Tensor:
    """Values as losses are taken of them: never in half precision."""
    return values if values.dtype == torch.float64 else values.float()


def make_side(
    tower: Tower,
    items: Items,
    views: Sequence[Features],
    *,
    augment: bool,
    taught: Mapping[str, DenseFeatures] | None = None,
) -> Side:
    """The side that fits what learns: ``views`` of what does not, ``taught`` of what teachers have seen."""
    if views:
        return StoredSide(tower, items, views)
    if taught:
        return TaughtSide(tower, items, taught)
    return ItemSide(tower, items, augment=augment)

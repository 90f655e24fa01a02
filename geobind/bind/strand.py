"""One stage's share of a training: its batches in order, its two sides, what of its towers learns, its loss.

A staged training has one strand; a joint or interleaved one has several, which share the anchor's tower, and perhaps
that of their modalities. Shapes: B batch.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from torch import nn

from geobind.bind.feed.loader import Batches, Prepared, load
from geobind.bind.feed.sampling import batch_count, epoch_batches
from geobind.bind.feed.sides import Rows, Side
from geobind.bind.learn.learning import Learning
from geobind.bind.parallel.distributed import World
from geobind.bind.validation import Validator, edges_of
from geobind.config import Stage
from geobind.data.pairs import Pairs
from geobind.loss import Loss
from geobind.space.embed import hash_seed


class Strand:
    """What a trainer needs of one stage.

    Args:
        config: The stage.
        pairs: Training pairs.
        sides: Anchor and modality over their items.
        learning: What of either tower learns; several strands have the anchor's in common, and that of a tower which
            their modalities share.
        loss: The loss; its parameters learn too.
        validator: Measures the validation split, or None.
        world: The processes that share each batch.
        device: Where towers and loss live.
        label: Begins the names of this strand's parts and metrics, where there are several: ``text/``.
    """

    def __init__(
        self,
        config: Stage,
        pairs: Pairs,
        sides: tuple[Side, Side],
        learning: tuple[Learning, Learning],
        loss: Loss,
        validator: Validator | None,
        *,
        world: World,
        device: str,
        label: str = "",
    ) -> None:
        self.config, self.pairs, self.sides, self.learning = config, pairs, sides, learning
        self.loss, self.validator, self.world, self.label = loss, validator, world, label
        self.batch = min(config.optim.batch_size, len(pairs))
        self.batches_per_epoch = batch_count(pairs, config.optim.batch_size)
        share = world.largest_share(self.batch)
        self.chunks = math.ceil(share / (config.optim.micro_batch or share))
        self.edges = edges_of(pairs, device)

    def parts(self) -> dict[str, nn.Module]:
        """Modules that learn, by name.

        Those of the anchor have the same names in every strand, and those of a tower in every strand that trains it.
        """
        anchor, modality = (own.parts() for own in self.learning)
        tower = f"tower {self.config.tower or self.config.modality}" if self.label else "modality"
        return {
            **{f"anchor.{part}": module for part, module in anchor.items()},
            **{f"{tower}.{part}": module for part, module in modality.items()},
            f"{self.label}loss": self.loss,
        }

    @property
    def turns_per_epoch(self) -> int:
        """Steps that it has in an epoch of interleaved training."""
        return turns(self.config.ratio, self.batches_per_epoch)

    def train_mode(self, mode: bool = True) -> None:
        """Put what learns of the towers into training mode."""
        for own in self.learning:
            own.train_mode(mode)

    def batches(self, first: int, count: int) -> Generator[tuple[Rows, Prepared], None, None]:
        """``count`` batches from number ``first`` since the stage began: drawn pairs ``[B, 2]``, and those prepared.

        A strand that has met all its pairs draws its next epoch, wherever the other strands are. Of a batch, what is
        prepared is this process's share.
        """
        while count:
            epoch, step = divmod(first, self.batches_per_epoch)
            rng = np.random.default_rng((self.config.seed, epoch))
            drawn = epoch_batches(self.pairs, self.config.optim.batch_size, self.config.sampling, rng)
            here = drawn[step : step + count]
            with closing(self._prepared(drawn[: step + count], epoch, step)) as ahead:
                yield from zip(here, ahead, strict=True)
            first, count = first + len(here), count - len(here)

    def _prepared(self, drawn: list[Rows], epoch: int, first: int) -> Generator[Prepared, None, None]:
        shares = [rows[self.world.share(len(rows))] for rows in drawn]
        batches = Batches(self.sides, shares, self.chunks, hash_seed(self.config.seed, epoch))
        return load(batches, first=first, workers=self.config.workers)

    def own(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """Of the metrics of all strands, what is shared and what is this strand's, under plain names."""
        if not self.label:
            return metrics
        shared = {name: value for name, value in metrics.items() if "/" not in name}
        mine = {name.removeprefix(self.label): value for name, value in metrics.items() if name.startswith(self.label)}
        return shared | mine


def turns(ratio: float, batches: int) -> int:
    """Steps of a strand in an epoch of interleaved training: ``ratio`` passes over its ``batches``, one at least."""
    return max(1, round(ratio * batches))


def mixed(turns: Sequence[int], seed: int, epoch: int) -> list[int]:
    """The order of an epoch's steps: strand s has ``turns[s]`` of them, evenly spread over the epoch.

    Each lies at random in its own n-th of the epoch: so at any moment a strand has had its share of all steps, give or
    take one per strand. All follows from the seed and the epoch.
    """
    rng = np.random.default_rng((seed, epoch, len(turns)))
    at = np.concatenate([(np.arange(n) + rng.random(n)) / n for n in turns])
    strand = np.repeat(np.arange(len(turns)), turns)
    return [int(s) for s in strand[np.argsort(at, kind="stable")]]

"""One stage's share of a training: its batches in order, its two sides, what of its towers learns, its loss.

A staged training has one strand; a joint one has several, which share the anchor's tower. Shapes: B batch.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import closing
from typing import Any

import numpy as np
from torch import nn

from geobind.bind.feed.loader import Batches, Prepared, load
from geobind.bind.feed.sampling import epoch_batches
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
        learning: What of either tower learns; strands of a joint training have the anchor's in common.
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
        self.batches_per_epoch = max(1, len(pairs) // config.optim.batch_size)
        share = world.largest_share(self.batch)
        self.chunks = math.ceil(share / (config.optim.micro_batch or share))
        self.edges = edges_of(pairs, device)

    def parts(self) -> dict[str, nn.Module]:
        """Modules that learn, by name; those of the anchor have the same names in every strand."""
        anchor, modality = (own.parts() for own in self.learning)
        return {
            **{f"anchor.{part}": module for part, module in anchor.items()},
            **{f"{self.label}modality.{part}": module for part, module in modality.items()},
            f"{self.label}loss": self.loss,
        }

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

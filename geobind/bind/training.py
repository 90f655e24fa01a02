"""Train one stage: from towers and pairs to sides, trainer, and towers that have learnt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geobind.bind.features.cache import FeatureCache, Features
from geobind.bind.feed.sides import Side, make_side
from geobind.bind.learn.learning import Learning
from geobind.bind.parallel.distributed import World
from geobind.bind.parallel.sharding import shard
from geobind.bind.precision import Precision, choose_precision
from geobind.bind.runs.run import Run
from geobind.bind.trainer import Trainer
from geobind.bind.validation import Validator
from geobind.config import STORED, Stage
from geobind.data.items import Items
from geobind.data.pairs import Pairs
from geobind.errors import DataError, RecipeError
from geobind.loss import Loss
from geobind.progress import say, track
from geobind.space.embed import hash_seed
from geobind.space.heads import Tower


@dataclass
class StageTraining:
    """One stage's training.

    Args:
        config: The stage.
        towers: Anchor and modality; what learns of them is changed in place.
        loss: The stage's loss.
        cache: Features of what does not learn.
        run: Where progress is written.
        world: The processes that share the work.
        device: Where training happens.
        dim: Dimensions of the space.
    """

    config: Stage
    towers: tuple[Tower, Tower]
    loss: Loss
    cache: FeatureCache
    run: Run
    world: World
    device: str
    dim: int

    def __post_init__(self) -> None:
        config = self.config
        torch.manual_seed(hash_seed(config.seed, 0))  # adapters are drawn
        self.learning = self._learning(config.train.anchor, 0), self._learning(config.train.modality, 1)
        if self.world.size > 1 and config.optim.parallel == "fsdp":
            for tower, learn in zip(self.towers, (config.train.anchor, config.train.modality), strict=True):
                if learn == "lora":
                    raise RecipeError(f"stage {config.name!r}: lora and parallel: fsdp do not go together yet")
                if learn not in STORED:
                    shard(tower.encoder)

    def _learning(self, learn: str, side: int) -> Learning:
        optim = self.config.optim
        return Learning(
            self.towers[side],
            learn,
            self.config.lora,
            gradient_checkpointing=optim.gradient_checkpointing,
            compile=optim.compile,
        )

    def train(self, pairs: Pairs, val: Pairs | None) -> tuple[dict[str, Any], Pairs]:
        """Train on the pairs, from the stage's checkpoint if there is one.

        Returns:
            The metrics of the last epoch, and the pairs that could be read.
        """
        config, run = self.config, self.run
        pairs, sides = self._sides(pairs, training=True)
        precision = self._precision(pairs, sides)
        validator = None
        if val is None:
            say(f"{config.name}: no validation pairs, so nothing is validated")
        else:
            val, val_sides = self._sides(val, training=False)
            validator = Validator(
                val,
                val_sides,
                self.loss,
                config.validation,
                config.optim.batch_size,
                precision,
                self.world,
                self.device,
            )
        trainer = Trainer(
            config,
            pairs,
            sides,
            self.learning,
            self.loss,
            validator,
            precision=precision,
            world=self.world,
            device=self.device,
            dim=self.dim,
        )
        if (state := run.checkpoint(config.name)) is not None:
            trainer.restore(state)
            say(f"{config.name}: resumed at epoch {trainer.at.epoch + 1}, step {trainer.at.step}")
        run.rewind(config.name, trainer.step)

        def log(values: dict[str, Any]) -> None:
            run.log(config.name, values)
            if trainer.unreadable:
                run.list_unreadable(config.name, list(trainer.unreadable.values()))

        left = (trainer.total_steps - trainer.step) * min(config.optim.batch_size, len(pairs))
        with track(f"bind {config.name}", left, "pairs") as advance:
            metrics = trainer.run(
                log, lambda step, state: run.save_checkpoint(config.name, step, state, config.checkpoints.keep), advance
            )
        for own in self.learning:
            own.finish()
        return metrics, pairs

    def _sides(self, pairs: Pairs, *, training: bool) -> tuple[Pairs, tuple[Side, Side]]:
        """Both sides over the items of a split, without those whose features cannot be computed."""
        views = self._views(pairs, training)
        unreadable = [{row: m for view in side for row, m in view.unreadable.items()} for side in views]
        if any(unreadable):
            self._check_unreadable(pairs, unreadable)
            pairs, _, _ = pairs.without(*unreadable)
            views = self._views(pairs, training)
        augment = self.config.augment and training
        anchor, modality = (
            make_side(tower, items, own_views, augment=augment)
            for tower, items, own_views in zip(self.towers, (pairs.a, pairs.b), views, strict=True)
        )
        return pairs, (anchor, modality)

    def _views(self, pairs: Pairs, training: bool) -> tuple[list[Features], list[Features]]:
        """Features of each side whose encoder does not learn, the plain ones first."""

        def features(learn: str, tower: Tower, items: Items, views: int) -> list[Features]:
            if learn not in STORED:
                return []
            rank, size, barrier = self.world.rank, self.world.size, self.world.barrier
            return [
                self.cache.features(tower.encoder, items, view=view, rank=rank, world=size, barrier=barrier)
                for view in range(views if training else 1)
            ]

        train, views = self.config.train, self.config.views
        return (
            features(train.anchor, self.towers[0], pairs.a, views.anchor),
            features(train.modality, self.towers[1], pairs.b, views.modality),
        )

    def _check_unreadable(self, pairs: Pairs, unreadable: list[dict[int, str]]) -> None:
        """Tell of items that cannot be read; too many end the run.

        Raises:
            DataError: More than the stage allows.
        """
        for items, wrong in zip((pairs.a, pairs.b), unreadable, strict=True):
            for message in wrong.values():
                if len(wrong) > self.config.max_unreadable * len(items):
                    raise DataError(
                        f"{message} {len(wrong)} of {len(items)} {items.modality} items cannot be read, more than "
                        f"max_unreadable = {self.config.max_unreadable:g} allows",
                        where=f"stage {self.config.name!r}",
                        fix="Mend or drop them, or raise max_unreadable.",
                    )
                say(f"left out: {message}")
        self.run.list_unreadable(self.config.name, [m for wrong in unreadable for m in wrong.values()])

    def _precision(self, pairs: Pairs, sides: tuple[Side, Side]) -> Precision:
        """What the recipe says or a measurement finds; a resumed stage keeps what was chosen."""
        name = self.config.name
        chosen = self.run.state.get("precision", {})
        found = choose_precision(
            chosen.get(name, self.config.optim.precision), self.device, small_work(pairs, sides, self.learning)
        )
        precision = self.world.same(found)
        if name not in chosen:
            self.run.note(precision={**chosen, name: precision.name})
            say(f"{name}: precision {precision.name} ({precision.reason})")
        return precision


def small_work(
    pairs: Pairs, sides: tuple[Side, Side], learning: tuple[Learning, Learning], size: int = 32
) -> Callable[[], Tensor]:
    """A function that embeds one small batch with both towers in evaluation mode, for timing them."""

    @cache
    def inputs() -> list[Any]:
        rows = pairs.draw(np.random.default_rng(0))[:size]
        prepared = [side.prepare(rows[:, column], 0) for column, side in enumerate(sides)]
        keep = np.asarray([i for i in range(len(rows)) if not any(i in wrong for _, wrong in prepared)])
        return [side.collate(samples, keep) for side, (samples, _) in zip(sides, prepared, strict=True)]

    def work() -> Tensor:
        for own in learning:
            own.train_mode(False)
        anchor_BD, modality_BD = (side.embed(x) for side, x in zip(sides, inputs(), strict=True))
        return (anchor_BD * modality_BD).sum()

    return work

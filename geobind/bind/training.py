"""Train a stage, or several at the same time: from towers and pairs to trainer, and towers that have learnt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geobind.bind.feed.sides import Side, make_side
from geobind.bind.learn.learning import Learning
from geobind.bind.parallel.distributed import World
from geobind.bind.parallel.sharding import shard
from geobind.bind.precision import Precision, choose_precision
from geobind.bind.runs.run import Run
from geobind.bind.strand import Strand
from geobind.bind.trainer import Trainer
from geobind.bind.validation import Validator
from geobind.config import STORED, Stage
from geobind.data.items import Items
from geobind.data.pairs import Pairs
from geobind.errors import DataError, RecipeError
from geobind.features.cache import FeatureCache, Features
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
        anchor: What of the anchor's tower learns, where another stage of a joint training has made it ready.
        label: Tells the stages of a joint training apart; see :class:`geobind.bind.strand.Strand`.
    """

    config: Stage
    towers: tuple[Tower, Tower]
    loss: Loss
    cache: FeatureCache
    run: Run
    world: World
    device: str
    dim: int
    anchor: Learning | None = None
    label: str = ""

    def __post_init__(self) -> None:
        config = self.config
        torch.manual_seed(hash_seed(config.seed, 0))  # adapters are drawn
        anchor = self.anchor or self._learning(config.train.anchor, 0)
        self.learning = anchor, self._learning(config.train.modality, 1)
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

    def strand(self, pairs: Pairs, val: Pairs | None, precision: Precision | None = None) -> tuple[Strand, Precision]:
        """Both sides over what can be read of the pairs, ready to be trained, and the arithmetic of the towers.

        Args:
            pairs: Training pairs.
            val: Validation pairs, or None.
            precision: That of the stages trained with this one; chosen here when None.
        """
        config = self.config
        pairs, sides = self._sides(pairs, training=True)
        precision = precision or self._precision(pairs, sides)
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
        strand = Strand(
            config,
            pairs,
            sides,
            self.learning,
            self.loss,
            validator,
            world=self.world,
            device=self.device,
            label=self.label,
        )
        return strand, precision

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


def train(
    trainings: Sequence[StageTraining], data: Sequence[tuple[Pairs, Pairs | None]]
) -> list[tuple[dict[str, Any], Pairs]]:
    """Train one stage, or several at the same time, from their checkpoint if there is one.

    Args:
        trainings: The stages; several have the anchor's :class:`Learning` in common. Their checkpoint is in the first
            one's folder.
        data: Training and validation pairs of each.

    Returns:
        The metrics of the last epoch, and the pairs that could be read, of each.
    """
    first, precision = trainings[0], None
    strands: list[Strand] = []
    for training, (pairs, val) in zip(trainings, data, strict=True):
        strand, precision = training.strand(pairs, val, precision)
        strands.append(strand)
    assert precision is not None  # noqa: S101 — there is at least one
    run, name, keep = first.run, first.config.name, first.config.checkpoints.keep
    trainer = Trainer(strands, precision=precision, world=first.world, device=first.device, dim=first.dim)
    if (state := run.checkpoint(name)) is not None:
        trainer.restore(state)
        say(f"{trainer.name}: resumed at epoch {trainer.at.epoch + 1}, step {trainer.at.step}")
    for strand in strands:
        run.rewind(strand.config.name, trainer.step)

    def log(values: dict[str, Any]) -> None:
        for strand in strands:
            run.log(strand.config.name, strand.own(values))
            if unreadable := trainer.unreadable_of(strand):
                run.list_unreadable(strand.config.name, unreadable)

    left = (trainer.total_steps - trainer.step) * sum(strand.batch for strand in strands)
    with track(f"bind {trainer.name}", left, "pairs") as advance:
        metrics = trainer.run(log, lambda step, state: run.save_checkpoint(name, step, state, keep), advance)
    for training in trainings:
        for own in training.learning:
            own.finish()
    return [(strand.own(metrics), strand.pairs) for strand in strands]


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

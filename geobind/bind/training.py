"""Train a stage, or several at the same time: from towers and pairs to trainer, and towers that have learnt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geobind.bind.feed.sampling import epoch_batches
from geobind.bind.feed.sides import Side, make_side
from geobind.bind.learn.learning import Learning
from geobind.bind.merging import Merging, check_agreed, merged_of
from geobind.bind.parallel.distributed import World
from geobind.bind.parallel.sharding import is_sharded, shard
from geobind.bind.precision import Precision, choose_precision
from geobind.bind.runs.run import Run
from geobind.bind.strand import Strand
from geobind.bind.teaching import check_teachable, introduce, teach
from geobind.bind.trainer import TOLD, Trainer
from geobind.bind.validation import Validator
from geobind.config import STORED, Stage
from geobind.data.items import Items
from geobind.data.pairs import Pairs
from geobind.errors import DataError, RecipeError
from geobind.features.cache import FeatureCache, Features
from geobind.features.dense import DenseFeatures
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
        anchor: What of the anchor's tower learns, where another stage that is trained with this one has made it ready.
        modality: What of the modality's tower learns, likewise.
        label: Tells stages that are trained together apart; see :class:`geobind.bind.strand.Strand`.
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
    modality: Learning | None = None
    label: str = ""

    def __post_init__(self) -> None:
        config = self.config
        check_teachable(config, self.loss, self.world)
        ready = self.anchor, self.modality
        found = [merged_of(config, n, self.towers[n], self.label) for n, own in enumerate(ready) if own is None]
        self.merged = [merged for merged in found if merged is not None]
        torch.manual_seed(hash_seed(config.seed, 0))  # adapters are drawn
        anchor = self.anchor or self._learning(config.train.anchor, 0)
        self.learning = anchor, self.modality or self._learning(config.train.modality, 1)
        if self.world.size > 1 and config.optim.parallel == "fsdp":
            if self.merged:
                raise RecipeError(f"stage {config.name!r}: merge and parallel: fsdp do not go together yet")
            for tower, learn in zip(self.towers, (config.train.anchor, config.train.modality), strict=True):
                if learn == "lora":
                    raise RecipeError(f"stage {config.name!r}: lora and parallel: fsdp do not go together yet")
                if learn not in STORED and not is_sharded(tower.encoder):
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
        views, taught = self._views(pairs, training), self._taught(pairs, training)
        unreadable = [{row: m for view in side for row, m in view.unreadable.items()} for side in views]
        unreadable[1] |= {row: m for features in taught.values() for row, m in features.unreadable.items()}
        if any(unreadable):
            self._check_unreadable(pairs, unreadable)
            pairs, _, _ = pairs.without(*unreadable)
            views, taught = self._views(pairs, training), self._taught(pairs, training)
        augment, (anchor, modality) = self.config.augment and training, self.towers
        if taught:
            introduce(self.loss, modality, pairs.b, taught, self.config.seed)
        return pairs, (
            make_side(anchor, pairs.a, views[0], augment=augment),
            make_side(modality, pairs.b, views[1], augment=augment, taught=taught),
        )

    def _taught(self, pairs: Pairs, training: bool) -> dict[str, DenseFeatures]:
        """What the loss's teachers see in the modality's items; validation takes the contrastive loss alone."""
        return teach(self.loss, pairs.b, self.cache, self.world, self.device) if training else {}

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
    trainings: Sequence[StageTraining], data: Sequence[tuple[Pairs, Pairs | None]], *, interleaved: bool = False
) -> list[tuple[dict[str, Any], Pairs]]:
    """Train one stage, or several at the same time, from their checkpoint if there is one.

    Args:
        trainings: The stages; several have the anchor's :class:`Learning` in common, and that of a tower which their
            modalities share. Their checkpoint is in the first one's folder.
        data: Training and validation pairs of each.
        interleaved: Whether a step takes the batch of one stage, or one of each.

    Returns:
        The metrics of the last epoch, and the pairs that could be read, of each.
    """
    first, precision = trainings[0], None
    check_agreed([(training.config, training.towers) for training in trainings])
    merging = Merging([merged for training in trainings for merged in training.merged])
    strands: list[Strand] = []
    for training, (pairs, val) in zip(trainings, data, strict=True):
        strand, precision = training.strand(pairs, val, precision)
        strands.append(strand)
    assert precision is not None  # noqa: S101 — there is at least one
    run, name, keep = first.run, first.config.name, first.config.checkpoints.keep
    trainer = Trainer(
        strands,
        precision=precision,
        world=first.world,
        device=first.device,
        dim=first.dim,
        interleaved=interleaved,
        merging=merging,
    )
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

    with track(f"bind {trainer.name}", trainer.pairs_left(), "pairs") as advance:
        metrics = trainer.run(log, lambda step, state: run.save_checkpoint(name, step, state, keep), advance)
    for training in trainings:
        for own in training.learning:
            own.finish()
    if merging.when_it_ends:
        merging.end_stage()
        metrics = _measured_again(strands, metrics)
    return [(strand.own(metrics), strand.pairs) for strand in strands]


def _measured_again(strands: Sequence[Strand], metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics whose validation is that of the merged weights.

    Those of the last epoch begin with ``learnt_``, unless another epoch's weights were kept.
    """
    metrics = dict(metrics)
    for strand in strands:
        strand.train_mode(False)
        for name, value in strand.validator.measure().items() if strand.validator else ():
            if f"{strand.label}{name}" in metrics and "kept_epoch" not in metrics:
                metrics[f"{strand.label}learnt_{name}"] = metrics[f"{strand.label}{name}"]
            metrics[f"{strand.label}{name}"] = value
        own = {name: metrics.get(f"{strand.label}{name}") for name in TOLD if name.startswith("val_")}
        told = ", ".join(f"{name} {value:.4g}" for name, value in own.items() if value is not None)
        say(f"{strand.config.name}, merged with the weights from before: {told or 'not validated'}")
    return metrics


def small_work(
    pairs: Pairs, sides: tuple[Side, Side], learning: tuple[Learning, Learning], size: int = 32
) -> Callable[[], Tensor]:
    """A function that embeds one small batch with both towers in evaluation mode, for timing them."""

    @cache
    def inputs() -> list[Any]:
        rows = epoch_batches(pairs, size, "shuffle", np.random.default_rng(0))[0]
        prepared = [side.prepare(rows[:, column], 0) for column, side in enumerate(sides)]
        keep = np.asarray([i for i in range(len(rows)) if not any(i in wrong for _, wrong in prepared)])
        return [side.collate(samples, keep) for side, (samples, _) in zip(sides, prepared, strict=True)]

    def work() -> Tensor:
        for own in learning:
            own.train_mode(False)
        anchor_BD, modality_BD = (side.embed(x) for side, x in zip(sides, inputs(), strict=True))
        return (anchor_BD * modality_BD).sum()

    return work

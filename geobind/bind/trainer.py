"""The one loop: every stage of every modality is trained here.

All that is random in a step follows from the seed and the step's number, so that an interrupted run
resumes to the bit. Shapes: P pairs, B batch, D dimensions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics.aggregation import MeanMetric

from geobind.bind.interrupt import Interrupted, stop_requests
from geobind.bind.precision import Precision
from geobind.bind.sides import Side
from geobind.config import Optim
from geobind.data.pairs import Pairs
from geobind.errors import GeobindError
from geobind.loss import Loss
from geobind.space.embed import hash_seed

Log = Callable[[dict[str, Any]], None]
Save = Callable[[dict[str, Any]], None]
CHECKPOINT_EVERY_S = 60.0
"""Seconds between checkpoints; short stages end sooner and write one when they are interrupted only."""


@dataclass(frozen=True)
class Example:
    """Pairs and the two sides that turn their rows into embeddings."""

    pairs: Pairs
    anchor: Side
    modality: Side

    def small_work(self, size: int = 32) -> Callable[[], Tensor]:
        """A function that embeds one small batch with both towers in evaluation mode, for timing them."""
        sides = (self.anchor, self.modality)

        @cache
        def inputs() -> list[Any]:
            rows = self.pairs.draw(np.random.default_rng(0))[:size]
            return [next(iter(side.inputs([rows[:, column]], 0))) for column, side in enumerate(sides)]

        def work() -> Tensor:
            for side in sides:
                side.train(False)
            anchor_BD, modality_BD = (side.embed(x) for side, x in zip(sides, inputs(), strict=True))
            return (anchor_BD * modality_BD).sum()

        return work


@dataclass
class Position:
    """Where a stage is: the next step is ``step`` of ``epoch``."""

    epoch: int = 0
    step: int = 0


class Trainer:
    """Trains what the two sides let learn, against one loss.

    Args:
        train: Training pairs and sides.
        val: The same for validation, or None.
        loss: The loss; its parameters learn too.
        optim: Optimiser settings.
        seed: Seed of batches, views, augmentation and dropout.
        precision: Arithmetic of the towers.
        device: Where towers and loss live.
    """

    def __init__(
        self,
        train: Example,
        val: Example | None,
        loss: Loss,
        optim: Optim,
        *,
        seed: int,
        precision: Precision,
        device: str,
    ) -> None:
        self.example, self.val, self.loss, self.optim = train, val, loss, optim
        self.seed, self.precision, self.device = seed, precision, device
        self.batches_per_epoch = max(1, len(train.pairs) // optim.batch_size)
        self.parts = {
            f"{name}.{part}": module
            for name, side in (("anchor", train.anchor), ("modality", train.modality))
            for part, module in side.learning().items()
        } | {"loss": loss}
        self.parameters = [p for part in self.parts.values() for p in part.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self._groups(), betas=optim.betas, eps=optim.eps)
        total = optim.epochs * self.batches_per_epoch
        self.scheduler = LambdaLR(self.optimizer, lambda step: warmup_cosine(step, total, int(optim.warmup * total)))
        self.at = Position()
        self.metrics: dict[str, Any] = {}

    def _groups(self) -> list[dict[str, Any]]:
        """Per part: matrices with weight decay, vectors and scalars without."""
        groups = []
        for name, part in self.parts.items():
            lr = (self.optim.encoder_lr or self.optim.lr) if name.endswith(".encoder") else self.optim.lr
            learning = [p for p in part.parameters() if p.requires_grad]
            matrices = [p for p in learning if p.ndim > 1]
            vectors = [p for p in learning if p.ndim <= 1]
            groups.append({"params": matrices, "lr": lr, "weight_decay": self.optim.weight_decay})
            groups.append({"params": vectors, "lr": lr, "weight_decay": 0.0})
        return [group for group in groups if group["params"]]

    def run(self, log: Log, save: Save, advance: Callable[[int], object] = lambda n: None) -> dict[str, Any]:
        """Train from where the stage is to its end.

        Args:
            log: Called with the metrics of each epoch.
            save: Called with the state now and then, and when the run is interrupted.
            advance: Called with the number of pairs done, for progress bars.

        Returns:
            The metrics of the last epoch.

        Raises:
            Interrupted: After SIGINT or SIGTERM, once the step at hand is done and the state is saved.
        """
        saved = time.monotonic()
        with stop_requests() as stop_asked:
            while self.at.epoch < self.optim.epochs:
                metrics = self._epoch(advance, stop_asked)
                if self.at.step == self.batches_per_epoch:
                    self.metrics = metrics
                    log(metrics)
                    self.at = Position(self.at.epoch + 1)
                if stop_asked():
                    save(self.state())
                    raise Interrupted
                if time.monotonic() - saved > CHECKPOINT_EVERY_S and self.at.epoch < self.optim.epochs:
                    save(self.state())
                    saved = time.monotonic()
        return self.metrics

    def _epoch(self, advance: Callable[[int], object], stop_asked: Callable[[], bool]) -> dict[str, Any]:
        start = time.perf_counter()
        epoch, first = self.at.epoch, self.at.step
        mean_loss, mean_norm = MeanMetric().to(self.device), MeanMetric().to(self.device)
        for side in (self.example.anchor, self.example.modality):
            side.train()
        self.loss.train()
        done = 0
        for rows, anchor, modality in self._inputs(epoch, first):
            torch.manual_seed(hash_seed(self.seed, epoch, self.at.step, 1))  # dropout
            positives = torch.from_numpy(self.example.pairs.positives(rows)).to(self.device)
            value = self._loss(self.example, anchor, modality, positives)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(value)
            norm = nn.utils.clip_grad_norm_(self.parameters, self.optim.grad_clip or math.inf)
            self.optimizer.step()
            self.scheduler.step()
            self.loss.clamp()
            self.at.step += 1
            mean_loss.update(value.detach())
            mean_norm.update(norm)
            done += len(rows)
            advance(len(rows))
            if stop_asked():
                break
        seconds = time.perf_counter() - start
        metrics = {
            "epoch": epoch + 1,
            "loss": mean_loss.compute().item(),
            "grad_norm": mean_norm.compute().item(),
            "lr": self.scheduler.get_last_lr()[0],
            **self.loss.report(),
            "pairs_per_s": done / seconds,
            "seconds": seconds,
        }
        if self.val is not None and self.at.step == self.batches_per_epoch:
            metrics["val_loss"] = self._validate(self.val)
        return metrics

    def _batches(self, epoch: int) -> list[NDArray[np.int64]]:
        """The epoch's batches of pairs ``[B, 2]``; the incomplete last one is left out unless it is the only one."""
        drawn = self.example.pairs.draw(np.random.default_rng((self.seed, epoch)))
        size = self.optim.batch_size
        return [drawn[i * size : (i + 1) * size] for i in range(self.batches_per_epoch)]

    def _inputs(self, epoch: int, first: int) -> Iterator[tuple[NDArray[np.int64], Any, Any]]:
        batches = self._batches(epoch)
        # Views are drawn batch by batch: a resumed epoch draws the skipped ones too, and drops them.
        sides = [
            side.inputs([rows[:, column] for rows in batches], hash_seed(self.seed, epoch, column))
            for column, side in enumerate((self.example.anchor, self.example.modality))
        ]
        for step, (rows, anchor, modality) in enumerate(zip(batches, *sides, strict=True)):
            if step >= first:
                yield rows, anchor, modality

    def _loss(self, example: Example, anchor: Any, modality: Any, positives: Tensor) -> Tensor:
        with self.precision.autocast(self.device):
            anchor_BD, modality_BD = example.anchor.embed(anchor), example.modality.embed(modality)
        value: Tensor = self.loss(anchor_BD.float(), modality_BD.float(), positives)
        if not torch.isfinite(value):
            where = f"epoch {self.at.epoch + 1}, step {self.at.step}"
            raise GeobindError(f"the loss is {value.item()}", where=where, fix="Lower optim.lr, or use precision fp32.")
        return value

    @torch.inference_mode()
    def _validate(self, val: Example) -> float:
        """Mean loss over the whole validation split, in batches as in training, the same pairs every time."""
        for side in (val.anchor, val.modality):
            side.train(False)
        self.loss.eval()
        rows = val.pairs.draw(np.random.default_rng(0))
        batches = [rows[start : start + self.optim.batch_size] for start in range(0, len(rows), self.optim.batch_size)]
        inputs = zip(
            batches,
            val.anchor.inputs([b[:, 0] for b in batches], 0),
            val.modality.inputs([b[:, 1] for b in batches], 0),
            strict=True,
        )
        total = 0.0
        for batch, anchor, modality in inputs:
            positives = torch.from_numpy(val.pairs.positives(batch)).to(self.device)
            total += self._loss(val, anchor, modality, positives).item() * len(batch)
        return total / len(rows)

    # -- checkpoints ------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs: tensors and plain values, loadable with ``weights_only=True``."""
        return {
            "at": asdict(self.at),
            "metrics": self.metrics,
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
            "optimizer": self.optimizer.state_dict(),
            "scheduler": {"last_epoch": self.scheduler.last_epoch},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state`."""
        for name, part in self.parts.items():
            part.load_state_dict(state["parts"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.last_epoch = state["scheduler"]["last_epoch"]
        self.scheduler._last_lr = [group["lr"] for group in self.optimizer.param_groups]
        self.at = Position(**state["at"])
        self.metrics = state["metrics"]


def warmup_cosine(step: int, total: int, warmup: int) -> float:
    """Share of the peak learning rate at a step: linear rise, then a half cosine to zero (SGDR, arXiv 1608.03983)."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))

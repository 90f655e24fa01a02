"""The one loop: every stage of every modality is trained here.

All that is random in a step follows from the seed and the step's number, so that an interrupted run
resumes to the bit. Shapes: P pairs, B batch, D dimensions.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from geobind.bind.feed.loader import Batches, Prepared, load
from geobind.bind.feed.sampling import epoch_batches, false_negatives
from geobind.bind.feed.sides import Side
from geobind.bind.gradients import accumulate
from geobind.bind.interrupt import Interrupted, stop_requests
from geobind.bind.learn.ema import Ema
from geobind.bind.learn.learning import Learning, parameter_groups
from geobind.bind.learn.schedules import lr_factor
from geobind.bind.parallel.distributed import World
from geobind.bind.parallel.sharding import clip_gradients, full_state, load_optimizer, load_parts, reshard, weights
from geobind.bind.phases import Phases, sentence
from geobind.bind.precision import Precision
from geobind.bind.validation import Validator, better, edges_of, positives_of
from geobind.config import Stage
from geobind.data.pairs import Pairs
from geobind.errors import DataError, GeobindError
from geobind.loss import Loss
from geobind.progress import say
from geobind.space.embed import hash_seed

Log = Callable[[dict[str, Any]], None]
Save = Callable[[int, dict[str, Any]], None]
TOLD = ("loss", "val_loss", "val_recall@10", "val_median_rank", "unreadable")
"""What of an epoch's metrics its line tells; all of them are logged."""
AVERAGED = ("loss", "grad_norm", "false_negatives")
"""What an epoch reports the mean over its steps of."""
CHECKED_EVERY = 20
"""Steps between looks at whether the loss is finite on a GPU, which must be waited for; a CPU is asked every step."""


@dataclass
class Position:
    """Where a stage is: the next step is ``step`` of ``epoch``."""

    epoch: int = 0
    step: int = 0


@dataclass
class Best:
    """The best validated epoch so far."""

    epoch: int = 0
    value: float | None = None
    parts: dict[str, Any] = field(default_factory=dict)
    """Weights of that epoch, where the stage keeps the best."""
    waited: int = 0
    """Validations since."""


class Trainer:
    """Trains what the two sides let learn, against one loss.

    Args:
        config: The stage.
        pairs: Training pairs.
        sides: Anchor and modality over their items.
        learning: What of either tower learns.
        loss: The loss; its parameters learn too.
        validator: Measures the validation split, or None.
        precision: Arithmetic of the towers.
        world: The processes that share each batch.
        device: Where towers and loss live.
        dim: Dimensions D of the space.
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
        precision: Precision,
        world: World,
        device: str,
        dim: int,
    ) -> None:
        self.config, self.pairs, self.sides, self.learning = config, pairs, sides, learning
        self.loss, self.validator = loss, validator
        self.precision, self.world, self.device, self.dim = precision, world, device, dim
        optim = config.optim
        self.batches_per_epoch = max(1, len(pairs) // optim.batch_size)
        self.total_steps = optim.epochs * self.batches_per_epoch
        share = world.largest_share(min(optim.batch_size, len(pairs)))
        self.chunks = math.ceil(share / (optim.micro_batch or share))
        for own in learning:
            reshard(own.tower)
        named = zip(("anchor", "modality"), learning, strict=True)
        self.parts = {f"{side}.{part}": module for side, own in named for part, module in own.parts().items()}
        self.parts["loss"] = loss
        self.parameters = [p for part in self.parts.values() for p in part.parameters() if p.requires_grad]
        groups = parameter_groups(self.parts, optim)
        self.optimizer = torch.optim.AdamW(groups, lr=optim.lr, betas=optim.betas, eps=optim.eps, fused=True)
        self.scheduler = LambdaLR(self.optimizer, lr_factor(optim, self.total_steps))
        self.ema = Ema(self.parts, optim.ema) if optim.ema is not None else None
        self.edges = edges_of(pairs, device)
        self.phases = Phases(device)
        self.sums = torch.zeros(len(AVERAGED), dtype=torch.float64, device=device)
        self.at = Position()
        self.best = Best()
        self.metrics: dict[str, Any] = {}
        self.unreadable: dict[tuple[int, int], str] = {}

    @property
    def step(self) -> int:
        """Steps done since the stage began."""
        return self.at.epoch * self.batches_per_epoch + self.at.step

    # -- the loop ---------------------------------------------------------------------------------

    def run(self, log: Log, save: Save, advance: Callable[[int], object] = lambda n: None) -> dict[str, Any]:
        """Train from where the stage is to its end.

        Args:
            log: Called with the metrics of each epoch.
            save: Called with the number of steps done and the state: by the policy, and when the run is to stop.
            advance: Called with the number of pairs done, for progress bars.

        Returns:
            The metrics of the last epoch, with ``kept_epoch`` where an earlier one's weights are kept.

        Raises:
            Interrupted: After SIGINT or SIGTERM, once the step at hand is done and the state is saved.
            GeobindError: A loss that is not finite (the last checkpoint is left as it is), too many unreadable items
                or a worker that died (the state is saved first).
        """
        policy = self.config.checkpoints
        saved_at, saved_step = time.monotonic(), self.step
        with stop_requests() as stop_asked:
            while self.at.epoch < self.config.optim.epochs and not self._waited_enough():
                start, done = time.perf_counter(), 0
                for prepared in self._prepared(save):
                    done += self._train(prepared)
                    advance(len(self.batches[self.at.step - 1]))
                    if self.at.step == self.batches_per_epoch:
                        self._end_epoch(log, done, time.perf_counter() - start)
                    if policy.every_steps is None:
                        due = time.monotonic() - saved_at >= policy.every_seconds
                    else:
                        due = self.step - saved_step >= policy.every_steps
                    stop, due = self.world.any(stop_asked(), due and self.step < self.total_steps)
                    if stop or due:
                        self._check_finite()
                        with self.phases("checkpoint"):
                            save(self.step, self.state())
                        saved_at, saved_step = time.monotonic(), self.step
                    if stop:
                        raise Interrupted
        return self._finish()

    def _prepared(self, save: Save) -> Iterator[Prepared]:
        """The batches that are left of the epoch, this process's share of each; waiting for them counts as data."""
        for own in self.learning:
            own.train_mode(True)
        self.loss.train()
        epoch = self.at.epoch
        rng = np.random.default_rng((self.config.seed, epoch))
        self.batches = epoch_batches(self.pairs, self.config.optim.batch_size, self.config.sampling, rng)
        shares = [rows[self.world.share(len(rows))] for rows in self.batches]
        batches = Batches(self.sides, shares, self.chunks, hash_seed(self.config.seed, epoch))
        ahead = load(batches, first=self.at.step, workers=self.config.workers)
        try:
            for _ in range(self.at.step, self.batches_per_epoch):
                with self.phases("data"):
                    prepared = self._next(ahead, save)
                yield prepared
        finally:
            ahead.close()

    def _next(self, ahead: Iterator[Prepared], save: Save) -> Prepared:
        """The next batch; when there is none to be had, the state is saved before the run ends."""
        try:
            prepared = next(ahead)
            self._note_unreadable(prepared)
        except GeobindError:
            if self.world.size == 1:  # of several processes, not all are between two steps
                save(self.step, self.state())
            raise
        return prepared

    def _train(self, prepared: Prepared) -> int:
        """One step; returns its number of pairs."""
        rows = self.batches[self.at.step]
        if not len(prepared.rows) and self.world.size == 1:  # not one of them could be read
            self.at.step += 1
            return len(rows)
        self.optimizer.zero_grad(set_to_none=True)
        value = self.gradients(prepared)
        with self.phases("optimiser"):
            norm = clip_gradients(self.parameters, self.config.optim.grad_clip)
            self.sums += torch.stack(
                [value.double(), norm.double(), self.sums.new_tensor(false_negatives(self.pairs, rows))]
            )
            if self.device == "cpu" or self.step % CHECKED_EVERY == 0:
                self._check_finite()
            self.optimizer.step()
            self.scheduler.step()
            self.loss.clamp()
            if self.ema is not None:
                self.ema.update()
        self.at.step += 1
        return len(rows)

    def gradients(self, prepared: Prepared) -> Tensor:
        """Add the whole batch's gradient to all that learns, on every rank; returns the loss."""
        value = accumulate(
            self.sides,
            self.loss,
            prepared.chunks,
            positives_of(self.pairs, prepared.rows, self.edges, self.device),
            seed=hash_seed(self.config.seed, self.at.epoch, self.at.step, 1),
            dim=self.dim,
            precision=self.precision,
            world=self.world,
            phases=self.phases,
            device=self.device,
        )
        with self.phases("backward"):
            self.world.sum_gradients(self.parameters)
        return value

    def _check_finite(self) -> None:
        """Raises GeobindError when a loss of this epoch was not finite; nothing is saved then."""
        if not math.isfinite(total := self.sums[0].item()):
            raise GeobindError(
                f"the loss is {total}",
                where=f"stage {self.config.name!r}, epoch {self.at.epoch + 1}, step {self.at.step}",
                fix="Lower optim.lr, or use precision fp32. The last checkpoint is from before it.",
            )

    def _note_unreadable(self, prepared: Prepared) -> None:
        """Count items that cannot be read; each is told once, and too many end the run."""
        for side, row, message in prepared.unreadable:
            if (side, row) not in self.unreadable:
                self.unreadable[side, row] = message
                share = sum(s == side for s, _ in self.unreadable) / len(self.sides[side].items)
                if share > self.config.max_unreadable:
                    raise DataError(
                        f"{message} That is {share:.1%} of the items, more than max_unreadable",
                        where=f"stage {self.config.name!r}, {self.sides[side].items.modality}",
                    )
                say(f"left out: {message}")

    # -- the end of an epoch ----------------------------------------------------------------------

    def _end_epoch(self, log: Log, pairs: int, seconds: float) -> None:
        self._check_finite()
        epoch = self.at.epoch + 1
        metrics: dict[str, Any] = {
            "epoch": epoch,
            "step": self.step,
            **dict(zip(AVERAGED, (self.sums / self.batches_per_epoch).tolist(), strict=True)),
            "lr": self.scheduler.get_last_lr()[0],
            **self.loss.report(),
            "pairs_per_s": pairs / seconds,
            "seconds": seconds,
        }
        self.sums.zero_()
        if self.validator is not None and (
            epoch == self.config.optim.epochs or epoch % self.config.validation.every == 0
        ):
            with self.phases("validation"):
                metrics |= self._validate(self.validator, epoch)
        if unreadable := self.world.union(self.unreadable):
            metrics["unreadable"] = len(unreadable)
        spent = self.phases.report()
        self.metrics = metrics | spent
        self.at = Position(epoch)
        log(self.metrics)
        shown = {name: metrics[name] for name in TOLD if name in metrics}
        total = seconds + spent.get("time_validation", 0.0)
        say(
            f"{self.config.name} {epoch}/{self.config.optim.epochs}: "
            + ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
            + f"; {total:.1f} s: {sentence(spent, total)}"
        )

    def _validate(self, validator: Validator, epoch: int) -> dict[str, float]:
        self.world.share_buffers(self.parts.values())
        for own in self.learning:
            own.train_mode(False)
        with self.ema.applied() if self.ema is not None else nullcontext():
            measured = validator.measure()
            metric = self.config.validation.metric
            value = measured[f"val_{metric}"]
            if better(metric, value, self.best.value):
                keep = self.config.validation.keep == "best"
                self.best = Best(epoch, value, copy.deepcopy(self._weights()) if keep else {})
            else:
                self.best.waited += 1
        for own in self.learning:
            own.train_mode(True)
        return measured

    def _waited_enough(self) -> bool:
        patience = self.config.validation.patience
        return patience is not None and self.best.waited >= patience

    def _finish(self) -> dict[str, Any]:
        """Leave the weights that the stage shall end with in the towers."""
        if self._waited_enough():
            metric = self.config.validation.metric
            say(f"{self.config.name}: no better {metric} since epoch {self.best.epoch}; ended early")
        if self.best.parts:
            load_parts(self.parts, self.best.parts)
            self.metrics = {**self.metrics, "kept_epoch": self.best.epoch}
        elif self.ema is not None:
            self.ema.apply()
        return self.metrics

    # -- checkpoints ------------------------------------------------------------------------------

    def _weights(self) -> dict[str, Any]:
        return {name: weights(part) for name, part in self.parts.items()}

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs: tensors and plain values, loadable with ``weights_only=True``."""
        return {
            "at": asdict(self.at),
            "metrics": self.metrics,
            "parts": self._weights(),
            "optimizer": full_state(self.optimizer.state_dict()),
            "scheduler": {"last_epoch": self.scheduler.last_epoch},
            "ema": None if self.ema is None else full_state(self.ema.state_dict()),
            "best": vars(self.best),
            "sums": self.sums,
            "unreadable": [(*at, message) for at, message in self.world.union(self.unreadable).items()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state`."""
        load_parts(self.parts, state["parts"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.scheduler.last_epoch = state["scheduler"]["last_epoch"]
        self.scheduler._last_lr = [group["lr"] for group in self.optimizer.param_groups]
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.best = Best(**state["best"])
        self.sums.copy_(state["sums"])
        self.unreadable = {(side, row): message for side, row, message in state["unreadable"]}
        self.at = Position(**state["at"])
        self.metrics = state["metrics"]

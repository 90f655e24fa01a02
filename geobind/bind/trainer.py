"""The one loop: every stage of every modality is trained here, one after the other or several at the same time.

All that is random in a step follows from the seed and the step's number, so that an interrupted run
resumes to the bit. Shapes: B batch, D dimensions.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from geobind.bind.feed.loader import Prepared
from geobind.bind.feed.sampling import false_negatives
from geobind.bind.feed.sides import Rows
from geobind.bind.gradients import accumulate
from geobind.bind.interrupt import Interrupted, stop_requests
from geobind.bind.learn.ema import Ema
from geobind.bind.learn.learning import parameter_groups
from geobind.bind.learn.schedules import lr_factor
from geobind.bind.merging import Merging
from geobind.bind.parallel.distributed import World
from geobind.bind.parallel.sharding import clip_gradients, full_state, load_optimizer, load_parts, reshard, weights
from geobind.bind.phases import Phases, sentence
from geobind.bind.precision import Precision
from geobind.bind.strand import Strand, mixed
from geobind.bind.validation import better, positives_of
from geobind.errors import DataError, GeobindError
from geobind.progress import say
from geobind.space.embed import hash_seed

Log = Callable[[dict[str, Any]], None]
Save = Callable[[int, dict[str, Any]], None]
Drawn = tuple[Rows, Prepared]
"""A strand's pairs of one step ``[B, 2]``, and this process's share of them, ready to be embedded."""
TOLD = ("loss", "item_loss", "val_loss", "val_recall@10", "val_median_rank", "unreadable")
"""What of an epoch's metrics its line tells; all of them are logged."""
AVERAGED = ("loss", "grad_norm", "false_negatives")
"""What an epoch reports the mean over its steps of; of several strands, the sums of their losses and counts."""
OWN = ("loss", "false_negatives")
"""What of it each of several strands has for itself as well: the mean over its own steps."""
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
    """Trains what the sides of its strands let learn, against the sum of their losses.

    An epoch is as many steps as the strand with the most batches has, the first of such; the others begin anew
    whenever they have met all their pairs. That strand's ``optim.epochs`` is how many epochs there are. Every part
    learns as the ``optim`` of its own stage says, over the steps of the whole; the anchor, and a tower that modalities
    share, as the first stage says that trains it. What there is only one of (gradient clipping, the moving average,
    when to save, what to keep) is the first one's.

    Interleaved, a step takes the batch of one strand. An epoch has those of all of them, each strand's as often as its
    pairs and its ``ratio`` say, evenly mixed. What has no part in a step is left as it is; the learning rate goes on.

    Args:
        strands: One, or several that share the anchor's tower, and perhaps that of their modalities.
        precision: Arithmetic of the towers.
        world: The processes that share each batch.
        device: Where towers and losses live.
        dim: Dimensions D of the space.
        interleaved: Whether a step takes the batch of one strand, or one of each.
        merging: What becomes of the weights after an epoch; nothing when None.
    """

    def __init__(
        self,
        strands: Sequence[Strand],
        *,
        precision: Precision,
        world: World,
        device: str,
        dim: int,
        interleaved: bool = False,
        merging: Merging | None = None,
    ) -> None:
        self.strands, self.config = tuple(strands), strands[0].config
        self.precision, self.world, self.device, self.dim = precision, world, device, dim
        self.name = " + ".join(strand.config.name for strand in strands)
        longest = max(strands, key=lambda strand: strand.batches_per_epoch)
        self.epochs, self.interleaved = longest.config.optim.epochs, interleaved
        self.turns = [s.turns_per_epoch if interleaved else longest.batches_per_epoch for s in strands]
        """Steps of each strand in an epoch."""
        self.batches_per_epoch = sum(self.turns) if interleaved else longest.batches_per_epoch
        self.total_steps = self.epochs * self.batches_per_epoch
        self.parts: dict[str, nn.Module] = {}
        groups: list[dict[str, Any]] = []
        factors: list[Callable[[int], float]] = []
        for strand in strands:
            for own in strand.learning:
                reshard(own.tower)
            optim = strand.config.optim
            new = {name: part for name, part in strand.parts().items() if name not in self.parts}
            self.parts |= new
            for group in parameter_groups(new, optim):
                groups.append({**group, "betas": optim.betas, "eps": optim.eps})
                factors.append(lr_factor(optim, self.total_steps))
        self.parameters = [p for part in self.parts.values() for p in part.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(groups, fused=True)
        self.scheduler = LambdaLR(self.optimizer, factors)
        self.ema = Ema(self.parts, self.config.optim.ema) if self.config.optim.ema is not None else None
        self.merging = merging or Merging()
        self.validated = [(s, s.validator) for s in strands if s.validator is not None]
        self.phases = Phases(device)
        self.averaged = dict.fromkeys(AVERAGED, self.batches_per_epoch)
        """What is averaged → over how many steps of an epoch."""
        for strand, steps in zip(strands, self.turns, strict=True):
            self.averaged |= {f"{strand.label}{name}": steps for name in OWN if strand.label}
        for strand, steps in zip(strands, self.turns, strict=True):
            if strand.loss.teachers:
                self.averaged[f"{strand.label}item_loss"] = steps
        self.sums = torch.zeros(len(self.averaged), dtype=torch.float64, device=device)
        self.at = Position()
        self.best = Best()
        self.metrics: dict[str, Any] = {}
        self.unreadable: dict[tuple[int, int], str] = {}
        """(side, row) → why; the sides of strand n are 2 n and 2 n + 1."""

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
            while self.at.epoch < self.epochs and not self._waited_enough():
                start, done = time.perf_counter(), 0
                for drawn in self._drawn(save):
                    self._train(drawn)
                    pairs = sum(len(rows) for rows, _ in filter(None, drawn))
                    done += pairs
                    advance(pairs)
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

    def _parts_of(self, epoch: int) -> list[range]:
        """Which strands have a part in each step of an epoch."""
        if not self.interleaved:
            return [range(len(self.strands))] * self.batches_per_epoch
        return [range(n, n + 1) for n in mixed(self.turns, self.config.seed, epoch)]

    def pairs_left(self) -> int:
        """Pairs until the end, of all strands; too many where some kinds of items fill no whole batch."""
        sizes = [strand.batch for strand in self.strands]
        whole = sum(size * steps for size, steps in zip(sizes, self.turns, strict=True))
        done = sum(sizes[number] for part in self._parts_of(self.at.epoch)[: self.at.step] for number in part)
        return (self.epochs - self.at.epoch) * whole - done

    def _drawn(self, save: Save) -> Iterator[list[Drawn | None]]:
        """What is left of the epoch, step by step: a batch of every strand that has a part in it, None of the others.

        Waiting for them counts as data.
        """
        for strand in self.strands:
            strand.train_mode()
            strand.loss.train()
        epoch, at = self.at.epoch, self.at.step
        parts = self._parts_of(epoch)
        with ExitStack() as stack:
            ahead = []
            for number, (strand, steps) in enumerate(zip(self.strands, self.turns, strict=True)):
                done = sum(number in part for part in parts[:at])
                ahead.append(stack.enter_context(closing(strand.batches(epoch * steps + done, steps - done))))
            for part in parts[at:]:
                with self.phases("data"):
                    drawn = self._next(ahead, part, save)
                yield drawn

    def _next(self, ahead: Sequence[Iterator[Drawn]], part: range, save: Save) -> list[Drawn | None]:
        """The next batches; when there are none to be had, the state is saved before the run ends."""
        try:
            drawn = [next(batches) if number in part else None for number, batches in enumerate(ahead)]
            for number, one in enumerate(drawn):
                if one is not None:
                    self._note_unreadable(number, one[1])
        except GeobindError:
            if self.world.size == 1:  # of several processes, not all are between two steps
                save(self.step, self.state())
            raise
        return drawn

    def _train(self, drawn: Sequence[Drawn | None]) -> None:
        """One step."""
        if not any(len(prepared.rows) for _, prepared in filter(None, drawn)) and self.world.size == 1:
            self.at.step += 1  # not one of them could be read
            return
        self.optimizer.zero_grad(set_to_none=True)
        values = self.gradients(drawn)
        with self.phases("optimiser"):
            norm = clip_gradients(self.parameters, self.config.optim.grad_clip)
            wrong = [
                self.sums.new_tensor(0 if one is None else false_negatives(strand.pairs, one[0]))
                for strand, one in zip(self.strands, drawn, strict=True)
            ]
            own = [x for strand, *pair in zip(self.strands, values, wrong, strict=True) if strand.label for x in pair]
            found = torch.stack([torch.stack(values).sum(), norm.double(), torch.stack(wrong).sum(), *own])
            self.sums[: len(found)] += found  # terms of items come after them
            if self.device == "cpu" or self.step % CHECKED_EVERY == 0:
                self._check_finite()
            self.optimizer.step()
            self.scheduler.step()
            for strand in self.strands:
                strand.loss.clamp()
            if self.ema is not None:
                self.ema.update()
        self.at.step += 1

    def gradients(self, drawn: Sequence[Drawn | None]) -> list[Tensor]:
        """Add the whole batches' gradients to all that learns, on every rank; returns each strand's loss, float64.

        A strand without a batch has no gradient, and a loss of 0.
        """
        values = []
        for number, (strand, one) in enumerate(zip(self.strands, drawn, strict=True)):
            if one is None or (not len(one[1].rows) and self.world.size == 1):
                values.append(self.sums.new_zeros(()))
                continue
            prepared = one[1]
            value = accumulate(
                strand.sides,
                strand.loss,
                prepared.chunks,
                positives_of(strand.pairs, prepared.rows, strand.edges, self.device),
                seed=hash_seed(strand.config.seed, self.at.epoch, self.at.step, 1 + number),
                dim=self.dim,
                precision=self.precision,
                world=self.world,
                phases=self.phases,
                device=self.device,
            )
            values.append(value.whole.double())
            if value.of_items is not None:
                self.sums[list(self.averaged).index(f"{strand.label}item_loss")] += value.of_items
        with self.phases("backward"):
            self.world.sum_gradients(self.parameters)
        return values

    def _check_finite(self) -> None:
        """Raises GeobindError when a loss of this epoch was not finite; nothing is saved then."""
        if not math.isfinite(total := self.sums[0].item()):
            raise GeobindError(
                f"the loss is {total}",
                where=f"stage {self.name!r}, epoch {self.at.epoch + 1}, step {self.at.step}",
                fix="Lower optim.lr, or use precision fp32. The last checkpoint is from before it.",
            )

    def _note_unreadable(self, number: int, prepared: Prepared) -> None:
        """Count items of a strand that cannot be read; each is told once, and too many end the run."""
        strand = self.strands[number]
        for side, row, message in prepared.unreadable:
            at = 2 * number + side, row
            if at not in self.unreadable:
                self.unreadable[at] = message
                share = sum(s == at[0] for s, _ in self.unreadable) / len(strand.sides[side].items)
                if share > strand.config.max_unreadable:
                    raise DataError(
                        f"{message} That is {share:.1%} of the items, more than max_unreadable",
                        where=f"stage {strand.config.name!r}, {strand.sides[side].items.modality}",
                    )
                say(f"left out: {message}")

    def unreadable_of(self, strand: Strand) -> list[str]:
        """What could not be read in one strand."""
        number = self.strands.index(strand)
        return [message for (side, _), message in self.unreadable.items() if side // 2 == number]

    # -- the end of an epoch ----------------------------------------------------------------------

    def _end_epoch(self, log: Log, pairs: int, seconds: float) -> None:
        self._check_finite()
        epoch = self.at.epoch + 1
        metrics: dict[str, Any] = {
            "epoch": epoch,
            "step": self.step,
            **{
                name: total / steps
                for (name, steps), total in zip(self.averaged.items(), self.sums.tolist(), strict=True)
            },
            "lr": self.scheduler.get_last_lr()[0],
            **{f"{s.label}{name}": value for s in self.strands for name, value in s.loss.report().items()},
            "pairs_per_s": pairs / seconds,
            "seconds": seconds,
        }
        self.sums.zero_()
        self.merging.end_epoch(self.ema)
        if self.validated and (epoch == self.epochs or epoch % self.config.validation.every == 0):
            with self.phases("validation"):
                metrics |= self._validate(epoch)
        unreadable = self.world.union(self.unreadable)
        for number, strand in enumerate(self.strands):
            if count := sum(side // 2 == number for side, _ in unreadable):
                metrics[f"{strand.label}unreadable"] = count
        spent = self.phases.report()
        self.metrics = metrics | spent
        self.at = Position(epoch)
        log(self.metrics)
        total = seconds + spent.get("time_validation", 0.0)
        told = []
        for strand in self.strands:
            own = strand.own(metrics)
            shown = ", ".join(f"{name} {own[name]:.4g}" for name in TOLD if name in own)
            told.append(f"{strand.config.name} {epoch}/{self.epochs}: {shown}")
        say(f"{' | '.join(told)}; {total:.1f} s: {sentence(spent, total)}")

    def _validate(self, epoch: int) -> dict[str, float]:
        """Each strand's figures on its validation split; the mean of their chosen metric tells the best epoch."""
        self.world.share_buffers(self.parts.values())
        for strand in self.strands:
            strand.train_mode(False)
        measured: dict[str, float] = {}
        with self.ema.applied() if self.ema is not None else nullcontext():
            for strand, validator in self.validated:
                measured |= {f"{strand.label}{name}": value for name, value in validator.measure().items()}
            metric = self.config.validation.metric
            values = [measured[f"{strand.label}val_{metric}"] for strand, _ in self.validated]
            value = math.fsum(values) / len(values)
            if better(metric, value, self.best.value):
                keep = self.config.validation.keep == "best"
                self.best = Best(epoch, value, copy.deepcopy(self._weights()) if keep else {})
            else:
                self.best.waited += 1
        for strand in self.strands:
            strand.train_mode()
        return measured

    def _waited_enough(self) -> bool:
        patience = self.config.validation.patience
        return patience is not None and self.best.waited >= patience

    def _finish(self) -> dict[str, Any]:
        """Leave the weights that the stage shall end with in the towers."""
        if self._waited_enough():
            metric = self.config.validation.metric
            say(f"{self.name}: no better {metric} since epoch {self.best.epoch}; ended early")
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
            "merging": self.merging.state_dict(),
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
        self.merging.load_state_dict(state["merging"])
        self.best = Best(**state["best"])
        self.sums.copy_(state["sums"])
        self.unreadable = {(side, row): message for side, row, message in state["unreadable"]}
        self.at = Position(**state["at"])
        self.metrics = state["metrics"]

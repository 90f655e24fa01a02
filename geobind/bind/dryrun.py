"""Say what a bind would do: towers, parameters, pairs, steps, memory. Nothing is downloaded or written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from geobind.bind.feed.sampling import batch_count
from geobind.bind.learn.learning import Learning, parameter_groups
from geobind.bind.strand import turns
from geobind.config import STORED, Learn, Stage
from geobind.data.pairs import match
from geobind.errors import GeobindError
from geobind.plan import Plan, StagePlan
from geobind.space.checkpoint import make_tower
from geobind.space.heads import Tower

FLOAT_BYTES = 4


@dataclass(frozen=True)
class StageOutline:
    """What one stage would do."""

    stage: StagePlan
    trained: int
    """Parameters that learn, both sides, adapters included."""
    frozen: int
    """Parameters that do not."""
    pairs: int | None
    """Training pairs; None where the data is not at hand."""
    steps: int | None
    """Optimiser steps; None likewise."""
    memory_mb: float
    """What is certain of the memory, in MB (10⁶ bytes): four bytes for each weight, for the gradient, AdamW's two
    moments and perhaps the moving average of each that learns, for the stored features of sides whose encoder does
    not, and for three matrices of the batch's similarities. Activations come on top."""
    trouble: str
    """Why the data cannot be read, if so."""


def outline(plan: Plan, stages: Sequence[StagePlan]) -> list[StageOutline]:
    """Build every tower with random weights, count, and ask the datasets for their pairs."""
    dim = plan.recipe.space.dim
    anchor = make_tower(plan.anchor, plan.recipe.anchor.head, dim, seed=0)
    outlines: list[StageOutline] = []
    for _, sharing in groupby(stages, key=lambda stage: stage.tower):  # a shared tower is large, and built once
        first, *others = sharing
        tower = make_tower(first.encoder, first.config.head, dim, seed=0)
        outlines += [_outline(plan, stage, anchor, tower) for stage in (first, *others)]
    return outlines


def _outline(plan: Plan, stage: StagePlan, anchor: Tower, modality: Tower) -> StageOutline:
    config = stage.config
    sides = (anchor, config.train.anchor), (modality, config.train.modality)
    trained, total = map(sum, zip(*(_count(config, tower, learn) for tower, learn in sides), strict=True))
    pairs, batches, trouble, stored = None, 0, "", 0
    try:
        found = match(stage.dataset.build(), plan.recipe.anchor.modality, config.modality, "train")
        pairs, batches = len(found), batch_count(found, config.optim.batch_size)
        rows = (len(found.a) * config.views.anchor, len(found.b) * config.views.modality)
        stored = sum(
            n * tower.encoder.embed_dim for n, (tower, learn) in zip(rows, sides, strict=True) if learn in STORED
        )
    except GeobindError as error:
        trouble = str(error)
    steps = None
    if trained == 0:
        steps = 0
    elif pairs is not None:
        interleaved = plan.recipe.training == "interleaved"
        steps = config.optim.epochs * (turns(config.ratio, batches) if interleaved else batches)
    copies = 3 if config.optim.ema is None else 4
    floats = total + copies * trained + stored + 3 * config.optim.batch_size**2
    return StageOutline(stage, trained, total - trained, pairs, steps, floats * FLOAT_BYTES / 1e6, trouble)


def _count(config: Stage, tower: Tower, learn: Learn) -> tuple[int, int]:
    """Parameters of a tower that learn, and all of them, while it is made ready for the stage."""
    optim = config.optim
    learning = Learning(tower, learn, config.lora, gradient_checkpointing=optim.gradient_checkpointing)
    try:
        groups = parameter_groups({f"tower.{name}": part for name, part in learning.parts().items()}, optim)
        trained = sum(parameter.numel() for group in groups for parameter in group["params"])
        return trained, sum(parameter.numel() for parameter in tower.parameters())
    finally:
        learning.finish()

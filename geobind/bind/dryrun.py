"""Say what a bind would do: towers, parameters, pairs, steps, memory. Nothing is downloaded or written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from geobind.config import Learn
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
    """Parameters that learn, both sides."""
    frozen: int
    """Parameters that do not."""
    pairs: int | None
    """Training pairs; None where the data is not at hand."""
    steps: int | None
    """Optimiser steps; None likewise."""
    memory_mb: float
    """Weights, gradients and AdamW's two moments, stored features and the batch's similarities, in MB (10⁶ bytes)."""
    trouble: str
    """Why the data cannot be read, if so."""


def outline(plan: Plan, stages: Sequence[StagePlan]) -> list[StageOutline]:
    """Build every tower with random weights, count, and ask the datasets for their pairs."""
    dim = plan.recipe.space.dim
    anchor = make_tower(plan.anchor, plan.recipe.anchor.head, dim, seed=0)
    return [
        _outline(plan, stage, anchor, make_tower(stage.encoder, stage.config.head, dim, seed=0)) for stage in stages
    ]


def _outline(plan: Plan, stage: StagePlan, anchor: Tower, modality: Tower) -> StageOutline:
    config = stage.config
    sides: list[tuple[Tower, Learn]] = [(anchor, config.train.anchor), (modality, config.train.modality)]
    trained = sum(_count(part) for tower, learn in sides for part in _learning(tower, learn))
    total = sum(_count(tower) for tower, _ in sides)
    pairs, trouble, stored = None, "", 0
    try:
        found = match(stage.dataset.build(), plan.recipe.anchor.modality, config.modality, "train")
        pairs = len(found)
        rows = (len(found.a) * config.views.anchor, len(found.b) * config.views.modality)
        stored = sum(n * t.encoder.embed_dim for n, (t, learn) in zip(rows, sides, strict=True) if learn != "full")
    except GeobindError as error:
        trouble = str(error)
    steps = None
    if trained == 0:
        steps = 0
    elif pairs is not None:
        steps = config.optim.epochs * max(1, pairs // config.optim.batch_size)
    floats = total + 3 * trained + stored + 3 * config.optim.batch_size**2
    return StageOutline(stage, trained, total - trained, pairs, steps, floats * FLOAT_BYTES / 1e6, trouble)


def _learning(tower: Tower, learn: Learn) -> list[nn.Module]:
    by_learn: dict[Literal["frozen", "head", "full"], list[nn.Module]] = {
        "frozen": [],
        "head": [tower.head],
        "full": [tower],
    }
    return by_learn[learn]


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())

"""Joint training: what stages must have in common to be trained at the same time, and what the anchor learns then.

Every step takes a batch of each stage; their losses are summed with equal weights, and one step of the optimiser moves
the anchor, which all of them pull at, and every modality. GeoBind itself trains in stages (arXiv 2404.11720); this is
what that choice is to be compared with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from geobind.bind.parallel.distributed import World
from geobind.config import Stage, Train
from geobind.errors import RecipeError
from geobind.plan import StagePlan

SHARED = ("optim.grad_clip", "optim.ema", "optim.precision", "validation", "checkpoints")
"""Keys of a stage that a joint training has only one of."""


def together(stages: Sequence[StagePlan], world: World) -> list[StagePlan]:
    """The stages as a joint training has them: the anchor learns in each what any of them lets learn of it.

    Stages in which nothing learns only enter their tower; a single one that learns is trained as it always is. The
    first one that trains the anchor comes first: it says how the anchor is optimised. Otherwise the order is kept.

    Raises:
        RecipeError: They do not agree in what there is only one of, two bind one modality, or there are several
            processes.
    """
    learning = [stage for stage in stages if str(stage.config.train) != "none"]
    if len(learning) < 2:
        return list(stages)
    if world.size > 1:
        raise RecipeError(f"training: joint runs in one process, not in {world.size}", fix="Start it without torchrun.")
    twice = [name for name, n in Counter(stage.config.modality for stage in learning).items() if n > 1]
    if twice:
        raise RecipeError(f"training: joint, and two stages bind {twice[0]}", fix="Bind each modality in one stage.")
    for key in SHARED:
        _agreed(learning, key)
    pulling = [stage for stage in learning if stage.trains_anchor]
    if not pulling:
        return list(stages)
    _agreed(pulling, "train.anchor")
    learn = pulling[0].config.train.anchor
    ordered = sorted(stages, key=lambda stage: stage is not pulling[0])
    return [_with_anchor(stage, learn) if stage in learning else stage for stage in ordered]


def _agreed(stages: Sequence[StagePlan], key: str) -> None:
    """Raises RecipeError where a key does not have one value in all of the stages."""
    first = stages[0].config
    for stage in stages[1:]:
        if (found := _value(stage.config, key)) != (wanted := _value(first, key)):
            raise RecipeError(
                f"training: joint has one {key} for all, but stage {first.name!r} says {wanted} and stage "
                f"{stage.config.name!r} says {found}",
                fix="Give them the same one, for instance under defaults.",
            )


def _value(config: Stage, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _with_anchor(stage: StagePlan, learn: str) -> StagePlan:
    train = Train(anchor=learn, modality=stage.config.train.modality)
    return replace(stage, config=stage.config.model_copy(update={"train": train}), trains_anchor=True)

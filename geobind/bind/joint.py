"""Joint and interleaved training: what stages must have in common to be trained at the same time, and what the anchor
learns then.

Joint, every step takes a batch of each stage; their losses are summed with equal weights, and one step of the optimiser
moves the anchor, which all of them pull at, and every modality. GeoBind itself trains in stages (arXiv 2404.11720);
this is what that choice is to be compared with. Interleaved, every step takes the batch of one stage: so an epoch mixes
modalities, as many as there are, at the price of one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from geobind.bind.parallel.distributed import World
from geobind.config import Stage, Train
from geobind.errors import RecipeError
from geobind.plan import StagePlan

SHARED = ("optim.grad_clip", "optim.ema", "optim.precision", "validation", "checkpoints")
"""Keys of a stage that a joint or interleaved training has only one of."""
INTERLEAVED = ("optim.epochs", "optim.parallel")
"""Those that an interleaved one has only one of, besides."""
TOWER = ("train.modality", "lora", "optim.gradient_checkpointing", "optim.compile")
"""Keys that stages of one tower have in common: it is made ready to learn once."""


def together(stages: Sequence[StagePlan], world: World, training: str = "joint") -> list[StagePlan]:
    """The stages as they are trained together: the anchor learns in each what any of them lets learn of it.

    Stages in which nothing learns only enter their tower; a single one that learns is trained as it always is. The
    first one that trains the anchor comes first: it says how the anchor is optimised. Otherwise the order is kept, and
    how a shared tower is optimised is said by the first of its stages.

    Args:
        stages: The stages, in the order of the recipe.
        world: The processes that share the work.
        training: ``joint`` or ``interleaved``.

    Raises:
        RecipeError: They do not agree in what there is only one of. Joint: two bind one modality by a tower of its own,
            or there are several processes.
    """
    learning = [stage for stage in stages if str(stage.config.train) != "none"]
    if len(learning) < 2:
        return list(stages)
    whole = f"training: {training}"
    if training == "joint" and world.size > 1:
        raise RecipeError(f"{whole} runs in one process, not in {world.size}", fix="Start it without torchrun.")
    for key in (*SHARED, *(INTERLEAVED if training == "interleaved" else ())):
        _agreed(learning, key, f"{whole} has one {key} for all")
    of_tower: defaultdict[str, list[StagePlan]] = defaultdict(list)
    for stage in learning:
        of_tower[stage.tower].append(stage)
    for name, sharing in of_tower.items():
        if training == "joint" and len(sharing) > 1 and sharing[0].config.tower is None:
            raise RecipeError(
                f"{whole}, and two stages bind {name}",
                fix="Bind each modality in one stage, or give both the same `tower: NAME`.",
            )
        for key in TOWER:
            _agreed(sharing, key, f"{whole} has one {key} for all stages of tower {name!r}")
    pulling = [stage for stage in learning if stage.trains_anchor]
    if not pulling:
        return list(stages)
    _agreed(pulling, "train.anchor", f"{whole} has one train.anchor for all")
    learn = pulling[0].config.train.anchor
    ordered = sorted(stages, key=lambda stage: stage is not pulling[0])
    return [_with_anchor(stage, learn) if stage in learning else stage for stage in ordered]


def _agreed(stages: Sequence[StagePlan], key: str, rule: str) -> None:
    """Raises RecipeError where a key does not have one value in all of the stages."""
    first = stages[0].config
    for stage in stages[1:]:
        if (found := _value(stage.config, key)) != (wanted := _value(first, key)):
            raise RecipeError(
                f"{rule}, but stage {first.name!r} says {wanted} and stage {stage.config.name!r} says {found}",
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

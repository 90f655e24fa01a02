"""``merge:`` of a stage: what it ends with lies between the weights before it and those it has learnt.

Progressive merging keeps what a tower could before the stage (GeoLangBind, arXiv 2503.06312). It goes over the encoder
and the head of the sides that learn; the loss keeps what it has learnt, and the optimiser its moments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geobind.bind.learn.ema import Ema
from geobind.config import STORED, Merge, Stage
from geobind.errors import RecipeError
from geobind.space.heads import Tower
from geobind.space.merge import between, warn_of_statistics

SIDES = ("anchor", "modality")


@dataclass(frozen=True)
class Merged:
    """A tower that is merged."""

    name: str
    tower: Tower
    how: Merge
    before: dict[str, Tensor]
    """The state of what learns of it, when the stage began."""


def merged_of(stage: Stage, side: int, tower: Tower, label: str = "") -> Merged | None:
    """What a stage merges of its anchor's tower (side 0) or its modality's (1), to be asked before anything learns.

    None where nothing is merged.

    Raises:
        RecipeError: Adapters cannot be merged while they learn.
    """
    how, learn = wanted(stage, side), getattr(stage.train, SIDES[side])
    if how is None:
        return None
    if how.schedule == "epoch" and learn == "lora":
        raise RecipeError(
            f"stage {stage.name!r}: lora's adapters enter the weights when the stage ends, and cannot be merged before",
            fix="Write merge.schedule: stage.",
        )
    state = {key: x for key, x in tower.state_dict().items() if learn not in STORED or key.startswith("head.")}
    if learn != "lora":  # its batch norms are frozen
        warn_of_statistics(state, how.alpha, f"{stage.name}, {SIDES[side]}")
    return Merged(
        SIDES[side] if side == 0 else f"{label}{SIDES[side]}",
        tower,
        how,
        {key: value.detach().clone() for key, value in state.items()},
    )


def wanted(stage: Stage, side: int) -> Merge | None:
    """How a stage merges one of its sides; None where it does not, or where nothing would come of it."""
    how, name = stage.merge, SIDES[side]
    if how is None or how.alpha == 1 or how.towers not in (name, "both") or getattr(stage.train, name) == "frozen":
        return None
    return how


def check_agreed(stages: Sequence[tuple[Stage, tuple[Tower, Tower]]]) -> None:
    """Refuse stages that are trained together and do not merge a tower that they share in one way.

    Raises:
        RecipeError: They do not.
    """
    first: dict[int, tuple[Stage, Merge | None]] = {}
    for stage, towers in stages:
        for side, tower in enumerate(towers):
            if getattr(stage.train, SIDES[side]) == "frozen":
                continue
            earlier, how = first.setdefault(id(tower), (stage, wanted(stage, side)))
            if (own := wanted(stage, side)) != how:
                raise RecipeError(
                    f"stages {earlier.name!r} and {stage.name!r} train one {SIDES[side]} tower together, and merge it"
                    f" in two ways: {how or 'not at all'}, and {own or 'not at all'}",
                    fix="Give them the same `merge`, for instance under defaults.",
                )


class Merging:
    """What a training merges.

    Args:
        towers: Each once.
    """

    def __init__(self, towers: Sequence[Merged] = ()) -> None:
        self.towers = towers

    @property
    def when_it_ends(self) -> bool:
        """Whether something is merged when the stage ends."""
        return any(merged.how.schedule == "stage" for merged in self.towers)

    @torch.no_grad()
    def end_stage(self) -> None:
        """Merge what is merged once. The towers are plain again: adapters are in their weights."""
        for merged in self.towers:
            if merged.how.schedule == "stage":
                state = merged.tower.state_dict()
                for key, before in merged.before.items():
                    state[key].copy_(between(before, state[key], merged.how.alpha))

    @torch.no_grad()
    def end_epoch(self, ema: Ema | None) -> None:
        """Merge what is merged after every epoch: the weights, which the next one goes on from, and their average."""
        averages = {id(live): average for live, average in zip(ema.live, ema.average, strict=True)} if ema else {}
        for merged in self.towers:
            if merged.how.schedule == "epoch":
                state = merged.tower.state_dict(keep_vars=True)
                for key, before in merged.before.items():
                    for value in (state[key], averages.get(id(state[key]))):
                        if value is not None:
                            value.copy_(between(before, value, merged.how.alpha))

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """The weights from before the stage, loadable with ``weights_only=True``.

        A run that is killed between writing the space and saying so finds the merged weights there when it goes on.
        """
        return {merged.name: merged.before for merged in self.towers}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on from a :meth:`state_dict`."""
        for merged in self.towers:
            for key, value in state[merged.name].items():
                merged.before[key].copy_(value)

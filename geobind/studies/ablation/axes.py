"""What ``geobind ablate --over`` may vary: choices with names of their own, and any key of a recipe.

Everything is laid over a *resolved* recipe, in which every stage spells out all of its keys.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

from geobind.config import Recipe, Stage
from geobind.errors import GeobindError, RecipeError, nearest
from geobind.plan import Plan, resolve
from geobind.plugins import get_plugins
from geobind.yamlfile import Document

Values = dict[str, Any]
"""A resolved recipe."""
SHORT = {"batch": "optim.batch_size", "lr": "optim.lr", "epochs": "optim.epochs"}
"""Names of keys that every stage has."""
SOURCES = ("pretrained", "checkpoint", "weights")
"""Keys by which encoders name their weights."""
NOT_VARIED = {
    "seed": "Seeds have their own option, --seeds.",
    "dataset": "Choices can only be compared on the same items.",
    **dict.fromkeys(("name", "modality", "note"), "It names things and changes nothing."),
}


@dataclass(frozen=True)
class Cell:
    """One combination of choices."""

    choices: tuple[tuple[str, str], ...]
    """(axis, choice) of what differs from the recipe; in a grid every axis has its place, in order."""
    plans: tuple[Plan, ...] = ()
    """The recipe with them, one per seed; empty when that makes no recipe."""
    reason: str = ""
    """Why it makes none."""

    @property
    def name(self) -> str:
        """``loss=siglip, batch=128``; ``the recipe`` where nothing differs."""
        return ", ".join(f"{axis}={choice}" for axis, choice in self.choices) or "the recipe"


def cells(recipe: Plan, over: Mapping[str, Sequence[str]], *, seeds: int, one_at_a_time: bool) -> list[Cell]:
    """All combinations of the choices, or the recipe and each choice alone.

    Args:
        recipe: The recipe, of the stages that are to be bound alone.
        over: Axis → choices. ``init``, ``loss``, ``temperature``, ``head``, ``batch``, ``lr``, ``epochs``; a key of
            the recipe (``training``, ``anchor.encoder.image_size``, ``stages.audio.optim.lr``); or a key of a stage,
            which is then that of all stages (``optim.weight_decay``).
        seeds: Every stage's own seed, and so many less one after it.
        one_at_a_time: Change one axis at a time.

    Returns:
        One of them per distinct recipe; a combination that makes no recipe says why.

    Raises:
        RecipeError: No such axis; a choice that makes no recipe by itself, is given twice or changes nothing.
    """
    base = recipe.resolved()
    for axis, choices in over.items():
        _check(base, axis, choices, alone_suffices=one_at_a_time)
    for axis, choices in over.items():
        _refuse_without_effect(recipe, axis, choices)
    if not one_at_a_time:
        combined = [tuple(zip(over, choices, strict=True)) for choices in product(*over.values())]
        return [_cell(recipe, base, choices, seeds) for choices in combined]
    alone = [((axis, choice),) for axis, choices in over.items() for choice in choices]
    changed = [cell for choices in alone if (cell := _cell(recipe, base, choices, seeds)).plans[0].resolved() != base]
    return [_cell(recipe, base, (), seeds), *changed]


def _check(base: Values, axis: str, choices: Sequence[str], *, alone_suffices: bool) -> None:
    first, *rest = axis.removeprefix("defaults.").split(".")
    known = {*NAMED, *SHORT, *Recipe.model_fields, *Stage.model_fields} - NOT_VARIED.keys() - {"summary", "defaults"}
    key = {"stages": rest[1:2], "anchor": rest[:1]}.get(first, [first])
    if key and key[0] in NOT_VARIED:
        raise RecipeError(f"{axis!r} is nothing to vary", where=f"--over {axis}", fix=NOT_VARIED[key[0]])
    if first not in known or (first in ("stages", "anchor", "space") and not rest):
        fix = nearest(first, known - {"stages", "anchor", "space"})
        raise RecipeError(f"there is no axis {axis!r}", where="--over", fix=f"{fix} Or any dotted key of a recipe.")
    if twice := {choice for choice in choices if choices.count(choice) > 1}:
        raise RecipeError(f"a choice is given twice: {', '.join(sorted(twice))}", where=f"--over {axis}")
    if len(choices) < (1 if alone_suffices else 2):
        raise RecipeError(
            f"axis {axis!r} has {len(choices)} choice", where="--over", fix="Name two or more, or set one with --set."
        )


def _refuse_without_effect(recipe: Plan, axis: str, choices: Sequence[str]) -> None:
    """Resolve every choice by itself, so that a wrong one is told before anything trains."""
    made: dict[str, str] = {}
    for choice in choices:
        try:
            plan = _plan(recipe, recipe.resolved(), ((axis, choice),), 0)
        except GeobindError as error:
            raise RecipeError(error.what, where=f"--over {axis}={choice}", fix=error.fix) from error
        told = json.dumps(plan.resolved(), sort_keys=True)
        if told in made:
            raise RecipeError(f"{axis}={made[told]} and {axis}={choice} are the same recipe", where="--over")
        made[told] = choice


def _cell(recipe: Plan, base: Values, choices: tuple[tuple[str, str], ...], seeds: int) -> Cell:
    try:
        return Cell(choices, tuple(_plan(recipe, base, choices, seed) for seed in range(seeds)))
    except GeobindError as error:
        return Cell(choices, reason=str(error))


def _plan(recipe: Plan, base: Values, choices: Sequence[tuple[str, str]], seed: int) -> Plan:
    document = Document(recipe.source, deepcopy(base))
    # What replaces a whole mapping comes before what changes a key of it.
    for axis, choice in sorted(choices, key=lambda pair: "." in pair[0] or pair[0] in ("init", "temperature")):
        for assignment in _assignments(axis, choice, document.values):
            document.set(assignment)
    for stage in document.values["stages"]:
        stage["seed"] += seed
    return resolve(recipe.name, document, get_plugins())


def _assignments(axis: str, choice: str, values: Values) -> list[str]:
    """``key=value`` of all that a choice changes."""
    if axis in NAMED:
        return NAMED[axis](choice, values)
    key = SHORT.get(axis, axis).removeprefix("defaults.")
    if key.split(".")[0] in Recipe.model_fields:
        return [f"{key}={choice}"]
    return [f"stages.{number}.{key}={choice}" for number in range(len(values["stages"]))]


def _loss(choice: str, values: Values) -> list[str]:
    """A type with its defaults, or the stage's own loss where it is of that type; a mapping is taken as it is."""
    if choice.startswith("{"):
        return [f"stages.{number}.loss={choice}" for number in range(len(values["stages"]))]
    other = [number for number, stage in enumerate(values["stages"]) if stage["loss"]["type"] != choice]
    return [f"stages.{number}.loss={{type: {choice}}}" for number in other]


def _temperature(choice: str, values: Values) -> list[str]:
    """A number stays fixed; ``learned`` starts from the recipe's."""
    found = []
    for number in range(len(values["stages"])):
        if choice == "learned":
            found.append(f"stages.{number}.loss.learn_temperature=true")
        else:
            found += [f"stages.{number}.loss.temperature={choice}", f"stages.{number}.loss.learn_temperature=false"]
    return found


def _head(choice: str, values: Values) -> list[str]:
    """The type of every tower's head, the anchor's too."""
    return [f"anchor.head.type={choice}", *(f"stages.{n}.head.type={choice}" for n in range(len(values["stages"])))]


def _init(choice: str, values: Values) -> list[str]:
    """Whether the anchor's encoder starts from its weights or at random."""
    if choice not in INIT:
        raise RecipeError(f"init {choice!r} is no way to start", fix=nearest(choice, INIT))
    own = values["anchor"]["encoder"]
    fields = get_plugins().encoder(values["anchor"]["modality"], own).spec.config.model_fields
    key = next((key for key in SOURCES if key in fields), None)
    if key is None:
        raise RecipeError(f"the anchor's encoder {own['type']!r} has no weights to choose", fix="Leave out init.")
    kinds = get_args(fields[key].annotation) or (fields[key].annotation,)
    if choice == "random":
        return [f"anchor.encoder.{key}={'false' if bool in kinds else 'null'}"]
    if own[key]:
        return []
    if bool not in kinds:
        raise RecipeError(f"the recipe names no {key} of the anchor's encoder", fix=f"--set anchor.encoder.{key}=…")
    return [f"anchor.encoder.{key}=true"]


INIT = ("pretrained", "random")
NAMED: dict[str, Callable[[str, Values], list[str]]] = {
    "init": _init,
    "loss": _loss,
    "temperature": _temperature,
    "head": _head,
}
"""Axis → what a choice of it changes."""

"""``geobind ablate``: what does each choice contribute? A small grid of recipes, trained and evaluated with seeds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geobind import __version__
from geobind.data.items import SPLITS, Dataset
from geobind.errors import GeobindError, RecipeError, nearest
from geobind.evaluate.findings import Finding
from geobind.evaluate.results import FORMAT, AllPairs
from geobind.files import append_line, write_atomic
from geobind.plan import Plan, load_plan
from geobind.plugins import get_plugins
from geobind.progress import say
from geobind.space.records import read_record
from geobind.studies.ablation.axes import Cell, cells
from geobind.studies.ablation.told import finding
from geobind.studies.work import bind_into, datasets_of, evaluate_space, space_in, stopwatch, working_folder

RUNS = "runs.jsonl"
"""In the working folder: a line per finished run."""
MOST = 64
"""Runs that need no further word."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One cell with one seed."""

    cell: Cell
    seed: int
    result: AllPairs | None
    """None where it failed."""
    seconds: float
    """For binding; those for features that were not stored yet are among them."""
    reason: str = ""
    """Why it failed."""


def ablate(
    recipe: str,
    over: Mapping[str, Sequence[str]],
    *,
    overrides: Sequence[str] = (),
    modalities: Sequence[str] | None = None,
    seeds: int = 2,
    split: str = "val",
    one_at_a_time: bool = False,
    workdir: Path | None = None,
    most: int | None = MOST,
) -> Finding:
    """Bind and evaluate a recipe under every combination of choices, each from nothing, with several seeds.

    All plans are resolved before anything trains. A combination that cannot be bound is listed with its reason and does
    not stop the others. Choices are compared on the validation split, so that the test split stays untouched by them.

    Args:
        recipe: A recipe by name or path.
        over: Axis → choices; see :func:`geobind.studies.ablation.axes.cells`.
        overrides: ``key=value`` laid over the recipe first.
        modalities: Bind and evaluate these alone, with the stages that they require; all when None.
        seeds: How many; each shifts every stage's own seed by one more.
        split: The split to evaluate on.
        one_at_a_time: The recipe and each choice alone, instead of all combinations.
        workdir: Where ``runs.jsonl`` keeps finished runs; those of the same recipe, data and version are not run again.
            Spaces are temporary. None to keep nothing.
        most: Runs above which it is refused; None for any number.

    Raises:
        RecipeError: No such recipe, axis or modality; a choice that makes no recipe by itself; too many runs.
        GeobindError: No run at all could be finished.
    """
    if split not in SPLITS:
        raise RecipeError(f"unknown split {split!r}", fix=nearest(split, SPLITS))
    if seeds < 1 or not over:
        raise RecipeError("an ablation needs a seed and an axis", fix="For instance --over loss=infonce,siglip.")
    plan = _restricted(load_plan(recipe, get_plugins(), list(overrides)), modalities)
    names = [plan.recipe.anchor.modality, *dict.fromkeys(stage.config.modality for stage in plan.stages)]
    made = cells(plan, over, seeds=seeds, one_at_a_time=one_at_a_time)
    runs = sum(len(cell.plans) for cell in made)
    if most is not None and runs > most:
        raise RecipeError(
            f"{len(made)} cells with {seeds} seeds are {runs} runs, more than {most}",
            fix="Name fewer choices, take --one-at-a-time, or add --yes.",
        )
    shown = [name for name in names if modalities is None or name in (names[0], *modalities)]
    datasets = datasets_of(plan)
    finished = _finished(workdir)
    trials: list[Trial] = []
    # All cells with one seed, then with the next: whoever stops early has compared them all.
    for seed in range(seeds):
        for cell in made:
            if not cell.plans:
                trials.append(Trial(cell, seed, None, 0.0, cell.reason))
                continue
            key = _key(cell.plans[seed], shown, split, datasets)
            found = finished.get(key)
            say(f"ablation {len(trials) + 1}/{len(made) * seeds}: {cell.name}, seed {seed}{' (kept)' * bool(found)}")
            if found is not None:
                trials.append(Trial(cell, seed, AllPairs.from_dict(found["all_pairs"]), found["seconds"]))
                continue
            trial = _run(cell, seed, shown, split, datasets)
            trials.append(trial)
            if trial.result is None:
                say(f"failed: {trial.reason}")
            elif workdir is not None:
                line = {"key": key, "cell": cell.name, "seed": seed, "seconds": trial.seconds}
                append_line(workdir / RUNS, json.dumps({**line, "all_pairs": trial.result.as_dict()}))
    return finding(plan, over, trials, split=split, one_at_a_time=one_at_a_time)


def _restricted(plan: Plan, modalities: Sequence[str] | None) -> Plan:
    """The plan of the stages that bind the modalities, and of those that they require."""
    if modalities is None:
        return plan
    anchor = plan.recipe.anchor.modality
    wanted = [stage for name in modalities if name != anchor for stage in plan.stages_of(name)]
    names = {stage.config.name for stage in wanted} | {name for stage in wanted for name in stage.requires}
    if not names:
        raise RecipeError(f"{anchor!r} is the anchor: nothing is bound", fix="Name another modality.")
    stages = tuple(stage for stage in plan.stages if stage.config.name in names)
    kept = plan.recipe.model_copy(update={"stages": tuple(stage.config for stage in stages)})
    return replace(plan, recipe=kept, stages=stages)


def _run(cell: Cell, seed: int, modalities: Sequence[str], split: str, datasets: Sequence[Dataset]) -> Trial:
    plan, seconds = cell.plans[seed], stopwatch()
    with working_folder(None, "ablation") as folder:
        try:
            bind_into(plan, plan.stages, folder)
            taken = seconds()
            _check_start(cell, folder)
            result = evaluate_space(space_in(folder), plan, split=split, modalities=modalities, datasets=datasets)
        except GeobindError as error:
            return Trial(cell, seed, None, seconds(), str(error))
    return Trial(cell, seed, result, taken)


def _check_start(cell: Cell, folder: Path) -> None:
    """Raises RecipeError where the anchor did not start as the choice says: an encoder may have weights of its own."""
    wanted = dict(cell.choices).get("init")
    record = read_record(space_in(folder))
    if wanted is not None and (wanted == "random") != ((found := record.towers[record.anchor].weights) == "random"):
        raise RecipeError(f"init={wanted}, but the anchor's encoder started from: {found}")


def _key(plan: Plan, modalities: Sequence[str], split: str, datasets: Sequence[Dataset]) -> str:
    """Identity of a run: all that decides its result."""
    parts = {
        "recipe": plan.resolved(),
        "modalities": list(modalities),
        "split": split,
        "data": [dataset.fingerprint for dataset in datasets],
        "geobind": __version__,
        "format": FORMAT,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _finished(workdir: Path | None) -> dict[str, dict[str, Any]]:
    """Runs of before by their keys; the half line that a killed writer left is taken away."""
    file = None if workdir is None else workdir / RUNS
    if file is None or not file.is_file():
        return {}
    whole, _, half = file.read_text(encoding="utf-8").rpartition("\n")
    if half:
        write_atomic(file, f"{whole}\n" if whole else "")
    found = [json.loads(line) for line in whole.splitlines()]
    return {values["key"]: values for values in found}

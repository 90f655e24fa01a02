"""``--retention``: before and after a stage. Is what the space held before still there, to the bit?"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from geobind.bind.binder import choose
from geobind.data.items import Dataset
from geobind.errors import GeobindError, SpaceError
from geobind.evaluate.findings import Finding
from geobind.evaluate.retrieval import all_pairs
from geobind.plan import Plan, StagePlan
from geobind.progress import say
from geobind.space.checkpoint import save_space
from geobind.space.records import SpaceRecord, read_record
from geobind.studies.retention.told import State, finding
from geobind.studies.work import bind_into, datasets_of, fresh, quiet, space_in, subject_of, working_folder


def retention(
    plan: Plan,
    space_path: Path,
    stage: str,
    *,
    split: str = "test",
    before: Path | None = None,
    workdir: Path | None = None,
) -> Finding:
    """Evaluate all pairs before and after a stage, and compare embeddings bit by bit.

    The space is copied without the modality that the stage is the first to bind (what an earlier stage has bound goes
    in as it is), and the stage is bound into the copy; the space itself is left alone.

    Args:
        plan: The recipe.
        space_path: The space; with ``before``, the state after the stage.
        stage: The stage's name.
        split: The split to evaluate on.
        before: A space folder that holds the state before the stage: then nothing is trained.
        workdir: Where a folder ``retention`` with the copy and its run is kept; a temporary one when None.

    Raises:
        RecipeError: No such stage.
        SpaceError: Nothing stands before the stage; it has trained a tower that others share; or the space lacks a
            stage that it requires.
    """
    chosen = plan.stage(stage)
    datasets = datasets_of(plan)
    if before is not None:
        was, now = (_state(path, plan, split, datasets) for path in (before, space_path))
        return finding(plan, chosen, split, was, now, f"two space folders, {before} before")
    if chosen.trains_anchor and not chosen.requires:
        raise SpaceError(
            f"stage {stage!r} is the first to train the anchor: it starts the space, and nothing stands before it",
            fix=f"Name a later one: {', '.join(s.config.name for s in plan.stages if s.requires) or 'there is none'}.",
        )
    record = read_record(space_path)
    choose(plan, record, stage=stage)  # refuses a stage whose anchor is not ready
    _require_tower_of_before(record, chosen)
    with working_folder(workdir, "retention") as folder:
        _copy_without(space_path, space_in(fresh(folder)), record, plan, chosen)
        say(f"retention: before {stage}")
        was = _state(space_in(folder), plan, split, datasets)
        bind_into(plan, [chosen], folder)
        say(f"retention: after {stage}")
        now = _state(space_in(folder), plan, split, datasets)
        return finding(plan, chosen, split, was, now, "the stage bound again into a copy")


def _require_tower_of_before(record: SpaceRecord, stage: StagePlan) -> None:
    """Refuse a stage that has trained a tower which others share: what theirs was before is not kept."""
    bound = record.towers.get(stage.config.modality)
    if bound is None or not bound.tower:
        return
    if others := [name for name, tower in record.towers.items() if tower.tower == bound.tower and tower is not bound]:
        raise SpaceError(
            f"stage {stage.config.name!r} has trained tower {bound.tower!r}, which is that of {', '.join(others)} too:"
            " the space does not hold it as it was before",
            fix="Copy the space before you bind the stage, and name the copy with --before.",
        )


def _copy_without(space: Path, copy: Path, record: SpaceRecord, plan: Plan, stage: StagePlan) -> None:
    """Copy a space, without the stage's modality unless an earlier stage has bound it."""
    name = stage.config.modality
    first = plan.stages_of(name)[0].config.name == stage.config.name
    towers = {other: tower for other, tower in record.towers.items() if not (first and other == name)}
    measurable = [other for other in towers if other not in record.stale]
    if len(measurable) < 2:
        raise SpaceError(
            f"without {name} the space holds {', '.join(measurable)} alone: there is no pair that stage"
            f" {stage.config.name!r} could harm",
            where=str(space),
            fix="Bind another modality first, or name a later stage.",
        )
    shutil.copytree(space, copy, dirs_exist_ok=True)
    save_space(copy, record.model_copy(update={"towers": towers}), {})


def _state(path: Path, plan: Plan, split: str, datasets: Sequence[Dataset]) -> State:
    """Embed and evaluate a space as it is now."""
    subject = subject_of(path, plan, split=split, datasets=datasets)
    hashes, items = {}, {}
    with quiet():
        # Embeddings first: the pairs then take theirs out of the very same tables.
        for name in subject.space.towers:
            try:
                side = subject.embedded(name)
            except GeobindError:
                continue  # why is said with the pairs that cannot be measured
            hashes[name] = hashlib.sha256(side.vectors.tobytes()).hexdigest()
            items[name] = len(side.items)
        result = all_pairs(subject)
    return State(record=subject.space.record, result=result, embeddings=hashes, items=items)

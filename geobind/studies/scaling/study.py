"""``--scaling``: modalities are added one by one. What becomes of the earlier pairs, and what does it cost?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geobind.errors import RecipeError
from geobind.evaluate.findings import Finding, Measure, Table
from geobind.evaluate.report.overview import Metric, metrics, times
from geobind.evaluate.results import AllPairs
from geobind.plan import Plan, StagePlan
from geobind.progress import say
from geobind.space.records import SpaceRecord, read_record
from geobind.studies.changes import Change, changes, largest
from geobind.studies.scaling.pictures import pictures
from geobind.studies.work import (
    bind_into,
    datasets_of,
    evaluate_space,
    folder_size_mb,
    forget_peak_memory,
    fresh,
    peak_memory_mb,
    space_in,
    stopwatch,
    working_folder,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The space after one more stage."""

    stage: str
    modality: str
    modalities: int
    """How many are bound by now, the anchor among them."""
    result: AllPairs
    """All pairs by now."""
    bind_s: float
    """Seconds for binding the stage; those for features that were not stored yet are among them."""
    evaluate_s: float
    """Seconds for evaluating all pairs by now."""
    peak_mb: float
    """Largest resident memory of the process while the stage was bound and evaluated, MB."""
    space_mb: float
    """Size of the space folder, MB."""
    record: SpaceRecord
    changes: tuple[Change, ...]
    """What became of the pairs of the step before."""
    moved: tuple[str, ...]
    """Earlier modalities, other than the stage's own, whose tower is no more what it was."""


def scaling(plan: Plan, *, workdir: Path | None = None, split: str = "test") -> Finding:
    """Bind a recipe's stages one by one into a fresh space, and evaluate all pairs after each.

    Args:
        plan: The recipe.
        workdir: Where a folder ``scaling`` with the space and the runs is kept; a temporary one when None.
        split: The split to evaluate on.

    Raises:
        RecipeError: The recipe trains all modalities at the same time.
        SpaceError: The folder holds the space of another study.
        GeobindError: What binding and evaluating raise.
    """
    if plan.recipe.training != "staged":
        raise RecipeError(
            f"recipe {plan.name!r} trains all modalities at the same time: none is added to others",
            where=plan.source,
            fix="Ask with `--set training=staged`.",
        )
    steps: list[Step] = []
    with working_folder(workdir, "scaling") as folder:
        fresh(folder)
        datasets = datasets_of(plan)
        for number, stage in enumerate(plan.stages, start=1):
            say(f"scaling {number}/{len(plan.stages)}: {stage.config.name}")
            forget_peak_memory()
            seconds = stopwatch()
            bind_into(plan, [stage], folder)
            bind_s, seconds = seconds(), stopwatch()
            result = evaluate_space(space_in(folder), plan, split=split, datasets=datasets)
            steps.append(_step(stage, space_in(folder), result, bind_s, seconds(), steps[-1] if steps else None))
    return _finding(plan, split, steps)


def _step(
    stage: StagePlan, space: Path, result: AllPairs, bind_s: float, evaluate_s: float, before: Step | None
) -> Step:
    record = read_record(space)
    towers = before.record.towers if before else {}
    return Step(
        stage=stage.config.name,
        modality=stage.config.modality,
        modalities=len(record.towers),
        result=result,
        bind_s=bind_s,
        evaluate_s=evaluate_s,
        peak_mb=peak_memory_mb(),
        space_mb=folder_size_mb(space),
        record=record,
        changes=tuple(changes(before.result, result)) if before else (),
        moved=tuple(
            name
            for name, tower in towers.items()
            if name != stage.config.modality and tower.fingerprint != record.towers[name].fingerprint
        ),
    )


def _finding(plan: Plan, split: str, steps: Sequence[Step]) -> Finding:
    last = steps[-1].result
    metric = metrics(last)[0]
    return Finding(
        name="scaling",
        title="What happens to the space as modalities are added?",
        answer=(_forgetting(steps, last.top), _cost(steps)),
        protocol={
            "recipe": plan.name,
            "stages": ", ".join(step.stage for step in steps),
            "split": split,
            "dataset": ", ".join(dict.fromkeys(pair.protocol.dataset for pair in last.results)),
            "ties": last.ties,
            "space": "bound from nothing for this study, stage by stage",
            "features": "of frozen encoders from the cache; what was not there yet is part of the binding time",
        },
        measures=tuple(_measures(steps)),
        tables=(_cost_table(steps, last.top), _quality_table(steps, metric)),
        pictures=pictures(steps, metric),
        notes=(
            "An earlier pair is one that was measured before the stage; it is measured again on the same items after"
            " it, and every figure is compared.",
            "Peak memory is the largest resident memory of the whole process, its libraries included, while a stage is"
            " bound and evaluated; where the system cannot begin a peak anew (it can on Linux), that of the process so"
            " far, which never falls.",
            *dict.fromkeys(
                f"{pair.protocol.query} ↔ {pair.protocol.gallery}: pairs by {pair.protocol.origin}"
                for pair in last.results
                if pair.protocol.query < pair.protocol.gallery
            ),
        ),
        details={"steps": [_details(step) for step in steps]},
    )


def _forgetting(steps: Sequence[Step], k: int) -> str:
    """Whether anything was forgotten, in a sentence."""
    found = [change for step in steps for change in step.changes]
    if not found:
        return "The recipe has one stage: there is no earlier pair that an addition could have harmed."
    additions = f"{len(steps) - 1} addition" + "s" * (len(steps) > 2)
    moved = [f"{step.stage} changed the {', '.join(step.moved)} tower" for step in steps if step.moved]
    lost = sum(change.after is None for change in found)
    if not moved and all(change.identical for change in found):
        return (
            f"Nothing was forgotten over {additions}: the earlier towers kept their fingerprints, and all"
            f" {len(found)} measurements of earlier pairs came out the same to the last bit (largest change 0)."
        )
    parts = [*moved] or ["the earlier towers kept their fingerprints"]
    if lost:
        parts.append(f"{lost} of {len(found)} measurements of earlier pairs are lost, for a tower went stale")
    parts.append(
        f"the largest change of R@{k} of a pair that was measured again is {100 * largest(found, f'R@{k}'):.2g} points"
    )
    return f"Over {additions}, " + "; ".join(parts) + "."


def _cost(steps: Sequence[Step]) -> str:
    first, last = steps[0], steps[-1]
    seconds = [step.bind_s for step in steps]
    return (
        f"From {first.modalities} to {last.modalities} modalities a stage took {min(seconds):.1f}"
        f" to {max(seconds):.1f} s, and the space grew from {first.space_mb:.3g} to {last.space_mb:.3g} MB; peak memory"
        f" was {first.peak_mb:,.0f} MB in the first stage and {last.peak_mb:,.0f} MB in the last."
    )


def _measures(steps: Sequence[Step]) -> list[Measure]:
    """The leading figures of all pairs after each stage; which stage that was is part of the protocol."""
    kept = {f"R@{steps[-1].result.top}", "mAP", "median rank"}
    return [
        Measure(**{**_fields(measure), "protocol": {**measure.protocol, "after": step.stage}})
        for step in steps
        for pair in step.result.results
        for measure in pair.measures()
        if measure.metric in kept
    ]


def _fields(measure: Measure) -> dict[str, Any]:
    return {name: getattr(measure, name) for name in Measure.__slots__}


def _cost_table(steps: Sequence[Step], k: int) -> Table:
    return Table(
        title="Stage by stage",
        columns=(
            "stage",
            "modalities",
            "binding s",
            "evaluating s",
            "peak memory MB",
            "space MB",
            "earlier pairs",
            "identical",
            "lost",
            f"largest change of R@{k}, points",
        ),
        rows=tuple(
            (
                step.stage,
                step.modalities,
                f"{step.bind_s:.1f}",
                f"{step.evaluate_s:.1f}",
                f"{step.peak_mb:,.0f}",
                f"{step.space_mb:.3g}",
                len(step.changes),
                sum(change.identical for change in step.changes),
                sum(change.after is None for change in step.changes),
                f"{100 * largest(step.changes, f'R@{k}'):.2g}" if step.changes else "–",
            )
            for step in steps
        ),
        note="Pairs are counted in both directions; identical ones have not one figure that differs by a bit.",
    )


def _quality_table(steps: Sequence[Step], metric: Metric) -> Table:
    """A row per direction, a column per stage."""
    names = dict.fromkeys((p.protocol.query, p.protocol.gallery) for step in steps for p in step.result.results)
    rows = []
    for query, gallery in names:
        found = [step.result.get(query, gallery) for step in steps]
        relation = next(pair.protocol.relation for pair in found if pair)
        rows.append((f"{query} → {gallery}", relation, *(times(metric.value(p)) if p else "–" for p in found)))
    return Table(
        title=f"{metric.label} after each stage",
        columns=("pair", "relation", *(step.stage for step in steps)),
        rows=tuple(rows),
        note="–: not bound yet, or stale.",
    )


def _details(step: Step) -> dict[str, Any]:
    return {
        "stage": step.stage,
        "modality": step.modality,
        "modalities": step.modalities,
        "bind_s": step.bind_s,
        "evaluate_s": step.evaluate_s,
        "peak_mb": step.peak_mb,
        "space_mb": step.space_mb,
        "fingerprints": {name: tower.fingerprint for name, tower in step.record.towers.items()},
        "stale": list(step.record.stale),
        "moved": list(step.moved),
        "lost": [change.name for change in step.changes if change.after is None],
        "differences": {change.name: change.differences for change in step.changes if not change.identical},
        "all_pairs": step.result.as_dict(),
    }

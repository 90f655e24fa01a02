"""Bind the stages of a recipe, in order or all together: choose them, refuse what is not ready, run, resume."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geobind.bind.interrupt import Interrupted
from geobind.bind.joint import together
from geobind.bind.parallel.distributed import World
from geobind.bind.runs.run import Run
from geobind.bind.stage import Binding, default_device
from geobind.errors import SpaceError
from geobind.features.cache import FeatureCache
from geobind.plan import Plan, StagePlan
from geobind.plugins import get_plugins
from geobind.progress import counted, say
from geobind.space.records import SpaceRecord


def choose(
    plan: Plan,
    record: SpaceRecord | None,
    *,
    modality: str | None = None,
    stage: str | None = None,
    stale: bool = False,
    with_required: bool = False,
) -> list[StagePlan]:
    """The stages to run: all of them, or those asked for with what they require.

    Raises:
        RecipeError: No such stage or modality in the recipe.
        SpaceError: A required stage has not been bound, and ``with_required`` is not set; or nothing is stale.
    """
    if stage is not None:
        wanted = [plan.stage(stage)]
    elif modality is not None:
        wanted = list(plan.stages_of(modality))
    elif stale:
        wanted = [s for s in plan.stages if record and s.config.modality in record.stale]
        if not wanted:
            raise SpaceError("no tower of this space is stale", fix="`geobind stages list` shows what is bound.")
    else:
        return list(plan.stages)
    ready = set(record.towers[record.anchor].stages) if record else set()
    names = {s.config.name for s in wanted}
    needed = [name for s in wanted for name in s.requires if name not in ready and name not in names]
    if needed and not with_required:
        raise SpaceError(
            f"the anchor is not ready for {', '.join(sorted(names))}: stage {needed[0]!r} comes first",
            fix=f"Run `geobind bind --stage {needed[0]}`, or add --with-required.",
        )
    return [s for s in plan.stages if s.config.name in names | set(needed)]


def bind(
    plan: Plan,
    stages: Sequence[StagePlan],
    *,
    space: Path,
    runs: Path,
    resume: bool = False,
    device: str | None = None,
    keep_features: bool = True,
    trackers: Sequence[str] = (),
) -> Run:
    """Bind the stages into the space folder: one after the other, or together as the recipe's ``training`` says.

    A stage that is the first of the recipe to train the anchor starts a new anchor; so does any bind into an
    empty folder. Towers bound to another anchor become stale.

    Args:
        plan: The recipe.
        stages: The stages to run, in order; see :func:`choose`.
        space: The space folder.
        runs: Where run folders are made.
        resume: Go on with the newest unfinished run of the same stages.
        device: ``cpu`` or ``cuda``; a GPU when there is one by default.
        keep_features: Whether features of what is frozen come from the user's cache and go there; else each is
            computed anew and none is kept.
        trackers: Names of trackers that get the metrics beside the run folder.

    Returns:
        The finished run. Under torchrun every process takes part, and the first of them writes.

    Raises:
        Interrupted: After Ctrl-C; the run can be resumed.
    """
    world = World.join()
    try:
        return _bind(plan, stages, space, runs, resume, device or default_device(), keep_features, trackers, world)
    finally:
        world.leave()


def _bind(
    plan: Plan,
    stages: Sequence[StagePlan],
    space: Path,
    runs: Path,
    resume: bool,
    device: str,
    keep_features: bool,
    trackers: Sequence[str],
    world: World,
) -> Run:
    names = [stage.config.name for stage in stages]
    settings: dict[str, Any] = {"recipe": plan.name, "resolved": plan.resolved(), "space": space, "stages": names}
    for name in trackers:
        get_plugins().tracker(name)  # an unknown one is told before anything is begun
    run = Run.unfinished(runs, **settings, writes=world.first) if resume else None
    done = set(run.state["done"]) if run else set()
    todo = [stage for stage in stages if stage.config.name not in done]
    groups = [[stage] for stage in todo]
    if plan.recipe.training != "staged" and todo:
        groups = [together(todo, world, plan.recipe.training)]
    starts_anchor = any(stage.trains_anchor and not stage.requires for stage in todo)
    cache = FeatureCache() if keep_features else _temporary_cache(world)
    fresh = starts_anchor or not (space / "space.json").is_file()
    binding = Binding(plan, space, fresh_anchor=fresh, device=device, cache=cache, world=world)
    binding.prepare(todo)
    world.barrier()  # all have read what the first one will write over
    if run is None:
        path = Run.start(runs, **settings).path if world.first else None
        run = Run.open(world.same(path), writes=world.first)  # type: ignore[arg-type]
    run.track(trackers or run.state.get("trackers", []))
    if skipped := binding.skipped():
        run.list_skipped(skipped)
        say(f"{counted(len(skipped), 'row')} skipped, listed in {run.path / 'skipped.txt'}; the first: {skipped[0]}")
    try:
        for group in groups:
            start = time.monotonic()
            metrics = binding.bind(group, run)
            seconds = time.monotonic() - start
            _done(run, {name: {**values, "stage_seconds": seconds} for name, values in metrics.items()})
            for stage in group:
                say(_summary(stage, metrics[stage.config.name], seconds))
    except Interrupted:
        run.note(status="interrupted")
        raise
    except BaseException:
        run.note(status="failed")
        raise
    run.note(status="finished")
    if binding.record and binding.record.stale:
        say(f"stale now: {', '.join(binding.record.stale)}; bind them again with `geobind bind --stale`")
    return run


def _done(run: Run, summaries: dict[str, dict[str, Any]]) -> None:
    """Record finished stages in one write: a run killed between two would train the rest of them alone."""
    first, *others = summaries
    run.state["done"] += others
    run.state["metrics"] = {**run.state.get("metrics", {}), **{name: summaries[name] for name in others}}
    run.stage_done(first, summaries[first])


def _temporary_cache(world: World) -> FeatureCache:
    """A cache for this run alone, that of the first process for all of them."""
    if world.first:
        cache = FeatureCache.temporary()
        world.same(cache.folder)
        return cache
    return FeatureCache(world.same(None))


def _summary(stage: StagePlan, metrics: dict[str, float], seconds: float) -> str:
    config = stage.config
    if not metrics:
        return f"{config.name}: {config.modality} entered as it is (nothing learns)"
    val = f", validation loss {metrics['val_loss']:.3f}" if "val_loss" in metrics else ""
    return f"{config.name}: {config.modality} bound in {seconds:.1f} s, loss {metrics['loss']:.3f}{val}"

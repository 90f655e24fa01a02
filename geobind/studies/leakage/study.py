"""``--leakage``: how much better does a space look when its test places lie among its training places?

Shapes: Q queries, P places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from geobind.builtin import ResplitConfig
from geobind.data.geo import great_circle_km
from geobind.data.items import SPLITS, Dataset
from geobind.data.resplit import Resplit
from geobind.data.splits import spatial_blocks
from geobind.errors import DataError, GeobindError
from geobind.evaluate.findings import Finding
from geobind.evaluate.results import AllPairs
from geobind.plan import Plan, StagePlan, resolve
from geobind.plugins import get_plugins
from geobind.progress import say
from geobind.studies.leakage.told import finding
from geobind.studies.work import bind_into, evaluate_space, fresh, space_in, working_folder
from geobind.yamlfile import Document

By = Literal["random", "blocks"]
SEEDS = (0, 1)
"""Each draws a split of either kind, and the initial weights."""
CHUNK = 1024
"""Places whose distances to all training places are held at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One recipe bound and evaluated under one split."""

    by: By
    seed: int
    places: dict[str, int]
    """Split → its places."""
    result: AllPairs
    """Both directions over the test split."""
    nearest_km: NDArray[np.float64]
    """``[P]`` distance of each test place to the nearest training place, km."""
    blocks: dict[str, NDArray[np.str_]]
    """Query modality → ``[Q]`` the spatial block of each query."""


def leakage(
    plan: Plan,
    *,
    modality: str | None = None,
    degrees: float = 1.0,
    seeds: Sequence[int] = SEEDS,
    workdir: Path | None = None,
) -> Finding:
    """Bind one stage of a recipe twice, on a random and on a spatial split of the very same items, and compare.

    Args:
        plan: The recipe.
        modality: What is bound to the anchor; by default ``location``, else the first that has coordinates.
        degrees: Side of the spatial blocks.
        seeds: Each draws one split of either kind and the initial weights.
        workdir: Where a folder ``leakage`` with the spaces and runs is kept; a temporary one when None.

    Raises:
        RecipeError: No stage binds that modality.
        DataError: No place with coordinates has items of both modalities, or the blocks leave a split without any.
        GeobindError: No seed; and what binding and evaluating raise.
    """
    if not seeds:
        raise GeobindError("there is no seed to draw a split with", fix="Give one or more.")
    stage, inner = _choose(plan, modality, degrees)
    anchor, other = plan.recipe.anchor.modality, stage.config.modality
    limit = _equal_sizes(inner, [_config(plan, stage, by, seed, degrees, {}) for by in get_args(By) for seed in seeds])
    trials = []
    with working_folder(workdir, "leakage") as folder:
        for seed in seeds:
            for by in get_args(By):
                say(f"leakage: {anchor} ↔ {other}, split {by}, seed {seed}")
                config = _config(plan, stage, by, seed, degrees, limit)
                own = _recipe(plan, stage, config)
                place = fresh(folder / f"{by}-{seed}")
                bind_into(own, own.stages, place)
                dataset = Resplit(inner, config)
                result = evaluate_space(space_in(place), own, split="test", datasets=[dataset])
                trials.append(_trial(by, seed, dataset, result, degrees))
    return finding(plan, stage, degrees, trials)


def _choose(plan: Plan, modality: str | None, degrees: float) -> tuple[StagePlan, Dataset]:
    """The stage to study, and its dataset."""
    if modality is not None:
        stage = plan.stages_of(modality)[0]
        inner = stage.dataset.build()
        Resplit(inner, _config(plan, stage, "blocks", 0, degrees, {}))  # raises what is wrong with it
        return stage, inner
    for stage in sorted(plan.stages, key=lambda stage: stage.config.modality != "location"):
        inner = stage.dataset.build()
        try:
            Resplit(inner, _config(plan, stage, "blocks", 0, degrees, {}))
        except DataError:
            continue
        return stage, inner
    raise DataError(
        f"no stage of recipe {plan.name!r} has items that share a place of known coordinates with the anchor",
        where=plan.source,
        fix="A spatial split takes coordinates: name the columns `lat` and `lon` of the manifest.",
    )


def _config(plan: Plan, stage: StagePlan, by: By, seed: int, degrees: float, limit: dict[str, int]) -> ResplitConfig:
    return ResplitConfig.model_validate(
        {
            "dataset": stage.dataset.as_dict(),
            "by": by,
            "degrees": degrees,
            "seed": seed,
            "modalities": (plan.recipe.anchor.modality, stage.config.modality),
            "located": True,
            "limit": limit,
        }
    )


def _equal_sizes(inner: Dataset, configs: Sequence[ResplitConfig]) -> dict[str, int]:
    """Split → what the smallest of all these splits has of it.

    Raises:
        DataError: One has no places for training or none for the test.
    """
    sizes = [Resplit(inner, config).sizes for config in configs]
    limit = {split: min(size[split] for size in sizes) for split in SPLITS}
    for split in ("train", "test"):
        if not limit[split]:
            config = next(config for config, size in zip(configs, sizes, strict=True) if not size[split])
            raise DataError(
                f"blocks of {config.degrees:g}° leave no place for the split {split!r} with seed {config.seed}",
                fix="Choose smaller blocks or another seed.",
            )
    return {split: size for split, size in limit.items() if size}


def _recipe(plan: Plan, stage: StagePlan, config: ResplitConfig) -> Plan:
    """The one stage on the dataset split anew; both sides learn at least their heads, as no stage comes before."""
    document = plan.resolved()
    values = next(values for values in document["stages"] if values["name"] == stage.config.name)
    values["dataset"] = {"type": "resplit", **config.model_dump(mode="json")}
    values["seed"] = config.seed
    values["train"] = {side: "head" if how == "frozen" else how for side, how in values["train"].items()}
    document["stages"] = [values]
    name = f"{plan.name}-{config.by}"
    return resolve(name, Document(plan.source, document), get_plugins())


def _trial(by: By, seed: int, dataset: Resplit, result: AllPairs, degrees: float) -> Trial:
    places = dataset.places
    test, train = (places.lat_lon[places.split == split] for split in ("test", "train"))
    blocks = {}
    for (query, _), ranked in result.ranked.items():
        at = np.searchsorted(places.name, ranked.queries.items.place)
        blocks[query] = spatial_blocks(places.lat_lon[at], degrees)
    return Trial(
        by=by, seed=seed, places=dataset.sizes, result=result, nearest_km=nearest_km(test, train), blocks=blocks
    )


def nearest_km(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Great-circle distance in km of each point ``[P, 2]`` (lat, lon) to the nearest of the others ``[O, 2]``: ``[P]``.

    The nearest is the one with the largest cosine, so that a chunk takes one product of matrices.
    """
    directions = [_directions(places) for places in (points, others)]
    nearest = np.empty(len(points), dtype=np.int64)
    for start in range(0, len(points), CHUNK):
        rows = slice(start, start + CHUNK)
        nearest[rows] = (directions[0][rows] @ directions[1].T).argmax(axis=1)
    return great_circle_km(points, others[nearest])


def _directions(lat_lon: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[P, 3]`` unit vectors."""
    lat, lon = np.radians(lat_lon).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)

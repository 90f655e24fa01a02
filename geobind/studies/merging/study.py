"""``geobind merge --sweep``: evaluate what lies between two spaces, alpha by alpha."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geobind.errors import RecipeError
from geobind.evaluate.results import AllPairs
from geobind.plan import Plan
from geobind.plugins import get_plugins
from geobind.progress import say
from geobind.space.merge import merge
from geobind.space.recipe import plan_of_record
from geobind.studies.merging.asked import Asked, ks_of
from geobind.studies.merging.told import finding
from geobind.studies.work import datasets_of, evaluate_space, quiet, working_folder

if TYPE_CHECKING:
    from geobind.evaluate.findings import Finding


@dataclass(frozen=True, slots=True)
class Point:
    """The space at one alpha."""

    alpha: float
    result: AllPairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The curve of figures over alpha."""

    a: Path
    """The space at alpha 0."""
    b: Path
    """The space at alpha 1."""
    towers: tuple[str, ...] | None
    """What was merged; None for all that both hold."""
    split: str
    asked: tuple[Asked, ...]
    """The figures; the first one says which alpha is best."""
    points: tuple[Point, ...]
    """By alpha, ascending."""

    def values(self, asked: Asked) -> list[float]:
        """One figure at every alpha."""
        return [asked.of(point.result).scores.named()[asked.figure] for point in self.points]

    @property
    def best(self) -> Point:
        """Where the first figure is best; of equal ones the first."""
        sign = 1 if self.asked[0].is_share else -1
        values = [sign * value for value in self.values(self.asked[0])]
        return self.points[values.index(max(values))]

    def finding(self) -> Finding:
        """In words, tables and a picture."""
        return finding(self)


def sweep(
    a: Path,
    b: Path,
    alphas: Sequence[float],
    metrics: Sequence[str],
    *,
    split: str = "val",
    towers: Sequence[str] | None = None,
    overrides: Sequence[str] = (),
) -> Sweep:
    """Merge two spaces at every alpha, and evaluate what comes out; see :func:`geobind.space.merge.merge`.

    Both spaces are left as they are; the merged ones are gone afterwards.

    Args:
        a: The space at alpha 0.
        b: The space at alpha 1.
        alphas: Shares of ``b``; two or more.
        metrics: What is measured, as ``text>rgb:R@10``; the first one says which alpha is best.
        split: Where it is measured. An alpha that is chosen on the test split has no test left.
        towers: Modalities to merge; None for all that both hold.
        overrides: ``KEY=VALUE`` over the recipe that the spaces were bound by, for instance where its data is.

    Raises:
        RecipeError: Fewer than two alphas, or a metric that is none.
        SpaceError: The spaces cannot be merged.
        GeobindError: What evaluating raises.
    """
    asked = tuple(Asked.read(text) for text in dict.fromkeys(metrics))
    if not asked:
        raise RecipeError("a sweep needs a figure to go by", fix="Write --metric 'text>rgb:R@10'.")
    shares = sorted(set(alphas))
    if len(shares) < 2:
        raise RecipeError(f"a sweep over {len(shares)} alpha has no curve", fix="Write --sweep 0,0.25,0.5,0.75,1.")
    modalities = list(dict.fromkeys(name for one in asked for name in (one.query, one.gallery)))
    points: list[Point] = []
    with working_folder(None, "merge") as folder:
        plan: Plan | None = None
        for number, alpha in enumerate(shares, start=1):
            space = folder / f"alpha-{alpha:g}"
            say(f"merge {number}/{len(shares)}: alpha {alpha:g}")
            with quiet() if points else nullcontext():  # what is to be said of the merging is said once
                record = merge(a, b, alpha, space, towers)
            if plan is None:
                plan = plan_of_record(record, "space.json", get_plugins(), overrides)
                datasets = datasets_of(plan)
            result = evaluate_space(space, plan, split=split, modalities=modalities, ks=ks_of(asked), datasets=datasets)
            for one in asked:
                one.of(result)  # refuses what is not measured before the others are
            points.append(Point(alpha, result))
            shutil.rmtree(space)
    chosen = tuple(towers) if towers is not None else None
    return Sweep(a=a, b=b, towers=chosen, split=split, asked=asked, points=tuple(points))

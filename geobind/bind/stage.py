"""Make a stage out of its plan: towers, pairs, sides; train it; write what changed into the space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from geobind import __version__
from geobind.bind.learn.learning import Learning
from geobind.bind.parallel.distributed import World
from geobind.bind.parallel.sharding import is_sharded, weights
from geobind.bind.runs.run import Run
from geobind.bind.towers import Loaded, check_frozen, check_name, check_same, draw, take
from geobind.bind.training import StageTraining, train
from geobind.data.items import Dataset
from geobind.data.pairs import Pairs, match
from geobind.errors import DataError, RecipeError
from geobind.features.cache import FeatureCache
from geobind.loss import Loss
from geobind.modality import Choice, EncoderSpec
from geobind.plan import Plan, StagePlan
from geobind.progress import say
from geobind.space.checkpoint import make_tower, save_space
from geobind.space.heads import Tower
from geobind.space.records import Bound, SpaceRecord, read_record


class Binding:
    """The towers, datasets and features of one ``bind``, shared by its stages.

    Args:
        plan: The recipe.
        space: The space folder; may not exist yet.
        fresh_anchor: Start a new anchor rather than go on with the folder's.
        device: Where training happens.
        cache: Features of what does not learn.
        world: The processes that share the work; the first of them writes.
    """

    def __init__(
        self, plan: Plan, space: Path, *, fresh_anchor: bool, device: str, cache: FeatureCache, world: World
    ) -> None:
        self.plan, self.space, self.device = plan, space, device
        self.cache, self.world = cache, world
        self.datasets: dict[str, Dataset] = {}
        self.towers: dict[str, Loaded] = {}
        self.losses: dict[str, Loss] = {}
        self.record = read_record(space) if (space / "space.json").is_file() else None
        self.fresh_anchor = self.record is None or fresh_anchor
        if self.record is not None:
            self._refuse_another_space(self.record)

    def _refuse_another_space(self, record: SpaceRecord) -> None:
        """What is bound in a folder is not overwritten by a recipe of another space."""
        recipe = self.plan.recipe
        wanted = {"anchor": recipe.anchor.modality, "dimensions": recipe.space.dim}
        found: dict[str, object] = {"anchor": record.anchor, "dimensions": record.dim}
        if not self.fresh_anchor:
            tower = record.towers[record.anchor]
            wanted |= {"anchor encoder": self.plan.anchor.as_dict(), "anchor head": recipe.anchor.head}
            found |= {"anchor encoder": tower.encoder, "anchor head": tower.head}
        for what, value in wanted.items():
            if value != found[what]:
                raise RecipeError(
                    f"the recipe says {what} {value!r}, the space in this folder has {found[what]!r}",
                    where=str(self.space),
                    fix="Bind into another folder with --space, or delete this one.",
                )

    # -- what a stage needs -----------------------------------------------------------------------

    def prepare(self, stages: list[StagePlan]) -> None:
        """Build every tower, loss and dataset of the stages first, so that nothing is missed hours later.

        Raises:
            WeightsError: Pretrained weights that are not at hand.
            DataError: A dataset that cannot be read, or holds no pairs for a stage.
            RecipeError: A frozen side with a random head, or a tower of the space that is not the recipe's.
        """
        self._prepare_anchor()
        again = {stage.config.modality for stage in stages}
        for stage in stages:
            self._prepare_modality(stage, again)
        for stage in stages:
            self.losses[stage.config.name] = loss = stage.loss.build()
            _ = loss.teachers  # with their weights
        for stage in stages:
            if str(stage.config.train) != "none":
                self.pairs(stage, "train")

    def _prepare_anchor(self) -> None:
        name = self.plan.recipe.anchor.modality
        if self.fresh_anchor:
            recipe, seed = self.plan.recipe, self.plan.stages[0].config.seed
            self.towers[name] = draw(self.plan.anchor, recipe.anchor.head, recipe.space.dim, seed)
        else:
            assert self.record is not None  # noqa: S101
            self.towers[name] = take(self.space, self.record, name)
        self.towers[name].tower.to(self.device)

    def _prepare_modality(self, stage: StagePlan, again: set[str]) -> None:
        """The stage's tower: drawn anew by the first of all its stages, else as the space has it.

        Of a shared one that is drawn anew, modalities that are not bound again keep the weights they have, as towers
        of their own: their ``bound`` is of those.
        """
        config, name = stage.config, stage.tower
        if name in self.towers:
            return
        first = next(s for s in self.plan.stages if s.tower == name)
        sharing = [record for record in self.record.towers.values() if record.name == name] if self.record else []
        check_name(stage, sharing, self.space)
        if self.record and sharing and first.config.name != config.name:
            check_same(stage, sharing[0], self.space)
            self.towers[name] = take(self.space, self.record, sharing[0].modality)
        else:
            self.towers[name] = draw(stage.encoder, config.head, self.plan.recipe.space.dim, config.seed)
            check_frozen(stage, self.towers[name])
            if left := [record.modality for record in sharing if record.modality not in again]:
                say(
                    f"tower {name!r} is drawn anew by its first stage, {config.name!r}; {', '.join(left)} keep the"
                    " weights they have, as towers of their own, until they are bound again"
                )
        self.towers[name].tower.to(self.device)

    def dataset(self, stage: StagePlan) -> Dataset:
        """The stage's dataset, built once for equal configs."""
        key = repr(stage.dataset)
        if key not in self.datasets:
            self.datasets[key] = stage.dataset.build()
        return self.datasets[key]

    def skipped(self) -> list[str]:
        """Rows the datasets left out, one line each."""
        return [line for dataset in self.datasets.values() for line in dataset.skipped()]

    def pairs(self, stage: StagePlan, split: str) -> Pairs:
        """The stage's pairs in a split; raises DataError when there are none."""
        return match(self.dataset(stage), self.plan.recipe.anchor.modality, stage.config.modality, split)

    # -- running ----------------------------------------------------------------------------------

    def bind(self, stages: Sequence[StagePlan], run: Run) -> dict[str, dict[str, Any]]:
        """Train a stage, or several at the same time, or just enter towers where nothing learns; write the space.

        Returns:
            Stage → the metrics of its last epoch; empty where nothing learns.
        """
        losses = {stage.config.name: self.losses[stage.config.name].to(self.device) for stage in stages}
        learning = [stage for stage in stages if str(stage.config.train) != "none"]
        trained = self._train(learning, losses, run) if learning else {}
        for stage in stages:
            _, pairs = trained.get(stage.config.name, ({}, None))
            self._write(stage, losses[stage.config.name], pairs)
        self.world.barrier()
        return {stage.config.name: trained.get(stage.config.name, ({}, None))[0] for stage in stages}

    def _train(
        self, stages: Sequence[StagePlan], losses: dict[str, Loss], run: Run
    ) -> dict[str, tuple[dict[str, Any], Pairs]]:
        """Stage → the metrics of its last epoch, and the pairs that could be read."""
        anchor = self.plan.recipe.anchor.modality
        trainings: list[StageTraining] = []
        ready: dict[str, Learning] = {}
        for stage in stages:
            name = stage.config.name
            trainings.append(
                StageTraining(
                    stage.config,
                    (self.towers[anchor].tower, self.towers[stage.tower].tower),
                    losses[name],
                    self.cache,
                    run,
                    self.world,
                    self.device,
                    self.plan.recipe.space.dim,
                    anchor=ready.get(anchor),
                    modality=ready.get(stage.tower),
                    label=f"{name}/" if len(stages) > 1 else "",
                )
            )
            ready |= zip((anchor, stage.tower), trainings[-1].learning, strict=True)
        trained = train(
            trainings,
            [(self.pairs(stage, "train"), self._validation(stage)) for stage in stages],
            interleaved=self.plan.recipe.training == "interleaved",
        )
        for stage in stages:
            for name, choice in ((anchor, self.plan.anchor), (stage.tower, stage.encoder)):
                if is_sharded(self.towers[name].tower):
                    self._gather(name, choice, stage)
        return {stage.config.name: found for stage, found in zip(stages, trained, strict=True)}

    def _validation(self, stage: StagePlan) -> Pairs | None:
        try:
            return self.pairs(stage, "val")
        except DataError:
            return None

    def _gather(self, name: str, choice: Choice[EncoderSpec], stage: StagePlan) -> None:
        """Put a whole tower in place of one whose weights lie with several processes."""
        head = stage.config.head if name == stage.tower else self.plan.recipe.anchor.head
        tower = make_tower(choice, head, self.plan.recipe.space.dim, seed=0)
        tower.load_state_dict(weights(self.towers[name].tower))
        self.towers[name].tower = tower.to(self.device)

    # -- writing ----------------------------------------------------------------------------------

    def _write(self, stage: StagePlan, loss: Loss, pairs: Pairs | None) -> None:
        config, anchor = stage.config, self.plan.recipe.anchor.modality
        towers = dict(self.record.towers) if self.record else {}
        changed: dict[str, Tower] = {}
        if stage.trains_anchor or self.fresh_anchor:
            trained = (*self.towers[anchor].stages, config.name) if stage.trains_anchor else ()
            self.towers[anchor].stages = trained
            head = self.plan.recipe.anchor.head
            towers[anchor] = self.towers[anchor].record(anchor, self.plan.anchor, head)
            changed[anchor] = self.towers[anchor].tower
            self.fresh_anchor = False
        loaded = self.towers[stage.tower]
        if learnt := config.train.modality != "frozen":
            loaded.stages += (config.name,)
        for name, other in towers.items():
            if other.name == stage.tower and name != config.modality:
                if loaded.drawn:
                    towers[name] = other.model_copy(update={"tower": ""})
                elif learnt:
                    towers[name] = other.model_copy(update={"stages": loaded.stages, "merged": None})
        loaded.drawn = False
        bound = Bound(
            stage=config.name,
            train=str(config.train),
            loss={**stage.loss.as_dict(), **loss.report()},
            origin=pairs.origin if pairs else "",
            pairs=len(pairs) if pairs else 0,
            data=self.dataset(stage).fingerprint if pairs else "",
        )
        record = loaded.record(config.modality, stage.encoder, config.head)
        towers[config.modality] = record.model_copy(update={"tower": config.tower or "", "bound": bound})
        changed[config.modality] = loaded.tower
        written = SpaceRecord(
            geobind=__version__,
            dim=self.plan.recipe.space.dim,
            anchor=anchor,
            towers=towers,
            recipe=self.plan.resolved(),
            recipe_name=self.plan.name,
        )
        self.record = self.world.same(save_space(self.space, written, changed) if self.world.first else written)
        for modality, name in ((anchor, anchor), (config.modality, stage.tower)):
            self.towers[name].lineage = self.record.towers[modality].lineage


def default_device() -> str:
    """A GPU when there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"

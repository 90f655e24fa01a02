"""Make a stage out of its plan: towers, pairs, sides; train it; write what changed into the space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from geobind import __version__
from geobind.bind.parallel.distributed import World
from geobind.bind.parallel.sharding import is_sharded, weights
from geobind.bind.runs.run import Run
from geobind.bind.training import StageTraining, train
from geobind.data.items import Dataset
from geobind.data.pairs import Pairs, match
from geobind.errors import DataError, RecipeError
from geobind.features.cache import FeatureCache
from geobind.loss import Loss
from geobind.modality import Choice, EncoderSpec
from geobind.plan import Plan, StagePlan
from geobind.plugins import get_plugins
from geobind.space.checkpoint import make_tower, read_tower, save_space
from geobind.space.heads import Tower
from geobind.space.records import Bound, SpaceRecord, TowerRecord, read_record


@dataclass
class Loaded:
    """A tower in memory and where its initial weights came from."""

    tower: Tower
    weights: str
    stages: tuple[str, ...] = ()


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
        """Build every tower and dataset of the stages first, so that nothing is missed hours later.

        Raises:
            WeightsError: Pretrained weights that are not at hand.
            DataError: A dataset that cannot be read, or holds no pairs for a stage.
            RecipeError: A frozen side with a random head.
        """
        self._prepare_anchor()
        for stage in stages:
            self._prepare_modality(stage)
        for stage in stages:
            if str(stage.config.train) != "none":
                self.pairs(stage, "train")

    def _prepare_anchor(self) -> None:
        name = self.plan.recipe.anchor.modality
        if self.fresh_anchor:
            head, seed = self.plan.recipe.anchor.head, self.plan.stages[0].config.seed
            tower = make_tower(self.plan.anchor, head, self.plan.recipe.space.dim, seed)
            self.towers[name] = Loaded(tower, tower.encoder.load_pretrained())
        else:
            self.towers[name] = self._from_space(name)
        self.towers[name].tower.to(self.device)

    def _prepare_modality(self, stage: StagePlan) -> None:
        config, dim = stage.config, self.plan.recipe.space.dim
        earlier = [s.config.name for s in self.plan.stages if s.config.modality == config.modality]
        if config.modality in self.towers:
            return
        if earlier[0] != config.name and self.record and config.modality in self.record.towers:
            self.towers[config.modality] = self._from_space(config.modality)  # goes on from an earlier stage
        else:
            tower = make_tower(stage.encoder, config.head, dim, config.seed)
            self.towers[config.modality] = Loaded(tower, tower.encoder.load_pretrained())
            self._refuse_random_frozen(stage)
        self.towers[config.modality].tower.to(self.device)

    def _refuse_random_frozen(self, stage: StagePlan) -> None:
        config = stage.config
        loaded = self.towers[config.modality]
        if config.train.modality == "frozen" and (config.head.type != "identity" or loaded.weights == "random"):
            raise RecipeError(
                f"stage {config.name!r} freezes a {config.modality} tower whose weights are random",
                fix="Freeze only towers with pretrained weights and `head: {type: identity}`, or let the head learn.",
            )

    def _from_space(self, modality: str) -> Loaded:
        assert self.record is not None  # noqa: S101
        record = self.record.towers[modality]
        tower = read_tower(self.space, record, self.record.dim, get_plugins())
        return Loaded(tower, record.weights, record.stages)

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
        losses: dict[str, Loss] = {stage.config.name: stage.loss.build().to(self.device) for stage in stages}
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
        for stage in stages:
            name = stage.config.name
            trainings.append(
                StageTraining(
                    stage.config,
                    (self.towers[anchor].tower, self.towers[stage.config.modality].tower),
                    losses[name],
                    self.cache,
                    run,
                    self.world,
                    self.device,
                    self.plan.recipe.space.dim,
                    anchor=trainings[0].learning[0] if trainings else None,
                    label=f"{name}/" if len(stages) > 1 else "",
                )
            )
        trained = train(trainings, [(self.pairs(stage, "train"), self._validation(stage)) for stage in stages])
        for stage in stages:
            for name, choice in ((anchor, self.plan.anchor), (stage.config.modality, stage.encoder)):
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
        head = stage.config.head if name == stage.config.modality else self.plan.recipe.anchor.head
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
            towers[anchor] = self._tower_record(anchor, self.plan.anchor, self.plan.recipe.anchor.head)
            changed[anchor] = self.towers[anchor].tower
            self.fresh_anchor = False
        self.towers[config.modality].stages += (config.name,)
        bound = Bound(
            stage=config.name,
            train=str(config.train),
            loss={**stage.loss.as_dict(), **loss.report()},
            origin=pairs.origin if pairs else "",
            pairs=len(pairs) if pairs else 0,
            data=self.dataset(stage).fingerprint if pairs else "",
        )
        record = self._tower_record(config.modality, stage.encoder, config.head)
        towers[config.modality] = record.model_copy(update={"bound": bound})
        changed[config.modality] = self.towers[config.modality].tower
        written = SpaceRecord(
            geobind=__version__,
            dim=self.plan.recipe.space.dim,
            anchor=anchor,
            towers=towers,
            recipe=self.plan.resolved(),
            recipe_name=self.plan.name,
        )
        self.record = self.world.same(save_space(self.space, written, changed) if self.world.first else written)

    def _tower_record(self, modality: str, encoder: Choice[EncoderSpec], head: Any) -> TowerRecord:
        loaded = self.towers[modality]
        return TowerRecord(
            modality=modality,
            encoder=encoder.as_dict(),
            head=head,
            preprocessing=loaded.tower.encoder.describe_preprocessing(),
            weights=loaded.weights,
            licence=encoder.spec.licence if loaded.weights != "random" else "",
            file="",
            sha256="",
            bound_to="",
            stages=loaded.stages,
        )


def default_device() -> str:
    """A GPU when there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"

"""The towers that a bind works on: drawn anew or taken from the space, and what is refused of either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geobind.config import Head
from geobind.errors import RecipeError
from geobind.modality import Choice, EncoderSpec
from geobind.plan import StagePlan, unlike
from geobind.plugins import get_plugins
from geobind.space.checkpoint import ENTRY, lineage_entry, make_tower, read_tower
from geobind.space.heads import Tower
from geobind.space.records import SpaceRecord, TowerRecord


@dataclass
class Loaded:
    """A tower in memory, where its initial weights came from, and what has become of it since."""

    tower: Tower
    weights: str
    stages: tuple[str, ...] = ()
    lineage: tuple[str, ...] = ()
    drawn: bool = False
    """Whether it was made anew, and nothing of it is in the space yet."""

    def record(self, modality: str, encoder: Choice[EncoderSpec], head: Head) -> TowerRecord:
        """What ``space.json`` says of it for a modality that was bound just now; its file is not known yet."""
        return TowerRecord(
            modality=modality,
            encoder=encoder.as_dict(),
            head=head,
            preprocessing=self.tower.encoder.describe_preprocessing(),
            weights=self.weights,
            licence=encoder.spec.licence if self.weights != "random" else "",
            file="",
            sha256="",
            bound_to="",
            stages=self.stages,
            lineage=self.lineage,
        )


def draw(encoder: Choice[EncoderSpec], head: Head, dim: int, seed: int) -> Loaded:
    """A tower with its initial weights: those its encoder brings, else random ones."""
    tower = make_tower(encoder, head, dim, seed)
    weights = tower.encoder.load_pretrained()
    return Loaded(tower, weights, lineage=(lineage_entry(tower),), drawn=True)


def take(space: Path, record: SpaceRecord, modality: str) -> Loaded:
    """The tower that embeds a modality in a space."""
    own = record.towers[modality]
    tower = read_tower(space, own, record.dim, get_plugins())
    return Loaded(tower, own.weights, own.stages, own.lineage or (own.sha256[:ENTRY],))


def check_name(stage: StagePlan, found: Sequence[TowerRecord], space: Path) -> None:
    """A modality's own tower and a shared one may have one name, but not in one space.

    Args:
        stage: The stage.
        found: Records of the towers in the space that are called like the stage's.
        space: The folder.

    Raises:
        RecipeError: The space has one of the other kind.
    """
    shared = stage.config.tower is not None
    for other in found:
        if bool(other.tower) != shared:
            raise RecipeError(
                f"stage {stage.config.name!r} trains a tower called {stage.tower!r}; the one of that name in this space"
                f" embeds {other.modality}, and is {'not ' if shared else ''}shared",
                where=str(space),
                fix="Give the shared tower another name, or bind into another folder with --space.",
            )


def check_same(stage: StagePlan, found: TowerRecord, space: Path) -> None:
    """Raises RecipeError where the tower that a stage goes on with is not the one that the recipe says."""
    said = {"encoder": stage.encoder.as_dict(), "head": stage.config.head.model_dump()}
    has = {"encoder": found.encoder, "head": found.head.model_dump()}
    for what in said:
        if said[what] != has[what]:
            here, there = unlike(said[what], has[what])
            raise RecipeError(
                f"stage {stage.config.name!r} goes on with tower {stage.tower!r}, whose {what} has {here} in the"
                f" recipe and {there} in the space in this folder",
                where=str(space),
                fix="Run the tower's first stage again, or bind into another folder with --space.",
            )


def check_frozen(stage: StagePlan, loaded: Loaded) -> None:
    """Raises RecipeError where a stage freezes a tower that was drawn just now, or its head."""
    config = stage.config
    if config.train.modality == "frozen" and (config.head.type != "identity" or loaded.weights == "random"):
        raise RecipeError(
            f"stage {config.name!r} freezes a {config.modality} tower whose weights are random",
            fix="Freeze only towers with pretrained weights and `head: {type: identity}`, or let the head learn.",
        )

"""From a recipe's text to a plan: read, override, check, and resolve every ``type:`` to a spec of a plugin.

A :class:`Plan` is values only; nothing heavy has been imported when it is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from geobind.config import Recipe, Stage
from geobind.errors import GeobindError, RecipeError, explain, nearest
from geobind.modality import Choice, DatasetSpec, EncoderSpec, LossSpec, RecipeSpec
from geobind.plugins import Plugins
from geobind.plugins.keys import config_at
from geobind.yamlfile import Document, Key, read_document


@dataclass(frozen=True)
class StagePlan:
    """A stage with its types resolved."""

    config: Stage
    encoder: Choice[EncoderSpec]
    dataset: Choice[DatasetSpec]
    loss: Choice[LossSpec]
    trains_anchor: bool
    requires: tuple[str, ...]
    """Earlier stages that train the anchor: the anchor is not ready before them."""

    @property
    def tower(self) -> str:
        """Name of the tower it trains: the one that modalities share, or that of its modality."""
        return self.config.tower or self.config.modality


@dataclass(frozen=True)
class Plan:
    """A recipe with every type resolved: what ``bind`` would do."""

    name: str
    source: str
    recipe: Recipe
    anchor: Choice[EncoderSpec]
    stages: tuple[StagePlan, ...]

    def stage(self, name: str) -> StagePlan:
        """The stage of that name; raises RecipeError naming those that exist."""
        for stage in self.stages:
            if stage.config.name == name:
                return stage
        raise RecipeError(
            f"recipe {self.name!r} has no stage {name!r}", fix=nearest(name, (s.config.name for s in self.stages))
        )

    def stages_of(self, modality: str) -> tuple[StagePlan, ...]:
        """The stages that bind a modality; raises RecipeError naming the modalities there are."""
        found = tuple(stage for stage in self.stages if stage.config.modality == modality)
        if not found:
            raise RecipeError(
                f"recipe {self.name!r} has no stage for modality {modality!r}",
                fix=nearest(modality, (s.config.modality for s in self.stages)),
            )
        return found

    def datasets(self) -> tuple[Choice[DatasetSpec], ...]:
        """The distinct datasets of the stages, in order."""
        return tuple({repr(stage.dataset): stage.dataset for stage in self.stages}.values())

    def resolved(self) -> dict[str, Any]:
        """The recipe with every default spelt out, as the run folder keeps it."""
        values = self.recipe.model_dump(mode="json", exclude={"defaults"})
        values["anchor"]["encoder"] = self.anchor.as_dict()
        for stage, plan in zip(values["stages"], self.stages, strict=True):
            stage.update(encoder=plan.encoder.as_dict(), dataset=plan.dataset.as_dict(), loss=plan.loss.as_dict())
        return values


def registry() -> Path:
    """The registry folder: inside the wheel, or beside the package in a checkout."""
    packed = files("geobind").joinpath("registry")
    if packed.is_dir():
        with as_file(packed) as folder:
            return folder
    return Path(__file__).resolve().parents[1] / "registry"


def recipe_paths(plugins: Plugins) -> dict[str, Path]:
    """Every recipe by name: the registry's, then those of plugins."""
    found = {path.stem: path for path in sorted((registry() / "recipes").glob("*.yaml"))}
    for spec in plugins.specs(RecipeSpec):
        found.setdefault(spec.name, Path(spec.path))
    return found


def load_plan(recipe: str, plugins: Plugins, overrides: list[str] | None = None) -> Plan:
    """Read, override, check and resolve a recipe given by name or by the path of a YAML file.

    Raises:
        RecipeError: Unknown recipe, unknown key (with the nearest known one and file:line), wrong value.
        PluginError: A type that no sound plugin provides.
    """
    is_path = recipe.endswith((".yaml", ".yml"))
    known = {} if is_path else recipe_paths(plugins)
    if not is_path and recipe not in known:
        plugins.raise_if_named(recipe)
        raise RecipeError(f"unknown recipe {recipe!r}", fix=nearest(recipe, known) + " Or give a path to a .yaml file.")
    path = Path(recipe) if is_path else known[recipe]
    return read_plan(path, path.stem if is_path else recipe, plugins, overrides)


def read_plan(path: Path, name: str, plugins: Plugins, overrides: list[str] | None = None) -> Plan:
    """The plan of a recipe whose file is known; see :func:`load_plan`."""
    document = read_document(path)
    for assignment in overrides or ():
        document.set(assignment)
    return resolve(name, document, plugins)


def recipe_that_binds(modality: str, anchor: str | None, plugins: Plugins) -> Plan | None:
    """The only recipe that binds a modality to an anchor, or to any; None where no recipe does.

    Recipes that cannot be loaded, for want of a plugin, are passed over.

    Raises:
        RecipeError: Several recipes do.
        PluginError: No recipe does, and a plugin of that name did not load.
    """
    found = []
    for name, path in recipe_paths(plugins).items():
        try:
            plan = read_plan(path, name, plugins)
        except GeobindError:
            continue
        if anchor in (None, plan.recipe.anchor.modality) and modality in {s.config.modality for s in plan.stages}:
            found.append(plan)
    if len(found) > 1:
        names = ", ".join(repr(plan.name) for plan in found)
        raise RecipeError(
            f"several recipes have a stage for modality {modality!r}: {names}",
            fix="Name one with --recipe, or write its stage into your recipe.",
        )
    if not found:
        plugins.raise_if_named(modality)
        return None
    return found[0]


def resolve(name: str, document: Document, plugins: Plugins) -> Plan:
    """Check a recipe document and resolve its types; see :func:`load_plan`."""
    try:
        recipe = Recipe.model_validate(document.values)
    except ValidationError as error:
        raise _recipe_error(error, document) from error
    with _at(document, ("anchor", "modality")):
        plugins.modality(recipe.anchor.modality)
    with _at(document, ("anchor", "encoder")):
        anchor = plugins.encoder(recipe.anchor.modality, recipe.anchor.encoder)
    stages: list[StagePlan] = []
    for index, stage in enumerate(recipe.stages):
        with _at(document, ("stages", index, "modality")):
            plugins.modality(stage.modality)
        with _at(document, _written(document, index, "encoder")):
            encoder = plugins.encoder(stage.modality, stage.encoder)
        with _at(document, _written(document, index, "dataset")):
            dataset = plugins.dataset(stage.dataset)
        with _at(document, _written(document, index, "loss")):
            loss = plugins.loss(stage.loss)
        requires = tuple(earlier.config.name for earlier in stages if earlier.trains_anchor)
        stages.append(StagePlan(stage, encoder, dataset, loss, stage.train.anchor != "frozen", requires))
    _check_towers(document, recipe.anchor.modality, stages, plugins)
    return Plan(name, document.source, recipe, anchor, tuple(stages))


def _check_towers(document: Document, anchor: str, stages: Sequence[StagePlan], plugins: Plugins) -> None:
    """A modality has one tower, and stages of one tower say the same of it.

    Raises:
        RecipeError: They do not, or a shared tower is called like a modality, whose own tower has that name.
    """
    modalities = {anchor, *(stage.config.modality for stage in stages)}
    by_modality: dict[str, StagePlan] = {}
    by_tower: dict[str, StagePlan] = {}
    for index, stage in enumerate(stages):
        config, other = stage.config, by_modality.setdefault(stage.config.modality, stage)
        with _at(document, _written(document, index, "tower")):
            if config.tower in modalities:
                what = f"tower {config.tower!r} has the name of a modality"
                raise RecipeError(what, fix="Give the shared tower a name of its own.")
            if config.tower != other.config.tower:
                raise RecipeError(
                    f"stage {config.name!r} binds {config.modality} by tower {stage.tower!r}, stage"
                    f" {other.config.name!r} by tower {other.tower!r}",
                    fix="A modality has one tower: say the same in all of its stages.",
                )
        if (first := by_tower.setdefault(stage.tower, stage)) is stage:
            continue
        with _at(document, _written(document, index, "encoder")):
            _same_encoder(first, stage, plugins)
        with _at(document, _written(document, index, "head")):
            _same_in_tower(first, stage, "head", first.config.head.model_dump(), config.head.model_dump())


def _same_encoder(first: StagePlan, stage: StagePlan, plugins: Plugins) -> None:
    """Raises RecipeError where two stages of one tower do not have one encoder."""
    if first.encoder.type == stage.encoder.type and first.encoder.spec != stage.encoder.spec:
        both = {first.config.modality, stage.config.modality}
        serving = [spec.name for spec in plugins.specs(EncoderSpec) if both <= set(spec.modalities)]
        raise RecipeError(
            f"encoder {stage.encoder.type!r} of {stage.config.modality} is another one than that of"
            f" {first.config.modality}, so they cannot share tower {stage.tower!r}",
            fix=f"Encoders that serve both: {', '.join(serving) or 'there is none'}.",
        )
    _same_in_tower(first, stage, "encoder", first.encoder.as_dict(), stage.encoder.as_dict())


def _same_in_tower(first: StagePlan, stage: StagePlan, key: str, wanted: dict[str, Any], found: dict[str, Any]) -> None:
    """Raises RecipeError where a key has two values in stages of one tower."""
    if found != wanted:
        one, other = unlike(wanted, found)
        alone = first.config.modality == stage.config.modality
        raise RecipeError(
            f"tower {stage.tower!r} has one {key}, but stage {first.config.name!r} says {one} and stage"
            f" {stage.config.name!r} says {other}",
            fix=f"Give them the same one{'' if alone else ', or towers of their own'}.",
        )


def unlike(a: dict[str, Any], b: dict[str, Any]) -> tuple[str, str]:
    """What two mappings say of the keys that they do not agree in, in words."""
    keys = [key for key in a | b if a.get(key) != b.get(key)]
    one, other = (", ".join(f"{key} = {values.get(key)!r}" for key in keys) for values in (a, b))
    return one, other


class _at:
    """Give an error that knows no file the place of the key it is about."""

    def __init__(self, document: Document, key: Key) -> None:
        self.document, self.key = document, key

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, GeobindError):
            cause = error.__cause__
            inside = cause.errors()[0]["loc"] if isinstance(cause, ValidationError) else ()
            where = ", ".join(filter(None, (self.document.where((*self.key, *inside)), error.where)))
            raise type(error)(error.what, where=where, fix=error.fix) from error


def _written(document: Document, index: int, key: str) -> Key:
    """Where a stage's key was written: in the stage, or in the defaults."""
    stage, defaults = document.values["stages"][index], document.values.get("defaults", {})
    in_defaults = isinstance(stage, dict) and key not in stage and key in defaults
    return ("defaults", key) if in_defaults else ("stages", index, key)


def _recipe_error(error: ValidationError, document: Document) -> RecipeError:
    """The first problem of a recipe, at the line that has it."""
    item = dict(error.errors()[0])
    loc: Key = error.errors()[0]["loc"]
    what = explain(item, config_at(Recipe, loc[:-1]).model_fields)
    if loc[:1] == ("stages",) and len(loc) > 2:
        loc = (*_written(document, cast(int, loc[1]), str(loc[2])), *loc[3:])
    return RecipeError(what, where=document.where(loc))

"""Recipes: what a YAML file may say, checked before anything is built.

A recipe is read into :class:`Recipe`, then :func:`resolve` turns every ``type:`` into a spec of a plugin,
which gives a :class:`Plan`: values only, nothing heavy imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from geobind.errors import GeobindError, RecipeError, explain, nearest
from geobind.modality import Choice, Config, DatasetSpec, EncoderSpec, LossSpec, RecipeSpec
from geobind.plugins import Plugins
from geobind.yamlfile import Document, Key, read_document

Learn = Literal["frozen", "head", "full"]
SHORT_TRAIN: dict[str, tuple[Learn, Learn]] = {
    "anchor": ("full", "frozen"),
    "modality": ("frozen", "full"),
    "both": ("full", "full"),
    "heads": ("head", "head"),
    "none": ("frozen", "frozen"),
}


class Train(Config):
    """What learns in a stage, per side."""

    anchor: Learn = "frozen"
    """The anchor's tower: nothing of it, its head, or all of it."""
    modality: Learn = "frozen"
    """The modality's tower: nothing of it, its head, or all of it."""

    def __str__(self) -> str:
        for short, sides in SHORT_TRAIN.items():
            if sides == (self.anchor, self.modality):
                return short
        return " + ".join(f"{side} {how}" for side, how in self if how != "frozen")


def _expand_train(value: Any) -> Any:
    if isinstance(value, str):
        if value not in SHORT_TRAIN:
            raise ValueError(f"not one of {', '.join(SHORT_TRAIN)}, or a mapping {{anchor: …, modality: …}}")
        return dict(zip(("anchor", "modality"), SHORT_TRAIN[value], strict=True))
    return value


class Head(Config):
    """The projection from an encoder's features to the space."""

    type: Literal["identity", "linear", "mlp"] = "mlp"
    """``identity`` needs an encoder as wide as the space; ``mlp`` has one hidden layer."""
    hidden: int = Field(1024, ge=1)
    """Width of the hidden layer of ``mlp``."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout before the last layer of ``mlp``."""


class Optim(Config):
    """How a stage is optimised: AdamW, linear warm-up, cosine decay to zero."""

    epochs: int = Field(20, ge=1)
    """Passes over the pairs."""
    batch_size: int = Field(256, ge=2)
    """Pairs in one batch; each is a negative of all others but its positives."""
    lr: float = Field(1e-3, gt=0)
    """Peak learning rate of heads and losses."""
    encoder_lr: float | None = Field(None, gt=0)
    """Peak learning rate of encoders that learn; ``lr`` when absent."""
    weight_decay: float = Field(0.01, ge=0)
    """Decoupled weight decay of matrices; vectors and scalars have none."""
    betas: tuple[float, float] = (0.9, 0.98)
    """AdamW's decay of the two moments."""
    eps: float = Field(1e-8, gt=0)
    """AdamW's epsilon."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of all steps over which the learning rate rises."""
    grad_clip: float | None = Field(1.0, gt=0)
    """Largest gradient norm; null for no clipping."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the towers; ``auto`` measures and says why."""


class Views(Config):
    """A side that learns its head alone sees stored features: of each item this many views, one drawn per step.

    The first view is the plain item, the others are augmented by the encoder's own preprocessing.
    """

    anchor: int = Field(1, ge=1)
    """Views of each anchor item."""
    modality: int = Field(1, ge=1)
    """Views of each item of the modality."""


class Stage(Config):
    """One modality bound to the anchor."""

    name: str
    """Unique name; ``geobind bind --stage`` takes it."""
    modality: str
    """The modality to bind."""
    train: Annotated[Train, BeforeValidator(_expand_train)]
    """``anchor``, ``modality``, ``both``, ``heads``, ``none``, or ``{anchor: …, modality: …}``."""
    encoder: dict[str, Any]
    """``{type: NAME, …}``: the modality's encoder."""
    dataset: dict[str, Any]
    """``{type: NAME, …}``: where the pairs come from."""
    loss: dict[str, Any] = Field(default_factory=lambda: {"type": "infonce"})
    """``{type: NAME, …}``: what the pairs are scored by."""
    head: Head = Head()
    """The modality's head."""
    optim: Optim = Optim()
    """How it is optimised."""
    views: Views = Views()
    """Augmented views of items whose features are embedded once."""
    augment: bool = True
    """Whether a side that learns in full sees augmented items; false prepares each item once."""
    workers: int = Field(0, ge=0)
    """Worker processes that prepare items of a side that learns in full."""
    seed: int = 0
    """Seed of everything random in this stage."""
    note: str = ""
    """Where the numbers come from, for the reader."""


class Anchor(Config):
    """The modality that defines the space."""

    modality: str = "satellite"
    """Its name."""
    encoder: dict[str, Any]
    """``{type: NAME, …}``."""
    head: Head = Head()
    """Its head."""


class SpaceConfig(Config):
    """The space itself."""

    dim: int = Field(512, ge=2)
    """Number of dimensions of every embedding."""


class Recipe(Config):
    """A space, an anchor, and a list of stages."""

    summary: str = ""
    """One line for lists."""
    space: SpaceConfig = SpaceConfig()
    """The space."""
    anchor: Anchor
    """The anchor."""
    defaults: dict[str, Any] = Field(default_factory=dict)
    """Keys every stage takes unless it says otherwise; ``optim`` is merged key by key."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    """What is bound, in order."""

    @model_validator(mode="before")
    @classmethod
    def _spread_defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(defaults := values.get("defaults", {}), dict):
            return values
        values = dict(values)
        if isinstance(stages := values.get("stages"), list):
            values["stages"] = [_with_defaults(stage, defaults) for stage in stages]
        if isinstance(anchor := values.get("anchor"), dict) and "head" in defaults:
            values["anchor"] = {"head": defaults["head"], **anchor}
        return values

    @model_validator(mode="after")
    def _unique_names(self) -> Recipe:
        names = [stage.name for stage in self.stages]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"stage names are given twice: {', '.join(sorted(twice))}")
        if any(stage.modality == self.anchor.modality for stage in self.stages):
            raise ValueError(f"a stage binds the anchor {self.anchor.modality!r} to itself")
        return self


def _with_defaults(stage: Any, defaults: dict[str, Any]) -> Any:
    if not isinstance(stage, dict):
        return stage
    merged = {**defaults, **stage}
    if isinstance(own := stage.get("optim"), dict) and isinstance(shared := defaults.get("optim"), dict):
        merged["optim"] = {**shared, **own}
    return merged


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
    known = recipe_paths(plugins)
    is_path = recipe.endswith((".yaml", ".yml"))
    if not is_path and recipe not in known:
        raise RecipeError(f"unknown recipe {recipe!r}", fix=nearest(recipe, known) + " Or give a path to a .yaml file.")
    path = Path(recipe) if is_path else known[recipe]
    document = read_document(path)
    for assignment in overrides or ():
        document.set(assignment)
    return resolve(path.stem, document, plugins)


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
    return Plan(name, document.source, recipe, anchor, tuple(stages))


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
    what = explain(item, _model_at(loc[:-1]).model_fields)
    if loc[:1] == ("stages",) and len(loc) > 2:
        loc = (*_written(document, cast(int, loc[1]), str(loc[2])), *loc[3:])
    return RecipeError(what, where=document.where(loc))


def _model_at(loc: Key) -> type[Config]:
    """The config class that a location inside a recipe points at."""
    model: type[Config] = Recipe
    for part in loc:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_configs_in(model.model_fields[part].annotation), model)
    return model


def _configs_in(annotation: Any) -> Iterator[type[Config]]:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        yield annotation
    for argument in get_args(annotation):
        yield from _configs_in(argument)

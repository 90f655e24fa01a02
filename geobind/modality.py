"""The vocabulary every room speaks: specs of modalities, encoders, datasets, losses and trackers.

Specs are small frozen values, so that listing and validating never import torch. Their fields are given by keyword.
What a spec builds is named by a string ``"package.module:function"`` that is imported when it is first used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from geobind.errors import PluginError

PLUGIN_API = 1
"""Version of the hooks and specs; plugins written for this one and the one before load."""


class Config(BaseModel):
    """Base of every configuration: unknown keys are refused, values are frozen.

    The docstring under a field becomes its help.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalitySpec:
    """A kind of observation of a place."""

    name: str
    """The word recipes, manifests and ``geobind bind --modality`` use."""
    item: str
    """What one item is, with its units; for people."""
    summary: str
    """One line of help."""
    units: str = ""
    """Units of an item's numbers, such as ``K`` or ``0 … 255``; ``1`` for none; empty for items without numbers. Where
    a config decides, say so: ``as the encoder's config says, per channel``."""
    example: str = ""
    """``"package.module:function"``: ``index -> item``, a small valid item for every index ≥ 0, each another. Made up,
    never read from a file that may be absent; checks and tests use them."""
    unchecked: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Conformance checks that do not apply, each with the reason."""
    preview: str = ""
    """``"package.module:function"`` that turns an item into a PIL image or a short string for reports."""
    sound: str = ""
    """``"package.module:function"`` that turns an item into the bytes of a small WAV, Ogg or MP3 file for reports,
    at most 10 s."""
    declared: str = ""
    """``file:line`` where a file of the user's declares it; such a one yields to a modality that a plugin brings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSpec:
    """An encoder that a recipe can name as ``encoder: {type: NAME}`` for one modality, or for several."""

    name: str
    """The word recipes use; told apart per modality."""
    modality: str | tuple[str, ...]
    """The modality whose items it takes, of this or another plugin; or all those that may share one tower of it."""
    config: type[Config]
    """What a recipe may say beside ``type:``; a docstring under a field is its help."""
    build: str
    """``"package.module:function"``: ``config -> geobind.Encoder``, with random weights."""
    summary: str = ""
    """One line of help."""
    licence: str = ""
    """Licence of the weights it loads, when there are any."""
    weights: str = ""
    """``"package.module:function"``: ``config -> str``, one phrase on where the weights the config names lie on this
    machine. Raises WeightsError with the way to bring them; asks no network, and imports torch only where a library
    has to say which file a name means."""
    example: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Config keys of a small instance with random weights, for checks."""
    unchecked: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Conformance checks that do not apply, each with the reason."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """All modalities it serves; the first one stands for them in checks."""
        return (self.modality,) if isinstance(self.modality, str) else self.modality


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """A source of items that a recipe can name as ``dataset: {type: NAME}``."""

    name: str
    """The word recipes use."""
    config: type[Config]
    """What a recipe may say beside ``type:``; a docstring under a field is its help."""
    build: str
    """``"package.module:function"``: ``config -> geobind.Dataset``."""
    modalities: tuple[str, ...] = ()
    """The modalities it holds; empty when its config decides, and then :attr:`geobind.Dataset.modalities` counts."""
    summary: str = ""
    """One line of help."""
    licence: str = ""
    """Licence of the data."""
    example: str = ""
    """``"package.module:function"``: ``folder -> config keys``. Writes a tiny made-up data set in its true layout into
    the folder (nothing, for one that needs no files); the keys build it. Checks delete, empty and cut those files."""
    unchecked: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Conformance checks that do not apply, each with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSpec:
    """A loss that a recipe can name as ``loss: {type: NAME}``."""

    name: str
    """The word recipes use."""
    config: type[Config]
    """What a recipe may say beside ``type:``; a docstring under a field is its help."""
    build: str
    """``"package.module:function"``: ``config -> geobind.Loss``."""
    summary: str = ""
    """One line of help."""
    example: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Config keys for checks, where it has keys without a default."""
    unchecked: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Conformance checks that do not apply, each with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeSpec:
    """A recipe a plugin ships; ``geobind bind --recipe NAME`` finds it."""

    name: str
    """The word ``--recipe`` takes."""
    path: str
    """Path of its YAML file, inside the plugin's package."""
    summary: str = ""
    """One line of help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerSpec:
    """A place that follows a run's metrics; ``geobind bind --track NAME`` finds it."""

    name: str
    """The word ``--track`` takes."""
    build: str
    """``"package.module:function"``: ``(folder, settings) -> geobind.Tracker``, with the run folder and the resolved
    recipe."""
    summary: str = ""
    """One line of help."""


Spec = ModalitySpec | EncoderSpec | DatasetSpec | LossSpec | RecipeSpec | TrackerSpec


T = TypeVar("T", EncoderSpec, DatasetSpec, LossSpec)


@dataclass(frozen=True, slots=True)
class Choice(Generic[T]):
    """A spec with the config a recipe gave it: all that is needed to build the thing."""

    spec: T
    config: Config

    @property
    def type(self) -> str:
        """The recipe's ``type:``."""
        return self.spec.name

    def as_dict(self) -> dict[str, Any]:
        """The ``{type: …, key: value}`` mapping that a recipe would hold, defaults included."""
        return {"type": self.spec.name, **self.config.model_dump(mode="json")}

    def build(self) -> Any:
        """Import the builder and call it with the config."""
        return load_object(self.spec.build)(self.config)


def load_object(path: str) -> Callable[..., Any]:
    """Import ``"package.module:name"``.

    Raises:
        PluginError: The module or the name in it does not exist; the cause is named.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)  # type: ignore[no-any-return]
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"{path!r} cannot be imported: {error}",
            fix="The plugin that names it is broken or half installed; see `geobind plugins list`.",
        ) from error

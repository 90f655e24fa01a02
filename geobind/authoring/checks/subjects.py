"""What is examined: a plugin, and each modality, encoder, dataset, loss and recipe it brings.

A subject knows how to make what a check needs: the built thing, with random weights and a fixed seed, and
items from the ``example`` of its spec. It keeps neither, so that no check sees what another one did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from geobind.errors import PluginError
from geobind.modality import (
    Config,
    DatasetSpec,
    EncoderSpec,
    LossSpec,
    ModalitySpec,
    RecipeSpec,
    Spec,
    load_object,
)
from geobind.plugins import PluginRecord, Plugins
from geobind.plugins.record import label

if TYPE_CHECKING:
    from geobind.data.items import Dataset
    from geobind.encoder import Encoder
    from geobind.loss import Loss

ITEMS = 8
"""Items that checks of encoders use."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a check is about."""

    plugins: Plugins
    """All plugins of this process."""
    record: PluginRecord
    """The plugin that is examined."""

    @property
    def label(self) -> str:
        """How the subject is called in the table of results, such as ``encoder thermal/cnn``."""
        raise NotImplementedError

    @property
    def unchecked(self) -> Mapping[str, str]:
        """Checks that its author declares not to apply, each with the reason."""
        return {}


@dataclass(frozen=True, slots=True)
class PluginSubject(Subject):
    """The plugin as a whole."""

    @property
    def label(self) -> str:
        """``plugin NAME``."""
        return f"plugin {self.record.name}"

    @property
    def module(self) -> ModuleType:
        """The module behind the entry point, or the one file."""
        return cast(ModuleType, self.plugins.manager.get_plugin(self.record.name))


@dataclass(frozen=True, slots=True)
class SpecSubject(Subject):
    """Something that the plugin brings."""

    spec: Spec

    @property
    def label(self) -> str:
        """As everywhere: ``modality thermal``, ``encoder thermal/cnn``."""
        return label(self.spec)

    @property
    def unchecked(self) -> Mapping[str, str]:
        """As the spec declares, where its kind can."""
        return getattr(self.spec, "unchecked", {})


@dataclass(frozen=True, slots=True)
class ModalitySubject(SpecSubject):
    """A modality."""

    spec: ModalitySpec

    def items(self, count: int = ITEMS) -> list[Any]:
        """Items ``0 … count - 1`` of the spec's example.

        Raises:
            PluginError: The spec names none.
        """
        if not self.spec.example:
            raise PluginError(
                f"modality {self.spec.name!r} has no example items",
                fix='Name a function in its spec: example="package.module:function", index -> item.',
            )
        make = load_object(self.spec.example)
        return [make(index) for index in range(count)]


@dataclass(frozen=True, slots=True)
class EncoderSubject(SpecSubject):
    """An encoder, in the small configuration that its spec's ``example`` gives."""

    spec: EncoderSpec

    @property
    def config(self) -> Config:
        """The configuration that is checked."""
        return self.spec.config(**self.spec.example)

    def build(self, seed: int = 0) -> Encoder:
        """A new encoder with random weights, in training mode."""
        import torch

        torch.manual_seed(seed)
        torch.set_grad_enabled(True)  # whatever another encoder left behind
        torch.set_default_dtype(torch.float32)
        return load_object(self.spec.build)(self.config)  # type: ignore[no-any-return]

    def items(self, count: int = ITEMS) -> list[Any]:
        """Items of its modality's example, whichever plugin brings that.

        Raises:
            PluginError: No plugin brings the modality, or it has no example.
        """
        return ModalitySubject(self.plugins, self.record, self.plugins.modality(self.spec.modalities[0])).items(count)


@dataclass(frozen=True, slots=True)
class DatasetSubject(SpecSubject):
    """A dataset, over the made-up data that its spec's ``example`` writes."""

    spec: DatasetSpec

    def write(self, folder: Path) -> Config:
        """Write the made-up data into a folder; the configuration that builds a dataset of it.

        Raises:
            PluginError: The spec names no example.
        """
        if not self.spec.example:
            raise PluginError(
                f"dataset {self.spec.name!r} has no example data",
                fix='Name a function in its spec: example="package.module:function", folder -> config keys.',
            )
        return self.spec.config(**load_object(self.spec.example)(folder))

    def build(self, config: Config) -> Dataset:
        """The dataset that a configuration describes."""
        return load_object(self.spec.build)(config)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class LossSubject(SpecSubject):
    """A loss."""

    spec: LossSpec

    @property
    def config(self) -> Config:
        """The configuration that is checked."""
        return self.spec.config(**self.spec.example)

    def build(self) -> Loss:
        """A new loss."""
        import torch

        torch.manual_seed(0)
        return load_object(self.spec.build)(self.config)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class RecipeSubject(SpecSubject):
    """A recipe that the plugin ships."""

    spec: RecipeSpec


SUBJECTS: dict[type[Spec], type[Any]] = {
    ModalitySpec: ModalitySubject,
    EncoderSpec: EncoderSubject,
    DatasetSpec: DatasetSubject,
    LossSpec: LossSubject,
    RecipeSpec: RecipeSubject,
}


def subjects_of(plugins: Plugins, record: PluginRecord) -> list[Subject]:
    """The plugin and all it brings, in the order of its hooks."""
    parts = [SUBJECTS[type(spec)](plugins, record, spec) for spec in record.specs if type(spec) in SUBJECTS]
    return [PluginSubject(plugins, record), *parts]

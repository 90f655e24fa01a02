"""The hooks of a geobind plugin. Each returns a list of frozen specs; none may import torch.

A plugin is a module reached by an entry point of the group ``geobind``. It imports ``geobind`` and
marks its functions with ``@geobind.hookimpl``. It may bring any subset of these hooks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from geobind.modality import DatasetSpec, EncoderSpec, LossSpec, ModalitySpec, RecipeSpec, TrackerSpec

if TYPE_CHECKING:
    import typer

hookspec = pluggy.HookspecMarker("geobind")
hookimpl = pluggy.HookimplMarker("geobind")


@hookspec
def geobind_modalities() -> list[ModalitySpec]:  # type: ignore[empty-body]
    """Modalities this plugin brings. A modality name belongs to one plugin."""


@hookspec
def geobind_encoders() -> list[EncoderSpec]:  # type: ignore[empty-body]
    """Encoders, each for one modality of this or another plugin.

    The built object is a :class:`geobind.Encoder`: ``forward(batch) -> [B, embed_dim]``, not normalised.
    """


@hookspec
def geobind_datasets() -> list[DatasetSpec]:  # type: ignore[empty-body]
    """Datasets. The built object is a :class:`geobind.Dataset`: items per modality and split.

    Coordinates are WGS84 degrees; longitudes lie in [-180, 180], latitudes in [-90, 90].
    """


@hookspec
def geobind_losses() -> list[LossSpec]:  # type: ignore[empty-body]
    """Losses. The built object is a :class:`geobind.Loss` over two ``[B, D]`` unit-norm embeddings."""


@hookspec
def geobind_recipes() -> list[RecipeSpec]:  # type: ignore[empty-body]
    """Recipes (YAML files) this plugin ships, found by name beside the registry's own."""


@hookspec
def geobind_trackers() -> list[TrackerSpec]:  # type: ignore[empty-body]
    """Trackers. The built object is a :class:`geobind.Tracker`: it is told the metrics of each epoch as they come."""


@hookspec
def geobind_cli(app: typer.Typer) -> None:
    """Add commands to the ``geobind`` command line."""

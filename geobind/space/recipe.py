"""The recipe of a space as a plan, and what to say where a plugin does not offer one of its modalities. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy

from geobind.errors import PluginError, RecipeError
from geobind.modality import EncoderSpec
from geobind.plan import Plan, resolve
from geobind.plugins import Plugins
from geobind.space.records import SpaceRecord, TowerRecord
from geobind.yamlfile import Document


def plan_of_record(record: SpaceRecord, source: str, plugins: Plugins, overrides: Sequence[str] = ()) -> Plan:
    """The recipe of a space, with ``KEY=VALUE`` laid over it.

    Args:
        record: What ``space.json`` says.
        source: Its file, for errors.
        plugins: Those here.
        overrides: What is laid over the recipe.

    Raises:
        RecipeError: What is laid over it makes no sense, or is one of ``defaults``, which would change nothing.
        PluginError: A type that no sound plugin provides here.
    """
    document = Document(source, deepcopy(record.recipe))
    for assignment in overrides:
        if assignment.partition(".")[0] == "defaults":
            raise RecipeError(
                "the recipe of a space has no defaults any more: each stage has them spelt out",
                where=f"--set {assignment}",
                fix="Set it in the stage, as stages.NAME.…, or name a recipe with --recipe.",
            )
        document.set(assignment)
    try:
        return resolve(record.recipe_name, document, plugins)
    except PluginError as error:
        explain_absent(record.towers.values(), plugins, source, error)
        raise


def explain_absent(towers: Iterable[TowerRecord], plugins: Plugins, where: str, error: PluginError) -> None:
    """Tell of a modality that is unknown here though the encoder that bound it is here, for other modalities.

    So it is where a plugin takes modalities from files of the user's, and does not find them.

    Raises:
        PluginError: There is such a modality, with the plugins that have the encoder.
    """
    for tower in towers:
        kind = tower.encoder["type"]
        having = [
            (f"{record.name!r} {record.version}".strip(), spec.modalities)
            for record in plugins.records
            for spec in record.specs
            if isinstance(spec, EncoderSpec) and spec.name == kind
        ]
        if having and not any(tower.modality in modalities for _, modalities in having):
            names = ", ".join(dict.fromkeys(name for name, _ in having))
            raise PluginError(
                f"modality {tower.modality!r} of the space is offered by no plugin here; its encoder {kind!r} is, for"
                f" other modalities, by plugin {names}",
                where=where,
                fix="Where a plugin takes modalities from files of yours, work in their folder or tell it where they"
                " are; else install the plugin that the modality is of.",
            ) from error

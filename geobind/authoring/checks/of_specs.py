"""What every spec of a plugin is: a frozen value that JSON keeps, with names that resolve and a strict config."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from geobind.authoring.checks.check import CHECKS, check, require
from geobind.authoring.checks.subjects import (
    SUBJECTS,
    DatasetSubject,
    EncoderSubject,
    LossSubject,
    PluginSubject,
    subjects_of,
)
from geobind.errors import GeobindError
from geobind.modality import Config, Spec
from geobind.plugins.about import unimportable
from geobind.plugins.record import label


@check(PluginSubject)
def summaries_are_one_line(subject: PluginSubject) -> None:
    """Every spec says in one line what it brings."""
    for spec in subject.record.specs:
        summary = spec.summary
        require(bool(summary.strip()), f"{label(spec)} has no summary", "Say in one line what it is.")
        require("\n" not in summary.strip(), f"the summary of {label(spec)} has several lines", "Keep the first.")


@check(PluginSubject)
def specs_are_values(subject: PluginSubject) -> None:
    """Specs and configurations are frozen and survive JSON, as run folders and spaces keep them."""
    for spec in subject.record.specs:
        values = {
            field.name: getattr(spec, field.name)
            for field in fields(spec)
            if field.name != "config" and not isinstance(getattr(spec, field.name), type)
        }
        _require_json(values, f"what {label(spec)} says")
        if config := getattr(spec, "config", None):
            for model in _models(config):
                require(
                    model.model_config.get("frozen") is True,
                    f"{model.__name__}, in the config of {label(spec)}, can be changed",
                    "Derive it from geobind.Config and leave `frozen` alone.",
                )
    for config in _example_configs(subject):
        dumped = config.model_dump(mode="json")
        _require_json(dumped, f"{type(config).__name__} with its defaults")
        require(
            type(config).model_validate(dumped) == config,
            f"{type(config).__name__} is another after it was written as JSON and read",
            "Use types that pydantic writes and reads without loss.",
        )


@check(PluginSubject)
def named_functions_can_be_called(subject: PluginSubject) -> None:
    """Every "package.module:function" in a spec can be imported and called, and every recipe's file is there."""
    for spec, named, reason in unimportable(subject.record):
        require(False, f"{label(spec)} names {named}: {reason}", 'Write "package.module:function" of one that exists.')


@check(PluginSubject)
def configs_refuse_unknown_keys(subject: PluginSubject) -> None:
    """A configuration refuses a key that it does not know: a misspelt one must not go unnoticed."""
    for spec, model in _config_models(subject):
        try:
            model.model_validate({"no_such_key_": 0})
            refused = False
        except ValidationError as error:
            refused = any(item["type"] == "extra_forbidden" for item in error.errors())
        require(
            refused,
            f"{model.__name__}, in the config of {label(spec)}, takes the key 'no_such_key_' and says nothing",
            "Derive it from geobind.Config and leave `extra` alone.",
        )


@check(PluginSubject)
def config_fields_have_help(subject: PluginSubject) -> None:
    """Every field of a configuration has a docstring under it, which `geobind plugins show` prints."""
    for spec, model in _config_models(subject):
        for name, field in model.model_fields.items():
            require(
                bool(field.description and field.description.strip()),
                f"`{name}` of {model.__name__}, in the config of {label(spec)}, has no help",
                "Write a docstring under the field; say its units.",
            )


@check(PluginSubject)
def unchecked_names_exist(subject: PluginSubject) -> None:
    """`unchecked` names checks that there are, each with a reason."""
    for spec in subject.record.specs:
        known = {each.name for each in CHECKS if each.kind is SUBJECTS.get(type(spec))}
        for name, reason in getattr(spec, "unchecked", {}).items():
            require(
                name in known,
                f"`unchecked` of {label(spec)} names {name!r}, which is no check of it",
                f"Known: {', '.join(sorted(known))}.",
            )
            require(bool(reason.strip()), f"`unchecked` of {label(spec)} gives no reason for {name!r}", "Give one.")


def _models(config: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A configuration's class and those of the configurations inside it."""
    yield config
    for field in config.model_fields.values():
        yield from _models_in(field.annotation)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from _models(annotation)
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _config_models(subject: PluginSubject) -> Iterator[tuple[Spec, type[BaseModel]]]:
    for spec in subject.record.specs:
        if config := getattr(spec, "config", None):
            for model in _models(config):
                yield spec, model


def _example_configs(subject: PluginSubject) -> Iterator[Config]:
    """The configuration that each spec's example gives; an example that is wrong has checks of its own."""
    for part in subjects_of(subject.plugins, subject.record):
        with suppress(ValidationError, GeobindError), TemporaryDirectory() as folder:
            if isinstance(part, EncoderSubject | LossSubject):
                yield part.config
            elif isinstance(part, DatasetSubject):
                yield part.write(Path(folder))


def _require_json(value: Any, what: str) -> None:
    value = _plain(value)
    try:
        same = json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError) as error:
        require(False, f"{what} is no JSON: {error}", "Use text, numbers, lists and mappings of them.")
    require(same, f"{what} is another after it was written as JSON and read", "Let the keys of mappings be text.")


def _plain(value: Any) -> Any:
    """A value with lists for tuples and dicts for mappings, as JSON has it."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value

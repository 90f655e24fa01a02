"""The keys of a config for people: what a key takes, its default, and its help."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

REQUIRED = "required"
NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path", type(None): "null"}
"""What values are called in YAML's terms; other types go by their own name."""
SIGNS = {annotated_types.Ge: "≥", annotated_types.Gt: ">", annotated_types.Le: "≤", annotated_types.Lt: "<"}


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """One key of a config."""

    key: str
    """Dotted, where a config lies in another: ``pairs[].path``, ``items.NAME.column``."""
    type: str
    """What it takes, in words: ``whole number ≥ 1``, ``mean | max``."""
    default: str
    """As JSON; ``required`` where there is none, ``see below`` for a config, whose keys follow."""
    help: str


def keys_of(config: type[BaseModel], prefix: str = "") -> Iterator[ConfigKey]:
    """All keys of a config, each followed by those of the configs it holds."""
    for name, field in config.model_fields.items():
        help_ = " ".join((field.description or "").split())
        yield ConfigKey(prefix + name, type_of(field), _default(field), help_)
        held = [(suffix, inner) for suffix, inner in _configs_in(field.annotation) if inner is not config]
        for suffix, inner in held:
            of = f"({variant(inner)})" if len(held) > 1 else ""  # one of several that may stand there
            yield from keys_of(inner, f"{prefix}{name}{suffix}{of}.")


def variant(config: type[BaseModel]) -> str:
    """What tells a config from others that may stand in its place: its ``type``, or else its name."""
    said = get_args(config.model_fields["type"].annotation) if "type" in config.model_fields else ()
    return str(said[0]) if said else config.__name__


def config_at(config: type[BaseModel], loc: Iterable[int | str]) -> type[BaseModel]:
    """The config that pydantic's location of an error points at, below ``config`` or itself."""
    held: list[type[BaseModel]] = []
    for part in loc:
        if chosen := [inner for inner in held if variant(inner) == part]:  # of several that may stand there
            config, held = chosen[0], []
        elif part in config.model_fields:
            held = [inner for _, inner in _configs_in(config.model_fields[str(part)].annotation)]
            config = held[0] if held else config
    return config


def type_of(field: FieldInfo) -> str:
    """What a key takes, in words."""
    arguments = get_args(field.annotation)
    nullable = get_origin(field.annotation) in (Union, types.UnionType) and type(None) in arguments
    taken = Union[tuple(part for part in arguments if part is not type(None))] if nullable else field.annotation  # noqa: UP007
    words = " ".join(filter(None, (_words(taken), _bounds(field.metadata))))
    return f"{words} or null" if nullable else words


def _words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return " ".join(filter(None, (_words(arguments[0]), _bounds(arguments[1:]))))
    if origin is Literal:
        return " | ".join(str(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(argument) for argument in arguments)
    if origin is tuple and Ellipsis not in arguments:
        return f"[{', '.join(map(_words, arguments))}]"
    if origin in (list, tuple, set, frozenset) and arguments:
        return f"list of {_words(arguments[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"mapping of {_words(arguments[0])} to {_words(arguments[1])}"
    if annotation is Any:
        return "anything"
    return NAMES.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _bounds(metadata: Iterable[Any]) -> str:
    metadata = [one for item in metadata for one in (item.metadata if isinstance(item, FieldInfo) else [item])]
    found = [
        f"{sign} {getattr(item, kind.__name__.lower())}"
        for item in metadata
        for kind, sign in SIGNS.items()
        if isinstance(item, kind)
    ]
    patterns = [f"matching {pattern}" for item in metadata if (pattern := getattr(item, "pattern", None))]
    return ", ".join([*found, *patterns])


def _default(field: FieldInfo) -> str:
    import json

    if field.is_required():
        return REQUIRED
    default = field.get_default(call_default_factory=True)
    return (
        "see below" if isinstance(default, BaseModel) else json.dumps(to_jsonable_python(default), ensure_ascii=False)
    )


def _configs_in(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """The configs inside an annotation, and how the key of one is reached."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "", annotation
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield from ((f".NAME{suffix}", config) for suffix, config in _configs_in(arguments[1]))
    elif origin in (list, tuple):
        yield from ((f"[]{suffix}", config) for suffix, config in _configs_in(arguments[0]) if arguments)
    else:
        for argument in arguments:
            yield from _configs_in(argument)

"""Configs as definitions: each key with its path, type, default and help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from geobind.modality import Config
from geobind.plugins.keys import REQUIRED, keys_of, variant
from geobind_docs.markdown import code, entry, prose, slug

FOLLOWS = "see below"
"""What :func:`keys_of` says of a config's default; a page of keys shows them anyway."""


def sections(config: type[Config], path: str = "") -> Iterator[tuple[str, type[Config]]]:
    """The config, and every config inside it, each with the path that its keys begin with."""
    yield path, config
    for name, field in config.model_fields.items():
        held = list(_configs(field.annotation))
        for step, inner in held:
            of = f"({variant(inner)})" if len(held) > 1 else ""
            yield from sections(inner, f"{path}{name}{step}{of}.")


def entries(config: type[Config], path: str = "", *, anchors: str = "", defaults: bool = True) -> str:
    """All keys of a config, without those inside its configs.

    Args:
        config: The config.
        path: What stands before each key.
        anchors: What stands before each anchor.
        defaults: Whether to say what is required, and the defaults of what is not.
    """
    found = []
    for key in keys_of(config, path):
        if field := config.model_fields.get(key.key.removeprefix(path)):
            type_ = key.type
            for _, inner in _configs(field.annotation):
                type_ = type_.replace(inner.__name__, "mapping")
            facts = (prose(type_), _default(key.default) if defaults else "")
            found.append(entry(key.key, facts, prose(key.help), anchor=slug(anchors + key.key)))
    return "\n".join(found)


def _default(default: str) -> str:
    if default == REQUIRED:
        return f"**{REQUIRED}**"
    return "" if default == FOLLOWS else f"default {code(default)}"


def _configs(annotation: Any) -> Iterator[tuple[str, type[Config]]]:
    """Configs that an annotation holds, each with the step to it: nothing, ``[]`` or ``.NAME``."""
    if isinstance(annotation, type) and issubclass(annotation, Config):
        yield "", annotation
        return
    origin = get_origin(annotation)
    mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    step = ".NAME" if mapping else "[]" if origin in (list, tuple) else ""
    for inner in get_args(annotation):
        yield from ((step + rest, config) for rest, config in _configs(inner))

"""YAML with line numbers, and ``--set key=value`` laid over it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from geobind.errors import RecipeError, nearest

Key = tuple[str | int, ...]

Loader: type[yaml.SafeLoader | yaml.CSafeLoader] = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
"""libyaml where PyYAML was built with it: ten times as fast, which is felt where every recipe is read for a list."""


@dataclass
class Document:
    """A YAML mapping and the place each of its keys came from."""

    source: str
    """Path of the file, for error messages."""
    values: dict[str, Any]
    places: dict[Key, str] = field(default_factory=dict, repr=False)
    """``file:line`` or ``--set …`` of each key path."""

    def where(self, key: Key) -> str:
        """The place of a key, or of the closest enclosing one that was written down."""
        for length in range(len(key), -1, -1):
            if key[:length] in self.places:
                return self.places[key[:length]]
        return self.source

    def set(self, assignment: str) -> None:
        """Lay one ``dotted.key=value`` over the document; the value is YAML.

        An item of a list is named by its ``name:`` or its number: ``stages.audio.optim.lr=1e-4``.

        Raises:
            RecipeError: No ``=``, a list item that does not exist, or a value that is not YAML.
        """
        path, equals, text = assignment.partition("=")
        where = f"--set {assignment}"
        if not equals or not path:
            raise RecipeError(f"{assignment!r} is no assignment", where="--set", fix="Write key=value.")
        try:
            value = _number(yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise RecipeError(f"the value {text!r} is not YAML: {error}", where=where) from error
        target: Any = self.values
        key: Key = ()
        parts = path.split(".")
        for depth, part in enumerate(parts):
            last = depth == len(parts) - 1
            step = _index(target, part, where) if isinstance(target, list) else part
            key = (*key, step)
            if last:
                target[step] = value
                # What the file had below this key is gone, and its lines with it.
                kept = {other: place for other, place in self.places.items() if other[: len(key)] != key}
                self.places = {**kept, key: where}
            else:
                if isinstance(target, dict) and not isinstance(target.get(step), (dict, list)):
                    target[step] = {}
                target = target[step]


def read_document(path: Path, what: str = "recipe", *, example: str = "registry/recipes/world.yaml") -> Document:
    """Read a YAML file that holds a mapping, with ``yaml.safe_load`` semantics.

    Args:
        path: The file.
        what: What an error calls it.
        example: Where an error sends the reader.

    Raises:
        RecipeError: No such file, a syntax error (with file:line), duplicate keys, or not a mapping.
    """
    if not path.is_file():
        raise RecipeError(f"recipe file {str(path)!r} does not exist", fix="`geobind stages list` shows the recipes.")
    try:
        values, places = _read(path.read_text(encoding="utf-8"), str(path))
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise RecipeError(f"not valid YAML: {error.problem}", where=f"{path}{line}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"not UTF-8 text: {error}", where=str(path)) from error
    if not isinstance(values, dict):
        raise RecipeError(f"a {what} is a mapping of keys", where=str(path), fix=f"See {example}.")
    return Document(str(path), _number(values), places)


def _read(text: str, source: str) -> tuple[Any, dict[Key, str]]:
    """The value of a YAML text, and the place of each of its keys."""
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        places: dict[Key, str] = {}
        _note_places(node, (), source, places)  # before the values: making them unfolds merge keys in the nodes
        return loader.construct_document(node), places
    finally:
        loader.dispose()


def _note_places(node: yaml.Node, key: Key, source: str, places: dict[Key, str]) -> None:
    places.setdefault(key, f"{source}:{node.start_mark.line + 1}")
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for name, value in node.value:
            if name.value in seen:
                raise RecipeError(f"key {name.value!r} is given twice", where=f"{source}:{name.start_mark.line + 1}")
            seen.add(name.value)
            places[(*key, name.value)] = f"{source}:{name.start_mark.line + 1}"
            _note_places(value, (*key, name.value), source, places)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _note_places(value, (*key, index), source, places)


def _number(value: Any) -> Any:
    """YAML 1.1 reads ``1e-4`` as a string; people mean a number."""
    if isinstance(value, dict):
        return {name: _number(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_number(item) for item in value]
    if isinstance(value, str) and value[:1] in "+-.0123456789" and "e" in value.lower():
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _index(items: list[Any], part: str, where: str) -> int:
    names = {item.get("name"): i for i, item in enumerate(items) if isinstance(item, dict)}
    if part in names:
        return names[part]
    if part.isdecimal() and int(part) < len(items):
        return int(part)
    raise RecipeError(f"no item {part!r} in the list", where=where, fix=nearest(part, (str(n) for n in names if n)))

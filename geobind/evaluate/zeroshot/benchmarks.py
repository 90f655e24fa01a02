"""What a zero-shot benchmark is: classes and prompts, from ``registry/benchmarks.yaml`` or a file of one's own."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from geobind.errors import GeobindError, RecipeError, explain, nearest
from geobind.modality import Config
from geobind.plan import registry
from geobind.yamlfile import Document, Key, read_document

FILE = "benchmarks.yaml"


def words(folder: str) -> str:
    """A folder's name as words: ``RailwayStation`` and ``railway_station`` → ``railway station``."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", folder.replace("_", " "))
    return " ".join(apart.split()).lower()


def check_template(template: str) -> str:
    """The template, if it has exactly one ``{}``.

    Raises:
        ValueError: It has none, several, or other braces.
    """
    if template.count("{}") != 1 or re.search(r"[{}]", template.replace("{}", "")):
        raise ValueError("a template has exactly one {} for the class, and no other braces")
    return template


def _as_mapping(classes: Any) -> Any:
    if not isinstance(classes, list) or not all(isinstance(folder, str) for folder in classes):
        return classes
    if twice := _twice(classes):
        raise ValueError(f"class {twice!r} is given twice")
    return {folder: words(folder) for folder in classes}


class Index(Config):
    """A CSV file that says the class of each file."""

    file: str
    """Its path under the data's folder."""
    path: str
    """Path of a row's file under the data's folder, with the names of columns in braces."""
    label: str
    """The column that holds the class."""


class Benchmark(Config):
    """One benchmark of zero-shot classification."""

    name: str
    """Its short name: its key in the registry, or the file's name."""
    title: str
    """Its name, for people."""
    modality: str
    """What its items are."""
    classes: Annotated[Mapping[str, str] | Literal["folders"], BeforeValidator(_as_mapping)]
    """Folder on disk → words in prompts; ``folders`` for those that are found."""
    templates: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    """Prompts, with ``{}`` for the class."""
    index: Index | None = None
    """For data without a folder per class."""
    source: str
    """Where classes and prompts come from."""
    licence: str = "unknown"
    """Of the data."""
    layout: str
    """How the data lies on disk, in a sentence."""
    size: int | None = Field(default=None, gt=0)
    """Items in the whole of the data; None where it is not known."""
    metric: Literal["top-1", "mean per-class recall"] = "top-1"
    """The figure it is quoted by."""
    note: str = ""
    """What else must be known to compare figures."""

    @field_validator("classes")
    @classmethod
    def _check_classes(cls, classes: Mapping[str, str] | str) -> Mapping[str, str] | str:
        if isinstance(classes, str):
            return classes
        if len(classes) < 2:
            raise ValueError("there are fewer than two classes")
        if twice := _twice(classes.values()):
            raise ValueError(f"two classes have the same words {twice!r}")
        if "" in classes.values():
            raise ValueError("a class has no words")
        return classes

    @field_validator("templates")
    @classmethod
    def _check_templates(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        if twice := _twice(templates):
            raise ValueError(f"template {twice!r} is given twice")
        return tuple(map(check_template, templates))


def benchmarks() -> dict[str, Benchmark]:
    """The registry's benchmarks by name.

    Raises:
        RecipeError: The registry is damaged, with file and line.
    """
    return dict(_registered())


def benchmark(name: str) -> Benchmark:
    """A benchmark of the registry by its name, or that of a YAML file by its path.

    A file holds the keys of one benchmark, as they stand under its name in ``registry/benchmarks.yaml``.

    Raises:
        GeobindError: Neither is there, with the nearest name.
        RecipeError: The file makes no sense, with file and line.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise GeobindError(f"benchmark file {name!r} does not exist", fix="Give the path of a YAML file.")
        document = read_document(path, "benchmark", example=f"registry/{FILE}")
        return _parse(document, (), path.stem, document.values, _template_sets())
    known = _registered()
    if name not in known:
        raise GeobindError(
            f"unknown benchmark {name!r}", fix=nearest(name, known) + " Or give a path to a .yaml file of your own."
        )
    return known[name]


def digest(lines: Iterable[str]) -> str:
    """A short hash of some lines in their order: equal for equal prompts or classes."""
    return hashlib.sha256(json.dumps(list(lines), ensure_ascii=False).encode()).hexdigest()[:12]


@cache
def _document() -> Document:
    return read_document(registry() / FILE)


@cache
def _registered() -> dict[str, Benchmark]:
    document, sets = _document(), _template_sets()
    return {
        name: _parse(document, ("benchmarks", name), name, values, sets)
        for name, values in document.values["benchmarks"].items()
    }


def _template_sets() -> dict[str, list[str]]:
    return dict(_document().values["templates"])


def _parse(document: Document, key: Key, name: str, values: Any, sets: Mapping[str, list[str]]) -> Benchmark:
    """Check what stands at ``key`` of a document, with the name of a template set replaced by its templates."""
    if not isinstance(values, dict):
        raise RecipeError(f"benchmark {name!r} is no mapping of keys", where=document.where(key))
    values = {"name": name, **values}
    if isinstance(named := values.get("templates"), str):
        if named not in sets:
            raise RecipeError(
                f"unknown template set {named!r}", where=document.where((*key, "templates")), fix=nearest(named, sets)
            )
        values = {**values, "templates": sets[named]}
    try:
        return Benchmark.model_validate(values)
    except ValidationError as error:
        item = error.errors()[0]
        known = Index.model_fields if item["loc"][:1] == ("index",) else Benchmark.model_fields
        raise RecipeError(explain(dict(item), known), where=document.where((*key, *item["loc"]))) from error


def _twice(values: Iterable[str]) -> str | None:
    """A value that stands there more than once."""
    return next((value for value, count in Counter(values).items() if count > 1), None)

"""What a segmentation task is: images, maps of classes and their words, from the registry or a file of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from geobind.errors import GeobindError, RecipeError, explain, nearest
from geobind.evaluate.zeroshot.benchmarks import check_template
from geobind.modality import Config
from geobind.plan import registry
from geobind.yamlfile import Document, Key, read_document

FILE = "segmentation.yaml"


class Segmentation(Config):
    """One task: which class does each pixel show?"""

    name: str
    """Its short name: its key in the registry, or the file's name."""
    summary: str
    """What is told apart over what, as a heading."""
    image: str
    """Modality of the images."""
    masks: str = "classmap"
    """Modality of the maps of classes: integer codes [H, W] that cover the same ground as the image."""
    dataset: dict[str, Any] | None = None
    """Where both are, as in a recipe; null for the data of the space."""
    legend: Mapping[int, Annotated[str, Field(min_length=1)]]
    """Code in the maps → words of its class. Codes of equal words are one class."""
    ignore: tuple[int, ...] = ()
    """Codes that are neither learnt nor counted; −1, which stands where there is no data, never is."""
    templates: tuple[str, ...] = ("a satellite photo of {}.",)
    """Prompts, with ``{}`` for the class; an empty list where the words mean nothing, and then nothing is told by
    words."""
    folds: int | None = Field(default=None, ge=2)
    """For few places: pool all splits and learn so many times, each place being tested by what never saw it."""
    limit: int | None = Field(default=None, ge=1)
    """Places of each split at most, drawn at random."""
    source: str = ""
    """Where maps and words come from."""
    licence: str = "unknown"
    """Of the maps."""
    note: str = ""
    """What else must be known to read the figures."""

    @field_validator("legend")
    @classmethod
    def _check_legend(cls, legend: Mapping[int, str]) -> Mapping[int, str]:
        if len(set(legend.values())) < 2:
            raise ValueError("there are fewer than two classes")
        return legend

    @field_validator("ignore")
    @classmethod
    def _check_ignore(cls, ignore: tuple[int, ...], info: Any) -> tuple[int, ...]:
        if both := sorted(set(ignore) & set(info.data.get("legend", ()))):
            raise ValueError(f"code {both[0]} is ignored and stands in the legend")
        return ignore

    @field_validator("templates")
    @classmethod
    def _check_templates(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(check_template, templates))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The words of the classes, each once, in the order of the legend."""
        return tuple(dict.fromkeys(self.legend.values()))


def segmentations() -> dict[str, Segmentation]:
    """The registry's tasks by name.

    Raises:
        RecipeError: The registry is damaged, with file and line.
    """
    return dict(_registered())


def segmentation(name: str) -> Segmentation:
    """A task of the registry by its name, or that of a YAML file by its path.

    A file holds the keys of one task, as they stand under its name in ``registry/segmentation.yaml``.

    Raises:
        GeobindError: Neither is there, with the nearest name.
        RecipeError: The file makes no sense, with file and line.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise GeobindError(f"segmentation file {name!r} does not exist", fix="Give the path of a YAML file.")
        document = read_document(path, "segmentation task", example=f"registry/{FILE}")
        return _parse(document, (), path.stem, document.values)
    known = _registered()
    if name not in known:
        raise GeobindError(
            f"unknown segmentation task {name!r}",
            fix=nearest(name, known) + " Or give a path to a .yaml file of your own.",
        )
    return known[name]


@cache
def _registered() -> dict[str, Segmentation]:
    document = read_document(registry() / FILE)
    return {name: _parse(document, (name,), name, values) for name, values in document.values.items()}


def _parse(document: Document, key: Key, name: str, values: Any) -> Segmentation:
    if not isinstance(values, dict):
        raise RecipeError(f"segmentation task {name!r} is no mapping of keys", where=document.where(key))
    try:
        return Segmentation.model_validate({"name": name, **values})
    except ValidationError as error:
        item = error.errors()[0]
        what = explain(dict(item), Segmentation.model_fields)
        raise RecipeError(what, where=document.where((*key, *item["loc"]))) from error

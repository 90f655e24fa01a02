"""What the core itself brings, through the same door as every plugin: a dataset, losses and trackers."""

from __future__ import annotations

import math
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from geobind.errors import nearest
from geobind.hookspecs import hookimpl
from geobind.modality import Config, DatasetSpec, LossSpec, TrackerSpec

PATTERN_FIELDS = ("id", "split", "group")
"""What a pattern of the folder dataset may name in braces."""


def _shares(fractions: tuple[float, float, float]) -> tuple[float, float, float]:
    if not (min(fractions) >= 0 and 0 < sum(fractions) < math.inf):
        raise ValueError("shares cannot be negative, and one at least is positive")
    return fractions


Shares = Annotated[tuple[float, float, float], AfterValidator(_shares)]
"""What train, val and test get; their sum is the whole."""


class ManifestItems(Config):
    """How a manifest holds one modality."""

    column: str | None = None
    """Column of paths or texts. In a long manifest ``path``; in a wide one the modality's own name."""
    lat: str | None = None
    """Column of latitudes in degrees, for a modality that is a coordinate."""
    lon: str | None = None
    """Column of longitudes in degrees."""
    where: dict[str, str] = Field(default_factory=dict)
    """Only rows whose columns have these values."""
    text: bool = False
    """The column holds texts (one, or a JSON list of several) rather than paths."""


class ManifestPairs(Config):
    """A file of explicit pairs: a CSV whose columns name the ids of two modalities' rows."""

    path: Path
    """The CSV or Parquet file; relative paths are taken from the manifest's folder."""
    columns: dict[str, str]
    """Modality → column with its ids, for the two modalities that are paired."""
    origin: str
    """How these pairs came about, for example ``true location within 2 km``."""
    splits: tuple[str, ...] = ("train", "val", "test")
    """The splits these pairs are used in."""


class ManifestConfig(Config):
    """A table of pairs, wide (a column per modality) or long (a row per item)."""

    path: Path
    """CSV or Parquet file."""
    delimiter: str = Field(",", min_length=1, max_length=1)
    """Between the fields of a CSV file."""
    root: Path | None = None
    """Folder that the manifest's file paths are relative to; its own folder when absent."""
    items: dict[str, ManifestItems]
    """Modality → how the table holds it."""
    id: str | None = None
    """Column that names the place (wide) or the item (long); the row number when absent."""
    split: str | None = None
    """Column with ``train``, ``val`` or ``test``. When absent, rows are split by spatial blocks."""
    block_deg: float = Field(1.0, gt=0)
    """Side in degrees of the spatial blocks, where there is no split column."""
    fractions: Shares = (0.7, 0.15, 0.15)
    """Shares of blocks for train, val and test, where there is no split column."""
    seed: int = 0
    """Seed of the block split."""
    group: str | None = None
    """Column whose equal values make items positives that share no id (a scene class)."""
    lat: str | None = None
    """Column of latitudes in degrees: needed for the block split."""
    lon: str | None = None
    """Column of longitudes in degrees."""
    tags: tuple[str, ...] = ()
    """Columns by which ``evaluate --by`` may take subsets."""
    origin: str
    """How items of one row (or id) came together, for example ``true location``."""
    origins: dict[str, str] = Field(default_factory=dict)
    """Modality → its own word on how it was tied to a place, where it differs."""
    pairs: tuple[ManifestPairs, ...] = ()
    """Files of explicit pairs."""
    strict: bool = True
    """Stop at the first row with a missing file or impossible coordinates, or that repeats another in every column;
    false skips, counts and lists them."""


class FolderConfig(Config):
    """Files in folders, whose paths say which place each belongs to."""

    root: Path
    """Folder that all patterns start from."""
    items: dict[str, str] = Field(min_length=1)
    """Modality → pattern of its files, such as ``images/{split}/{id}_*.jpg``. ``{id}`` names the place; ``{split}``
    (``train``, ``val`` or ``test``) and ``{group}`` (a scene class) say where it belongs; ``*`` is anything. None of
    them crosses a ``/``. What one pattern says of a place holds for its files of every modality."""
    texts: tuple[str, ...] = ("text",)
    """Modalities whose files hold UTF-8 texts, one a line; of every other the file itself is the item."""
    places: Path | None = None
    """CSV file under ``root`` with the columns ``id``, ``lat`` and ``lon`` (degrees). The coordinates are the items of
    ``location`` too, and make spatial blocks where no pattern has ``{split}``."""
    block_deg: float = Field(1.0, gt=0)
    """Side in degrees of the spatial blocks, where no pattern has ``{split}``."""
    fractions: Shares = (0.7, 0.15, 0.15)
    """Shares of blocks for train, val and test, where no pattern has ``{split}``."""
    seed: int = 0
    """Seed of the block split."""
    origin: str
    """How files of one id came together, for example ``true location``."""
    origins: dict[str, str] = Field(default_factory=dict)
    """Modality → its own word on how it was tied to a place, where it differs."""

    @model_validator(mode="after")
    def _check(self) -> FolderConfig:
        for pattern in [*self.items.values(), *([self.places.as_posix()] if self.places else [])]:
            path = PurePosixPath(pattern)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"{pattern!r} leads out of the root")
        for modality, pattern in self.items.items():
            for field in re.findall(r"{(.*?)}", pattern):
                if field not in PATTERN_FIELDS:
                    told = nearest(field, PATTERN_FIELDS).rstrip(".")
                    raise ValueError(f"the pattern of {modality!r} has an unknown field {{{field}}}. {told}")
            if "{id}" not in pattern:
                raise ValueError(f"the pattern of {modality!r}, {pattern!r}, lacks {{id}}, which names the place")
            if "**" in pattern:
                raise ValueError(f"the pattern of {modality!r} has `**`; write one `*/` for every folder on the way")
        if "texts" in self.model_fields_set and (unknown := set(self.texts) - set(self.items)):
            raise ValueError(f"texts names {sorted(unknown)}, which `items` has no pattern of")
        return self


class ResplitConfig(Config):
    """Another dataset, split anew place by place."""

    dataset: dict[str, Any]
    """``{type: NAME, …}``: the dataset whose splits are pooled."""
    by: Literal["random", "blocks"]
    """Places at random, or whole spatial blocks of them."""
    degrees: float = Field(1.0, gt=0)
    """Side in degrees of the spatial blocks."""
    fractions: Shares = (0.7, 0.15, 0.15)
    """Shares for train, val and test: of places at random, or of blocks."""
    seed: int = 0
    """Seed of the split and of what a limit leaves out."""
    modalities: tuple[str, ...] = ()
    """Hold these alone, and only places that have items of all of them; empty for everything."""
    located: bool = False
    """Only places whose coordinates are known."""
    limit: dict[Literal["train", "val", "test"], PositiveInt] = Field(default_factory=dict)
    """At most so many places of a split, drawn at random: splits made in two ways can be of equal size."""


class InfoNCEConfig(Config):
    """Cross-entropy over the batch, with a learnt temperature."""

    direction: Literal["both", "anchor_to_modality", "modality_to_anchor"] = "both"
    """Which side asks: its embedding is classified among those of the other side."""
    temperature: float = Field(0.07, gt=0)
    """Initial temperature."""
    learn_temperature: bool = True
    """Whether the temperature learns."""
    max_scale: float = Field(100.0, gt=1)
    """Largest inverse temperature; it is clamped to [1, max_scale]."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target that is spread evenly over all candidates."""
    queue: int = Field(0, ge=0)
    """Embeddings of past batches that serve as further candidates (MoCo, arXiv 1911.05722; Sat2Cap keeps 9,000)."""


class SigLIPConfig(Config):
    """Pairwise sigmoid loss, with a learnt temperature and bias."""

    temperature: float = Field(0.1, gt=0)
    """Initial temperature (the paper's t' = ln 10)."""
    bias: float = -10.0
    """Initial bias."""
    max_scale: float = Field(100.0, gt=1)
    """Largest inverse temperature."""


@hookimpl
def geobind_datasets() -> list[DatasetSpec]:
    """A table, a folder of files, and another split of any dataset."""
    return [
        DatasetSpec(
            name="manifest",
            config=ManifestConfig,
            build="geobind.data.manifest:build",
            summary="Your own table of pairs, CSV or Parquet, wide or long",
            example="geobind.data.examples:manifest",
        ),
        DatasetSpec(
            name="folder",
            config=FolderConfig,
            build="geobind.data.folder:build",
            summary="Files in folders, whose paths name their place",
            example="geobind.data.folder:example",
        ),
        DatasetSpec(
            name="resplit",
            config=ResplitConfig,
            build="geobind.studies.resplit:build",
            summary="Another dataset, split anew at random or by spatial blocks",
            example="geobind.data.examples:resplit",
        ),
    ]


@hookimpl
def geobind_losses() -> list[LossSpec]:
    """InfoNCE and SigLIP."""
    return [
        LossSpec(
            name="infonce",
            config=InfoNCEConfig,
            build="geobind.bind.losses:build_infonce",
            summary="Cross-entropy over the batch, one way or both, several positives",
        ),
        LossSpec(
            name="siglip",
            config=SigLIPConfig,
            build="geobind.bind.losses:build_siglip",
            summary="Pairwise sigmoid, several positives",
        ),
    ]


@hookimpl
def geobind_trackers() -> list[TrackerSpec]:
    """TensorBoard and Weights & Biases."""
    return [
        TrackerSpec(
            name="tensorboard",
            build="geobind.bind.runs.trackers:tensorboard",
            summary="Event files in the run folder, for `tensorboard --logdir runs`",
        ),
        TrackerSpec(
            name="wandb",
            build="geobind.bind.runs.trackers:wandb",
            summary="Weights & Biases, project $WANDB_PROJECT or geobind; WANDB_MODE=offline keeps it local",
        ),
    ]

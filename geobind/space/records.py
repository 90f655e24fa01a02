"""What ``space.json`` says: the towers of a space, where each comes from, and what it belongs to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from geobind.config import Head
from geobind.errors import SpaceError, explain
from geobind.modality import Config

FORMAT = 1
"""Version of the space folder."""


class Bound(Config):
    """How a tower came into its space."""

    stage: str
    """Name of the stage."""
    train: str
    """What learnt in it."""
    loss: dict[str, Any]
    """The loss with its learnt scalars; a temperature is never folded into embeddings."""
    origin: str
    """How the training pairs came about."""
    pairs: int
    """How many there were."""
    data: str
    """Fingerprint of the dataset."""


class Merged(Config):
    """What a tower was merged from: ``(1 - alpha) · a + alpha · b``."""

    a: str
    """Fingerprint of the one tower."""
    b: str
    """Fingerprint of the other."""
    alpha: float
    """Share of the other."""


class TowerRecord(Config):
    """One tower of a space."""

    modality: str
    """Its modality."""
    tower: str = ""
    """Name of the tower, where modalities share it: their records name one file. Empty for a tower of its own."""
    encoder: dict[str, Any]
    """``{type: NAME, …}`` with every default spelt out."""
    head: Head
    """Its head."""
    preprocessing: dict[str, Any]
    """What its encoder does to an item, as it describes it."""
    weights: str
    """Where its initial weights came from; ``random`` when from nowhere."""
    licence: str
    """Licence of those weights."""
    file: str
    """Its safetensors file, relative to the space folder."""
    sha256: str
    """Hash of that file."""
    bound_to: str
    """Fingerprint of the anchor it was bound to; the anchor's own for the anchor."""
    stages: tuple[str, ...] = ()
    """Stages that trained it, in order."""
    bound: Bound | None = None
    """How it was bound; None for the anchor."""
    lineage: tuple[str, ...] = ()
    """Hashes of the weights it has had: its initial ones first, then what each stage left. Towers that share one have
    one ancestry. Empty in a space from before this was kept."""
    merged: Merged | None = None
    """What it was merged from by ``geobind merge``; None once a stage has trained it again."""

    @property
    def name(self) -> str:
        """Name of the tower: the one that modalities share, or that of its modality."""
        return self.tower or self.modality

    @property
    def fingerprint(self) -> str:
        """Identity of the tower: its architecture, its preprocessing and its weights."""
        return fingerprint(self.encoder, self.head, self.preprocessing, self.sha256)


class SpaceRecord(Config):
    """The whole of ``space.json``."""

    format: int = FORMAT
    """Version of the folder's layout."""
    geobind: str
    """Version that wrote it."""
    dim: int
    """Dimensions of every embedding."""
    anchor: str
    """The modality that defines the space."""
    towers: dict[str, TowerRecord]
    """Modality → tower."""
    recipe: dict[str, Any]
    """The resolved recipe of the last bind."""
    recipe_name: str
    """Its name."""

    @property
    def fingerprint(self) -> str:
        """Identity of the anchor, and so of the space."""
        return self.towers[self.anchor].fingerprint

    @property
    def stale(self) -> tuple[str, ...]:
        """Towers bound to another state of the anchor than the one here."""
        now = self.fingerprint
        return tuple(name for name, tower in self.towers.items() if name != self.anchor and tower.bound_to != now)


def read_record(path: Path) -> SpaceRecord:
    """Read and check the ``space.json`` of a space folder.

    Raises:
        SpaceError: There is none, it is damaged, or it is of another format.
    """
    file = path / "space.json"
    if not file.is_file():
        raise SpaceError(f"there is no space in {str(path)!r}", fix="Make one: `geobind bind --recipe world`.")
    try:
        record = SpaceRecord.model_validate_json(file.read_bytes())
    except ValidationError as error:
        what = explain(dict(error.errors()[0]), SpaceRecord.model_fields)
        raise SpaceError(f"space.json cannot be used: {what}", where=str(file)) from error
    if record.format != FORMAT:
        what = f"the space has format {record.format}, this geobind reads {FORMAT}"
        raise SpaceError(what, where=str(file), fix="Update geobind.")
    return record


def fingerprint(encoder: dict[str, Any], head: Head, preprocessing: dict[str, Any], sha256: str) -> str:
    """Hash of all that decides a tower's embeddings, 16 hex digits."""
    parts = {"encoder": encoder, "head": head.model_dump(), "preprocessing": preprocessing, "weights": sha256}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

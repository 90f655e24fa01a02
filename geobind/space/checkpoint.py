"""The space folder: ``space.json``, one safetensors file per tower, and a card.

Tower files are named by their content and written before ``space.json`` points at them, so that a
reader meets the old space or the new one, whatever moment the writer was interrupted at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save

from geobind.config import Head
from geobind.errors import PluginError, SpaceError
from geobind.files import write_atomic
from geobind.modality import Choice, EncoderSpec
from geobind.plugins import Plugins, get_plugins
from geobind.space.card import render_card
from geobind.space.heads import Tower, build_head
from geobind.space.recipe import explain_absent
from geobind.space.records import SpaceRecord, TowerRecord, read_record
from geobind.space.space import Space
from geobind.weights import file_sha256, load_safetensors

ENTRY = 16
"""Digits of an entry of a tower's lineage."""


def load(path: str | Path, *, device: str | None = None, plugins: Plugins | None = None) -> Space:
    """Open a space folder; towers are read when they are first used.

    Args:
        path: The folder that ``geobind bind`` wrote.
        device: Where towers live; a GPU when there is one, else the CPU.
        plugins: The plugins that know its encoders; the installed ones by default.

    Raises:
        SpaceError: No space there, or one of another format.
    """
    path = Path(path)
    record = read_record(path)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    known = plugins or get_plugins()
    return Space(path, record, lambda tower: read_tower(path, tower, record.dim, known), device)


def make_tower(encoder: Choice[EncoderSpec], head: Head, dim: int, seed: int) -> Tower:
    """Build a tower with random weights, drawn from ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = encoder.build()
        where = f"{encoder.spec.modalities[0]} tower, encoder {encoder.type!r}"
        return Tower(built, build_head(head, built.embed_dim, dim, where=where))


def tower_file(path: Path, record: TowerRecord) -> Path:
    """The file of a tower of the space in ``path``.

    Raises:
        SpaceError: It is missing.
    """
    file = path / record.file
    if not file.is_file():
        raise SpaceError(f"tower file {str(file)!r} is missing", fix="Copy the whole folder, or bind it again.")
    return file


def read_tower(path: Path, record: TowerRecord, dim: int, plugins: Plugins) -> Tower:
    """Build a tower and fill it from its file; pretrained weights are not looked for.

    Raises:
        SpaceError: The file is absent, altered, or does not fit the architecture.
        PluginError: No plugin here has the encoder for the modality.
        WeightsError: The file is no safetensors file.
    """
    file = tower_file(path, record)
    state = load_safetensors(file)
    if (found := file_sha256(file)) != record.sha256:
        raise SpaceError(
            f"the {record.modality} tower's file has SHA-256 {found}, space.json says {record.sha256}",
            where=str(file),
            fix="The folder mixes two spaces or is damaged: copy it again, or bind the modality again.",
        )
    try:
        encoder = plugins.encoder(record.modality, record.encoder)
    except PluginError as error:
        explain_absent([record], plugins, str(path), error)
        raise
    tower = make_tower(encoder, record.head, dim, seed=0)
    try:
        tower.load_state_dict(state, strict=True)
    except RuntimeError as error:
        what = f"the {record.modality} tower does not fit its architecture: {error}"
        raise SpaceError(what, where=str(file), fix="Was it written by another version of its plugin?") from error
    return tower.eval()


def save_space(path: Path, record: SpaceRecord, changed: Mapping[str, Tower]) -> SpaceRecord:
    """Write the changed towers, then the record and the card; untouched towers' files are left as they are.

    Args:
        path: The space folder.
        record: What ``space.json`` shall say; ``file`` and ``sha256`` of changed towers, the last entry of their
            ``lineage``, and the ``bound_to`` of towers bound in this write (given as the empty string), are filled in
            here.
        changed: Modality → tower whose weights differ from what is on disk. One that modalities share is given for
            any of them, and written once; the records of all of them name it.

    Returns:
        The record as written.
    """
    towers = dict(record.towers)
    for name, tower in {record.towers[modality].name: tower for modality, tower in changed.items()}.items():
        data = _serialised(tower)
        sha256 = hashlib.sha256(data).hexdigest()
        file = f"towers/{name}-{sha256[:12]}.safetensors"
        if not (path / file).is_file() or file_sha256(path / file) != sha256:
            write_atomic(path / file, data)
        for modality, own in towers.items():
            if own.name == name:
                lineage = tuple(dict.fromkeys((*own.lineage, sha256[:ENTRY])))
                towers[modality] = own.model_copy(update={"file": file, "sha256": sha256, "lineage": lineage})
    anchor = towers[record.anchor].fingerprint
    towers = {
        name: tower if tower.bound_to and name != record.anchor else tower.model_copy(update={"bound_to": anchor})
        for name, tower in towers.items()
    }
    written = record.model_copy(update={"towers": towers})
    write_atomic(path / "space.json", written.model_dump_json(indent=2) + "\n")
    write_atomic(path / "README.md", render_card(path.resolve().name, written))
    named = {tower.file for tower in towers.values()}
    for old in (path / "towers").glob("*.safetensors"):
        if f"towers/{old.name}" not in named:
            old.unlink()
    return written


def lineage_entry(tower: Tower) -> str:
    """What a tower's lineage knows its present weights by: the beginning of the hash of the file they would be."""
    return hashlib.sha256(_serialised(tower)).hexdigest()[:ENTRY]


def _serialised(tower: Tower) -> bytes:
    """A tower's state as the bytes of its file."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tower.state_dict().items()})

"""What every dataset does with its items: they load, suit their encoders, travel, and are known by their keys."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pydantic import ValidationError

from geobind.authoring.checks.check import check, require
from geobind.authoring.checks.subjects import DatasetSubject, EncoderSubject
from geobind.authoring.checks.tools.described import Described, describe, order_of
from geobind.authoring.checks.tools.elsewhere import call_elsewhere
from geobind.authoring.checks.tools.example_data import Loaded, built, drop_last_row, files_to_damage
from geobind.authoring.checks.tools.values import alike, finite
from geobind.errors import DataError, GeobindError
from geobind.modality import Config, EncoderSpec

if TYPE_CHECKING:
    from geobind.encoder import Encoder

SAMPLES = 4
"""Items of a modality that its encoder is shown."""


@check(DatasetSubject)
def items_can_be_loaded(subject: DatasetSubject) -> None:
    """Every item of the example loads."""
    for failed in built(subject).failures:
        found = f"{failed.name} cannot be loaded: {type(failed.item).__name__}: {failed.item}"
        require(False, found, "Every item of the example must load.")


@check(DatasetSubject)
def items_are_finite(subject: DatasetSubject) -> None:
    """No item of the example holds a NaN or an infinity, unless they mean that a value is missing (declare it)."""
    for loaded in built(subject).loaded:
        fix = "Leave the item out and list it in `skipped()`, or fill the gap and say so in `item` of the modality."
        require(finite(loaded.item), f"{loaded.name} holds a NaN or an infinity", fix)


@check(DatasetSubject)
def items_suit_an_encoder(subject: DatasetSubject) -> None:
    """An encoder of their modality, where one is installed, prepares items, with the same keys and types for each."""
    for modality in built(subject).dataset.modalities:
        encoder = _encoder(subject, modality)
        loaded = [found for found in built(subject).loaded if found.table.modality == modality][:SAMPLES]
        kinds = set()
        for found in loaded if encoder else ():
            try:
                sample = encoder.preprocess(found.item, train=False)  # type: ignore[union-attr]
            except DataError as error:
                require(False, f"{type(encoder).__name__} refuses {found.name}: {error}", "See `item` of the modality.")
            kinds.add(tuple(sorted((key, str(tensor.dtype)) for key, tensor in sample.items())))
        require(
            len(kinds) < 2,
            f"{modality} items become samples of several kinds: {' and '.join(map(str, sorted(kinds)))}",
            "Give every item the same type and layout.",
        )


@check(DatasetSubject)
def equal_keys_are_equal_items(subject: DatasetSubject) -> None:
    """Items of one modality that have the same key are equal: features are kept under it."""
    first: dict[tuple[str, str], Loaded] = {}
    for found in built(subject).loaded:
        other = first.setdefault((found.table.modality, str(found.table.key[found.row])), found)
        require(
            alike(found.item, other.item),
            f"{other.name} and {found.name} have the key {str(found.table.key[found.row])!r}, and differ",
            "Make the key of all that decides what the item is.",
        )


@check(DatasetSubject)
def items_pickle_to_workers(subject: DatasetSubject) -> None:
    """Tables of items can be pickled, and load the same items where they arrive."""
    fix = "Let `load` be a function or a frozen dataclass at the top of a module, rather than a closure."
    there = {}
    for split, table in built(subject).tables:
        try:
            there[split, table.modality] = pickle.loads(pickle.dumps(table))  # noqa: S301 pickled this moment
        except Exception as error:  # pickle lets through whatever a stranger's object raises
            require(False, f"{table.modality} items in {split} cannot be pickled: {error}", fix)
    for found in built(subject).loaded:
        same = alike(there[found.split, found.table.modality][found.row], found.item)
        require(same, f"{found.name} is another after its table was pickled", fix)


@check(DatasetSubject)
def fingerprint_is_stable(subject: DatasetSubject) -> None:
    """The same data has the same fingerprint when it is built again, here or in another process."""
    config, dataset = built(subject).config, built(subject).dataset
    one, again, elsewhere = dataset.fingerprint, subject.build(config).fingerprint, _elsewhere(subject).fingerprint
    require(isinstance(one, str) and bool(one), f"the fingerprint is {one!r}", "Make it a text, such as a hash.")
    fix = "Hash the config and the data by hashlib, without times, ids of objects or Python's hash()."
    require(one == again, f"the fingerprint is {one!r}, and {again!r} when it is built again", fix)
    require(one == elsewhere, f"the fingerprint is {one!r} here, and {elsewhere!r} in another process", fix)


@check(DatasetSubject)
def fingerprint_follows_the_data(subject: DatasetSubject) -> None:
    """The fingerprint is another when a file of the data is another or, where there are none, a config value."""
    with TemporaryDirectory() as folder:
        config = subject.write(Path(folder))
        one = subject.build(config).fingerprint
        files = files_to_damage(Path(folder))
        tried = False
        for other in _with_other_files(files, config) if files else _with_other_values(config):
            tried = True
            with suppress(GeobindError):  # what was changed makes no sense: try the next
                if subject.build(other).fingerprint != one:
                    return
    require(not tried, f"whatever is changed, the fingerprint is {one!r}", "Hash the config and what the files hold.")


@check(DatasetSubject)
def order_is_stable(subject: DatasetSubject) -> None:
    """Items have the same order in every process, whatever the order in which folders list their files."""
    elsewhere = _elsewhere(subject).order
    for split, table in built(subject).tables:
        require(
            order_of(table) == elsewhere.get((table.modality, split)),
            f"{table.modality} items in {split} have another order in another process",
            "Sort what folders list, and iterate over no set.",
        )


@lru_cache(maxsize=1)
def _elsewhere(subject: DatasetSubject) -> Described:
    return call_elsewhere(subject.plugins, describe, subject.spec.build, built(subject).config)


def _with_other_files(files: list[Path], config: Config) -> Iterator[Config]:
    """The same configuration, while one file after the other lacks a row, has another last byte, or is gone."""
    for path in files:
        content = path.read_bytes()
        for change in (drop_last_row, _flip_last_byte, Path.unlink):
            if change(path) is not False:
                yield config
            path.write_bytes(content)


def _flip_last_byte(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if content else b"\0")


def _with_other_values(config: Config) -> Iterator[Config]:
    """The same configuration with another value of one field after the other, where another is allowed."""
    for name, value in config:
        others = (
            [not value] if isinstance(value, bool) else [value + 1, value / 2] if isinstance(value, int | float) else []
        )
        for other in others:
            with suppress(ValidationError):
                yield type(config).model_validate({**config.model_dump(), name: other})


def _encoder(subject: DatasetSubject, modality: str) -> Encoder | None:
    """A small encoder of a modality, best of the same plugin; None where none is installed that can be built."""
    specs = [spec for spec in subject.plugins.specs(EncoderSpec) if modality in spec.modalities]
    for spec in sorted(specs, key=lambda spec: (spec not in subject.record.specs, not spec.example)):
        with suppress(Exception):  # an encoder that cannot be built has checks of its own
            return EncoderSubject(subject.plugins, subject.record, spec).build()
    return None

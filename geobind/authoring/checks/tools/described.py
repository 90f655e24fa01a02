"""A dataset as another process sees it, in which folders list their files the other way round. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from geobind.authoring.checks.tools.example_data import tables_of
from geobind.data.items import Dataset, Items
from geobind.modality import Config, load_object


@dataclass(frozen=True)
class Described:
    """What two processes must agree on."""

    fingerprint: str
    order: dict[tuple[str, str], list[tuple[str, str]]]
    """Modality and split → place and key of each item."""


def describe(build: str, config: Config) -> Described:
    """Build a dataset and describe it, having turned round how this process lists folders."""
    listdir, scandir = os.listdir, os.scandir
    os.listdir = lambda *where: listdir(*where)[::-1]  # type: ignore[assignment]
    os.scandir = lambda *where: _Backwards(scandir(*where))  # type: ignore[assignment]
    dataset: Dataset = load_object(build)(config)
    order = {(table.modality, split): order_of(table) for split, table in tables_of(dataset)}
    return Described(dataset.fingerprint, order)


def order_of(table: Items) -> list[tuple[str, str]]:
    """Place and key of each item."""
    return list(zip(table.place.tolist(), table.key.tolist(), strict=True))


class _Backwards(AbstractContextManager["_Backwards"]):
    """What ``os.scandir`` gives, from its end."""

    def __init__(self, entries: AbstractContextManager[Iterator[os.DirEntry[str]]]) -> None:
        with entries as listed:
            self._entries = iter([*listed][::-1])

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        return self._entries

    def __next__(self) -> os.DirEntry[str]:
        return next(self._entries)

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is open any more."""

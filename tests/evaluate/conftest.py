"""A made-up space: its modalities see the same hidden places, each through its own noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geobind.data.items import Dataset, Items
from geobind.data.pairs import Pairs
from geobind.errors import DataError


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def text(values: Sequence[Any]) -> np.ndarray:
    return np.array([str(value) for value in values], dtype=np.str_)


def make_items(modality: str, places: Sequence[Any], **columns: Any) -> Items:
    """Items that are their own keys, ``modality:place:row`` unless a ``key`` column is given."""
    key = text(columns.pop("key", [f"{modality}:{place}:{row}" for row, place in enumerate(places)]))
    tags = {name: text(column) for name, column in columns.pop("tags", {}).items()}
    group = columns.pop("group", None)
    return Items(
        modality, lambda i: str(key[i]), text(places), key, None if group is None else text(group), tags=tags, **columns
    )


class FakeDataset(Dataset):
    """Tables given as they are, all of them in the split ``test``."""

    def __init__(self, tables: Sequence[Items], origin: str | Callable[[str, str], str], listed: Any, name: str):
        self.tables = {items.modality: items for items in tables}
        self.modalities = tuple(self.tables)
        self.word, self.listed, self.name = origin, listed or {}, name

    def items(self, modality: str, split: str) -> Items:
        items = self.tables[modality]
        return items if split == "test" else items.take(np.arange(0))

    def origin(self, a: str, b: str) -> str:
        return self.word if isinstance(self.word, str) else self.word(a, b)

    def listed_pairs(self, a: str, b: str, split: str) -> np.ndarray | None:
        return self.listed.get((a, b))

    @property
    def fingerprint(self) -> str:
        return self.name


class FakeSpace:
    """Encodes a key ``modality:place:row`` as its place's hidden vector plus noise of its own."""

    name, dim, path, fingerprint = "toy", 16, Path("toy"), "f00dcafe"

    def __init__(self, modalities: Sequence[str], trained: Sequence[str], noise: Mapping[str, float]):
        self.anchor = modalities[0]
        self.towers = dict.fromkeys(modalities)
        self.trained_pairs = frozenset(frozenset((self.anchor, name)) for name in trained)
        self.noise = noise
        self.encoded: list[tuple[str, list[str]]] = []
        self.broken: set[str] = set()

    def encode(self, modality: str, items: Sequence[Any], *, advance: Callable[[int], object] = lambda n: None):
        if modality in self.broken:
            raise DataError(f"a {modality} item cannot be read", where="row 3")
        keys = [str(items[i]) for i in range(len(items))]
        self.encoded.append((modality, keys))
        advance(len(keys))
        return unit(np.stack([self._vector(modality, key) for key in keys]))

    def _vector(self, modality: str, key: str) -> np.ndarray:
        place = key.split(":")[1] if ":" in key else key
        hidden, own = (np.random.default_rng(list(seed.encode())).standard_normal(self.dim) for seed in (place, key))
        return hidden + self.noise.get(modality, 0.5) * own


@pytest.fixture
def items() -> Callable[..., Items]:
    return make_items


@pytest.fixture
def dataset() -> Callable[..., FakeDataset]:
    def make(*tables: Items, origin: Any = "true location", listed: Any = None, name: str = "data-1") -> FakeDataset:
        return FakeDataset(tables, origin, listed, name)

    return make


@pytest.fixture
def space() -> Callable[..., FakeSpace]:
    def make(*modalities: str, trained: Sequence[str] = (), noise: Mapping[str, float] | None = None) -> FakeSpace:
        return FakeSpace(modalities, trained, noise or {})

    return make


@pytest.fixture
def labelled() -> Callable[..., Pairs]:
    """Pairs of two modalities from their labels alone."""

    def make(label_a: Sequence[int], label_b: Sequence[int]) -> Pairs:
        a, b = make_items("a", list(label_a)), make_items("b", list(label_b))
        return Pairs(a, b, "group", "made up", np.asarray(label_a, dtype=np.int64), np.asarray(label_b, dtype=np.int64))

    return make


@pytest.fixture
def listed() -> Callable[..., Pairs]:
    """Pairs of two modalities from their edges."""

    def make(edges: Sequence[tuple[int, int]]) -> Pairs:
        array = np.asarray(edges, dtype=np.int64)
        sizes = array.max(axis=0) + 1
        none = [np.full(size, -1, dtype=np.int64) for size in sizes]
        return Pairs(
            make_items("a", range(sizes[0])), make_items("b", range(sizes[1])), "listed", "made up", *none, array
        )

    return make

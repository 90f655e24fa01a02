"""A benchmark's items on disk: a folder per class, or a CSV file that says the class of each file."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geobind.data.items import Dataset, Items
from geobind.errors import DataError, nearest
from geobind.evaluate.subject import Subject
from geobind.evaluate.zeroshot.benchmarks import Benchmark, Index
from geobind.evaluate.zeroshot.sources import Labelled, Source, check_complete, classes_of, numbered

if TYPE_CHECKING:
    from geobind.features.cache import FeatureCache
    from geobind.space.space import Space

IMAGES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jp2"}
SOUNDS = {".wav", ".flac", ".ogg", ".mp3", ".m4a", ".opus", ".aif", ".aiff"}
SUFFIXES = frozenset(IMAGES | SOUNDS)
"""What counts as an image or a sound; everything else in a folder is passed over."""

Files = dict[str, list[Path]]
"""Class folder → its files, sorted."""


class FolderSource(Source):
    """A folder per class, or the CSV file a benchmark names.

    Args:
        root: Folder of the data. The class folders may lie in other folders below it.
        split: Folder under ``root`` to look into, for data that is laid out by split.
        partial: Allow classes without items; they stay among the answers.
        cache: Features of encoders on disk; None to run the encoder.
    """

    def __init__(
        self, root: Path, split: str | None = None, *, partial: bool = False, cache: FeatureCache | None = None
    ) -> None:
        self.root, self.split, self.partial, self._cache = Path(root), split, partial, cache

    def read(self, space: Space, benchmark: Benchmark, modality: str) -> Labelled:
        """Items by their paths, sorted within each class.

        Raises:
            DataError: No such folder or split; a class without a folder or without items, or with several folders; a
                CSV file that is absent, or has a row that makes no sense.
        """
        root = self._root()
        files = _listed(root, benchmark, benchmark.index) if benchmark.index else _sorted(root, benchmark)
        classes = classes_of(benchmark, sorted(files))
        others = [] if files else [entry.name for entry in root.iterdir() if entry.is_dir()]
        counts = {folder: len(paths) for folder, paths in files.items()}
        check_complete(classes, counts, partial=self.partial, where=str(root), others=others)
        folders = np.repeat(list(classes), [counts.get(folder, 0) for folder in classes])
        table = _Table(modality, [path for folder in classes for path in files.get(folder, ())], folders)
        side = Subject(space, [table], cache=self._cache).embedded(modality)
        protocol = {
            "data": table.fingerprint,
            "split": self.split or "all",
            "origin": f"classes by {benchmark.index.file}" if benchmark.index else "classes by folder",
        }
        assert side.items.group is not None  # noqa: S101 — _Table gives it
        labels = numbered(side.items.group.tolist(), classes)
        return Labelled(side.items, side.vectors, labels, classes, protocol, str(root.resolve()))

    def _root(self) -> Path:
        root = self.root / self.split if self.split else self.root
        if root.is_dir():
            return root
        if self.split and self.root.is_dir():
            folders = [entry.name for entry in self.root.iterdir() if entry.is_dir()]
            raise DataError(f"there is no split {self.split!r} in {str(self.root)!r}", fix=nearest(self.split, folders))
        raise DataError(f"the data folder {str(self.root)!r} does not exist", fix="Give the folder of the data.")


class _Table(Dataset):
    """Files with their classes as groups, all in the split ``test``."""

    def __init__(self, modality: str, paths: Sequence[Path], labels: NDArray[np.str_]) -> None:
        self.modalities = (modality,)
        key = np.array([str(path) for path in paths], dtype=np.str_)
        self._items = Items(modality, _Paths(key), key, key, labels, files=True)
        hashed = hashlib.sha256()
        for path, label in zip(paths, labels.tolist(), strict=True):
            hashed.update(f"{path.name}\0{label}\0{path.stat().st_size}\n".encode())
        self._fingerprint = hashed.hexdigest()[:12]

    def items(self, modality: str, split: str) -> Items:
        return self._items if split == "test" else self._items.take(np.arange(0))

    def origin(self, a: str, b: str) -> str:
        return "classes by folder"

    @property
    def fingerprint(self) -> str:
        """A hash of names, classes and sizes: reading a million images for it would take as long as embedding them."""
        return self._fingerprint


@dataclass(frozen=True)
class _Paths:
    """A picklable loader."""

    key: NDArray[np.str_]

    def __call__(self, row: int) -> Path:
        return Path(str(self.key[row]))


def _sorted(root: Path, benchmark: Benchmark) -> Files:
    """What lies in the class folders, wherever they are under ``root``."""
    if benchmark.classes == "folders":
        found = sorted(entry for entry in root.iterdir() if entry.is_dir())
    else:
        found = sorted(_named(root, benchmark.classes))
    files: Files = {}
    for folder in found:
        if folder.name in files:
            raise DataError(
                f"class {folder.name!r} has several folders under {str(root)!r}, {str(folder)!r} among them",
                fix="Name the one that is meant, by the data's folder or by the split.",
            )
        files[folder.name] = _media(folder)
    return files


def _named(root: Path, names: Mapping[str, str]) -> Iterator[Path]:
    """Folders of these names under a folder; what lies below one of them is not searched."""
    for parent, folders, _ in os.walk(root):
        yield from (Path(parent, name) for name in folders if name in names)
        folders[:] = [name for name in folders if name not in names]


def _media(folder: Path) -> list[Path]:
    return sorted(
        Path(parent, name)
        for parent, _, files in os.walk(folder)
        for name in files
        if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
    )


def _listed(root: Path, benchmark: Benchmark, index: Index) -> Files:
    """What a CSV file lists."""
    table = root / index.file
    if not table.is_file():
        raise DataError(f"there is no {index.file!r} in {str(root)!r}", fix=f"Expected: {benchmark.layout}")
    files: Files = {}
    with table.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines)
        for row in rows:
            where = f"{table}:{rows.line_num}"
            try:
                path, label = root / index.path.format_map(row), row[index.label]
            except KeyError as error:
                raise DataError(f"there is no column {error}", where=where, fix=nearest(error.args[0], row)) from error
            if benchmark.classes != "folders" and label not in benchmark.classes:
                raise DataError(f"{label!r} is no class", where=where, fix=nearest(label, benchmark.classes))
            if not path.is_file():
                raise DataError(f"file {str(path)!r} does not exist", where=where)
            files.setdefault(label, []).append(path)
    return {label: sorted(paths) for label, paths in files.items()}

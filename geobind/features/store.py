"""Rows of features on disk: append-only segments, which any number of processes write and read without a lock.

A store is a folder: ``meta.json`` and segments. A segment belongs to the one process that writes it, and is two files:

- ``NAME.features``: rows of E little-endian float32;
- ``NAME.index``: words of 16 bytes. A block of n rows is a head (n, and the CRC-32 of what follows) and n digests.

A block's features are on disk before its part of the index is written, and a reader takes whole blocks or nothing:
whatever a killed process, a full disk or a power cut has left at the end of either file is not looked at.

Shapes: N rows asked for, R rows of a store, E features.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from geobind.data.content import WORD, Digests, Lookup
from geobind.errors import GeobindError
from geobind.files import FULL, write_atomic

META = "meta.json"
FILES = "file-digests"
"""Where in the cache folder the digests of files are remembered, beside the stores."""
RESULTS = "results"
"""Where in the cache folder evaluations keep how queries fared."""
FLOAT = np.dtype("<f4")


def default_folder() -> Path:
    """``$GEOBIND_CACHE``, else ``geobind/features`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    if given := os.environ.get("GEOBIND_CACHE"):
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "geobind" / "features"


@dataclass(frozen=True)
class Meta:
    """What a store holds, for people."""

    encoder: str
    modality: str
    view: int
    width: int
    geobind: str
    created: str


class _Segment(NamedTuple):
    features: NDArray[np.float32]
    """``[r, E]``, a memory map."""
    digests: Digests
    """``[r, 2]``"""


class Stored:
    """What a store held when it was read; later blocks are not seen, removed files stay readable."""

    def __init__(self, segments: list[_Segment], width: int) -> None:
        self.width = width
        self._features = [segment.features for segment in segments]
        self._starts = np.cumsum([0, *(len(features) for features in self._features)])
        self._lookup = Lookup(np.concatenate([np.empty((0, 2), dtype=WORD), *(s.digests for s in segments)]))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def find(self, digests: Digests) -> NDArray[np.int64]:
        """The store's row of each digest ``[N]``, -1 for those it does not have."""
        return self._lookup.find(digests)

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Copy rows ``[N]`` of the store: ``[N, E]``."""
        if len(self._features) == 1:
            return self._features[0][rows]
        out = np.empty((len(rows), self.width), dtype=np.float32)
        segment = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(segment).tolist():
            mine = segment == number
            out[mine] = self._features[number][rows[mine] - self._starts[number]]
        return out


class Store:
    """A folder of features of one width.

    Args:
        path: The folder; made when something is written.
        meta: What it is to hold.
    """

    def __init__(self, path: Path, meta: Meta) -> None:
        self.path, self.meta = path, meta

    def read(self) -> Stored:
        """All whole blocks, of all processes, as memory maps; earlier segments come first."""
        with suppress(OSError):
            os.utime(self.path / META)  # for `geobind cache`; a cache that is read-only still serves
        segments = (_read(index, self.meta.width) for index in sorted(self.path.glob("*.index")))
        return Stored([segment for segment in segments if len(segment.digests)], self.meta.width)

    def writer(self) -> Writer:
        """A segment of one's own."""
        return Writer(self)


class Writer:
    """Appends blocks to a segment of its own, which begins with the first block."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._files: tuple[int, int] | None = None

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for file in self._files or ():
            os.close(file)

    def append(self, digests: Digests, features: NDArray[np.float32]) -> None:
        """Write a block ``[n, 2]`` and ``[n, E]``; when this returns, it is on disk.

        Raises:
            OSError: It cannot be written; this writer is not to be used any more.
        """
        rows = np.ascontiguousarray(features, dtype=FLOAT)
        content = np.ascontiguousarray(digests, dtype=WORD).tobytes()
        head = np.array([len(digests), zlib.crc32(content)], dtype=WORD).tobytes()
        if self._files is None:
            self._files = self._begin()
        for file, data in zip(self._files, (rows.tobytes(), head + content), strict=True):
            _write(file, data)

    def _begin(self) -> tuple[int, int]:
        folder = self._store.path
        if not (folder / META).exists():
            try:
                write_atomic(folder / META, json.dumps(asdict(self._store.meta), indent=2) + "\n")
            except GeobindError as error:  # no room, which is told by whoever knows how much is still to come
                raise error.__cause__ or error from None
        name = f"{time.time_ns():016x}-{uuid4().hex[:8]}"  # in order of time: of equal digests the oldest is taken
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        features = os.open(folder / f"{name}.features", flags, 0o666)
        return features, os.open(folder / f"{name}.index", flags, 0o666)


def _write(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]
    os.fsync(file)


def _read(index: Path, width: int) -> _Segment:
    """The whole blocks of a segment."""
    path = index.with_suffix(".features")
    none = _Segment(np.empty((0, width), dtype=FLOAT), np.empty((0, 2), dtype=WORD))
    try:
        words = np.fromfile(index, dtype=WORD)
        held = path.stat().st_size // (FLOAT.itemsize * width)
        words = words[: len(words) // 2 * 2].reshape(-1, 2)
        blocks = _blocks(words, held)
        rows = sum(len(block) for block in blocks)
        if not rows:
            return none
        features = np.asarray(np.memmap(path, dtype=FLOAT, mode="r", shape=(rows, width)))
    except FileNotFoundError:  # cleared meanwhile
        return none
    return _Segment(features, np.concatenate(blocks))


def _blocks(words: Digests, held: int) -> list[Digests]:
    blocks: list[Digests] = []
    at = rows = 0
    while at < len(words):
        count, check = words[at].tolist()
        block = words[at + 1 : at + 1 + count]
        rows += len(block)
        if not 0 < count == len(block) or rows > held or zlib.crc32(block.tobytes()) != check:
            break
        blocks.append(block)
        at += 1 + count
    return blocks


def write_error(error: OSError, folder: Path, wanted: int) -> GeobindError:
    """What to tell a user when ``wanted`` bytes could not be written to the cache."""
    if error.errno in FULL:
        return GeobindError(
            f"no space is left for features in {str(folder)!r}: {wanted / 1e6:,.1f} MB are still to be written",
            fix="Free space, set GEOBIND_CACHE to a folder on a larger disk, or run `geobind cache clear`;"
            " what is written stays valid, and the work goes on from there.",
        )
    return GeobindError(
        f"features cannot be written to {str(folder)!r}: {error.strerror or error}",
        fix="Set GEOBIND_CACHE to a folder that you may write to.",
    )


# -- what `geobind cache` shows and removes -------------------------------------------------------


@dataclass(frozen=True)
class Listed:
    """A store as it lies on disk."""

    path: Path
    meta: Meta
    items: int
    bytes: int
    used: float
    """Seconds since the epoch."""

    def remove(self) -> None:
        """Delete it; who has it open reads on.

        Raises:
            OSError: It cannot be deleted.
        """
        shutil.rmtree(self.path)


def listed(folder: Path) -> list[Listed]:
    """All stores of a cache folder, the last used first."""
    found = []
    for file in folder.glob(f"*/{META}"):
        with suppress(OSError, ValueError, TypeError):  # removed meanwhile, or no store at all
            meta = Meta(**json.loads(file.read_text(encoding="utf-8")))
            items = sum(len(_read(index, meta.width).digests) for index in file.parent.glob("*.index"))
            size = sum(path.stat().st_size for path in file.parent.iterdir())
            found.append(Listed(file.parent, meta, items, size, file.stat().st_mtime))
    return sorted(found, key=lambda store: (-store.used, store.path))

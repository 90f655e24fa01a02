"""What an item *is*, in 16 bytes: the digest of a file's content, or of the key of anything else.

Shapes: N items, M remembered files; a digest is two little-endian 64-bit words.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from geobind.data.items import Items
from geobind.errors import GeobindError
from geobind.files import write_atomic
from geobind.progress import track
from geobind.weights import file_sha256

Digests = NDArray[np.uint64]
"""``[N, 2]``; a row of zeros where there is no content (a file that cannot be read)."""

DIGEST = 16
"""Bytes of a digest: SHA-256 cut short; 10^9 items collide with a chance of 10^-21."""
WORD = np.dtype("<u8")
THREADS = 8
"""Files looked at together; more than the cores, since network disks answer late."""
SETTLED_NS = 2_000_000_000
"""A file changed less than this before it was read may change again without its times showing it."""
SAVE_EVERY_S = 30.0
"""Seconds between saves of the memo while files are being read."""


def digests(items: Items, files: FileDigests, label: str = "") -> Digests:
    """Content of all items: ``[N, 2]``, zeros for a file that cannot be read.

    Args:
        items: The items; of ``items.files`` the bytes count, of others the key.
        files: Knows the files that were read before.
        label: Shows progress under this name while files are read.
    """
    if items.files:
        return files(items.key, label)
    # The prefix keeps a caption apart from a file that holds just this caption.
    return _words(hashlib.sha256(b"key\0" + key.encode("utf-8", "surrogatepass")).digest() for key in _each(items.key))


def first_rows(digests: Digests) -> NDArray[np.int64]:
    """The rows at which each distinct digest occurs first, ascending."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(digests[order], axis=0) != 0).any(axis=1)
    return np.sort(order[new])  # lexsort is stable, so the first of each run is the first row


class Lookup:
    """Finds digests in a table of M of them, without a Python object per item."""

    def __init__(self, table: Digests) -> None:
        self._order = np.argsort(table[:, 0], kind="stable")
        self._first, self._second = table[self._order].T.copy()

    def find(self, wanted: Digests) -> NDArray[np.int64]:
        """The first row of the table that holds each wanted digest, -1 where there is none: ``[N]``."""
        found = np.full(len(wanted), -1, dtype=np.int64)
        ask = np.arange(len(wanted))
        at = np.searchsorted(self._first, wanted[:, 0])
        while len(ask):  # once more only for digests whose first word is another's too
            near = at < len(self._first)
            ask, at = ask[near], at[near]
            near = self._first[at] == wanted[ask, 0]
            ask, at = ask[near], at[near]
            hit = self._second[at] == wanted[ask, 1]
            found[ask[hit]] = self._order[at[hit]]
            ask, at = ask[~hit], at[~hit] + 1
        return found


class FileDigests:
    """SHA-256 of files, remembered on disk, so that a file seen before costs a ``stat`` and no reading.

    A file is the same while its path, size, times of change (``mtime`` and ``ctime``) and inode are, as git's index
    has it; the ``ctime`` cannot be set back. Each process writes what it knows as one file of its own and removes
    those it has taken over, so processes need no lock and lose nothing but, at worst, time.

    Args:
        folder: Where the memo lies; need not exist, and may be read-only.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = folder / f"{uuid4().hex}.memo"
        self._seen: dict[Path, tuple[int, int]] = {}
        self._known = np.empty((0, 4), dtype=WORD)  # state, digest
        self._lookup = Lookup(self._known[:, :2])

    def __call__(self, paths: NDArray[np.str_], label: str = "") -> Digests:
        """Digests ``[N, 2]`` of the files' bytes; those not known are read, each once, and then remembered.

        Args:
            paths: ``[N]``
            label: Shows progress under this name while files are read.
        """
        states = _states(paths)
        at = self._lookup.find(states)
        missing = (at < 0) & states.any(axis=1)
        if missing.any() and self._load():  # another process may have read them meanwhile
            at = self._lookup.find(states)
            missing = (at < 0) & states.any(axis=1)
        out = np.zeros((len(paths), 2), dtype=WORD)
        out[at >= 0] = self._known[at[at >= 0], 2:]
        if missing.any():
            todo = np.flatnonzero(missing)
            first = todo[first_rows(states[todo])]
            read = self._read(paths[first], label)
            out[todo] = read[Lookup(states[first]).find(states[todo])]
        return out

    def _read(self, paths: NDArray[np.str_], label: str) -> Digests:
        """Read files, and remember those that have come to rest."""
        chunks = np.array_split(paths, -(-len(paths) // 64))
        out: list[NDArray[np.uint64]] = []
        kept, saved = 0, time.monotonic()
        progress = track(label, len(paths), "files") if label else nullcontext(lambda n: None)
        with progress as advance, ThreadPoolExecutor(THREADS) as pool:
            for rows in pool.map(_read_files, chunks):
                out.append(rows)
                advance(len(rows))
                if time.monotonic() - saved > SAVE_EVERY_S:
                    self._remember(out[kept:])
                    kept, saved = len(out), time.monotonic()
        self._remember(out[kept:])
        return np.concatenate(out)[:, 2:]

    def _remember(self, rows: list[NDArray[np.uint64]]) -> None:
        new = np.concatenate(rows) if rows else self._known[:0]
        new = new[new[:, :2].any(axis=1)]
        if not len(new):
            return
        self._load()
        self._take(new)
        with suppress(OSError, GeobindError):  # the memo saves time and nothing else
            write_atomic(self._own, self._known.tobytes())
            for path in self._seen:
                if path != self._own:
                    path.unlink(missing_ok=True)

    def _load(self) -> bool:
        """Take over what the memo's files hold; whether there was anything new in them."""
        before = len(self._known)
        for path in sorted(self._folder.glob("*.memo")):
            with suppress(OSError):
                stat = path.stat()
                if path == self._own or self._seen.get(path) == (stat.st_mtime_ns, stat.st_size):
                    continue
                words = np.fromfile(path, dtype=WORD)
                self._take(words[: len(words) // 4 * 4].reshape(-1, 4))
                self._seen[path] = stat.st_mtime_ns, stat.st_size
        return len(self._known) > before

    def _take(self, rows: NDArray[np.uint64]) -> None:
        known = np.concatenate([self._known, rows])
        self._known = known[first_rows(known[:, :2])]
        self._lookup = Lookup(self._known[:, :2])


def _states(paths: NDArray[np.str_]) -> Digests:
    """What ``stat`` says of each file, in a digest; zeros for what is not there."""
    chunks = np.array_split(paths, max(1, -(-len(paths) // 1024)))
    with ThreadPoolExecutor(THREADS) as pool:
        return np.concatenate(list(pool.map(lambda chunk: _words(map(_state, chunk.tolist())), chunks)))


def _state(path: str) -> bytes:
    try:
        return _digest_of_stat(path, os.stat(path))  # noqa: PTH116  (a Path per file would cost more than the stat)
    except (OSError, ValueError):
        return bytes(DIGEST)


def _digest_of_stat(path: str, stat: os.stat_result) -> bytes:
    values = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
    return hashlib.sha256(repr((path, *values)).encode("utf-8", "surrogatepass")).digest()


def _read_files(paths: NDArray[np.str_]) -> NDArray[np.uint64]:
    """State and digest of each file ``[n, 4]``; zeros for the state of one that may not be remembered."""
    return _words(map(_read_file, paths.tolist()), DIGEST * 2)


def _read_file(path: str) -> bytes:
    started = time.time_ns()
    try:
        before = os.stat(path)  # noqa: PTH116
        digest = bytes.fromhex(file_sha256(Path(path)))[:DIGEST]
        after = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return bytes(2 * DIGEST)
    state = _digest_of_stat(path, before)[:DIGEST]
    settled = started - before.st_ctime_ns > SETTLED_NS and _digest_of_stat(path, after)[:DIGEST] == state
    return (state if settled else bytes(DIGEST)) + digest


def _words(values: Iterable[bytes], size: int = DIGEST) -> NDArray[np.uint64]:
    """The first ``size`` bytes of each value, as words."""
    return np.frombuffer(b"".join(value[:size] for value in values), dtype=WORD).reshape(-1, size // WORD.itemsize)


def _each(values: NDArray[np.str_]) -> Iterable[str]:
    """The strings, made a few at a time."""
    for start in range(0, len(values), 65_536):
        yield from values[start : start + 65_536].tolist()

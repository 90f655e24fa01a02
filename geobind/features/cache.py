"""What is frozen is computed once: encoder features of items, on disk, for all stages, runs and processes.

A feature is found by what decides it: the encoder (:func:`identity`), the view, and the item's content. Change any
of them and just that is computed anew; what an edit has left behind goes with ``geobind cache clear``.

Shapes: N items, E features.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geobind import __version__
from geobind.data.content import Digests, FileDigests, digests, first_rows
from geobind.data.items import Items
from geobind.encoder import Encoder
from geobind.errors import DataError, GeobindError, PluginError
from geobind.features.identity import identity
from geobind.features.store import FILES, Meta, Store, Stored, default_folder, write_error
from geobind.progress import track
from geobind.space.embed import block_size, embed_blocks, hash_seed, prepare

FORMAT = 1
"""Version of what lies in a store; raise it when a store of before must not be read."""

Blocks = Generator[tuple[NDArray[np.int64], NDArray[np.float32]], None, None]


class Features:
    """Features of N items, read from disk as they are asked for."""

    def __init__(self, stored: Stored, at: NDArray[np.int64], unreadable: dict[int, str]) -> None:
        self._stored, self._at = stored, at
        self.unreadable = unreadable
        """Row → why the item cannot be read; such a row has no features."""

    def __len__(self) -> int:
        return len(self._at)

    @property
    def width(self) -> int:
        """E."""
        return self._stored.width

    def gather(self, rows: NDArray[np.int64]) -> Tensor:
        """Features ``[n, E]`` float32 of the items at ``rows [n]``, a copy.

        Raises:
            DataError: One of them is in :attr:`unreadable`.
        """
        at = self._at[rows]
        if len(at) and at.min() < 0:
            row = int(np.asarray(rows)[np.argmin(at)])
            raise DataError(f"item {row} has no features: {self.unreadable[row]}", fix="Leave such rows out first.")
        return torch.from_numpy(self._stored.gather(at))


class FeatureCache:
    """Features on disk, keyed by the encoder's identity, the view and each item's content.

    Args:
        folder: Where; by default as :func:`~geobind.features.store.default_folder` has it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_folder() if folder is None else folder
        self._files = FileDigests(self.folder / FILES)

    @classmethod
    def temporary(cls) -> FeatureCache:
        """A cache that is removed with this object, or at exit; other ranks are to be given its ``folder``."""
        cache = cls(Path(tempfile.mkdtemp(prefix="geobind-features-")))
        weakref.finalize(cache, shutil.rmtree, cache.folder, ignore_errors=True)
        return cache

    def features(
        self,
        encoder: Encoder,
        items: Items,
        *,
        view: int = 0,
        rank: int = 0,
        world: int = 1,
        barrier: Callable[[], object] = lambda: None,
    ) -> Features:
        """Features of all items; those not on disk are computed, each content once, and kept block by block.

        Blocks are laid over the distinct items in order, and a block is kept as a whole or not at all. So an
        extraction that was killed goes on with the very batches it would have formed, on any number of ranks.

        Args:
            encoder: In any mode; it is put into evaluation mode.
            items: The items; none is fine.
            view: 0 for the plain items, k for their k-th augmented view, whose draws depend on k and content alone.
            rank: Which of the processes that share this call this one is; each computes blocks of its own.
            world: How many they are.
            barrier: Returns when all of them have called it; each calls it equally often.

        Raises:
            DataError: A file that changed while its features were computed.
            GeobindError: The folder is full or cannot be written; what is on disk by then stays valid.
        """
        encoder.eval()
        content = self._content(items, rank, world, barrier)
        seeds = partial(_seed, content, view) if view else None
        store = self._store(encoder, items.modality, view)
        stored = store.read()
        at = stored.find(content)
        errors: dict[int, str] = {}
        # A second turn for what the other ranks could not read, or have on a disk that this one does not see.
        for part, parts in [(0, 1)] if world == 1 else [(rank, world), (0, 1)]:
            blocks = _blocks(content, at, block_size(encoder), part, parts)
            count = sum(map(len, blocks))
            if count:
                label = f"features of {items.modality}" + (f", view {view}" if view else "")
                with track(label, count, "items") as advance:
                    done = embed_blocks(
                        encoder,
                        items,
                        encoder,
                        blocks,
                        seeds=seeds,
                        advance=advance,
                        on_error=lambda row, error: errors.update({row: str(error)}),
                    )
                    self._keep(store, items, content, count, done)
            barrier()
            if (at < 0).any():
                stored = store.read()
                at = stored.find(content)
        missing = np.flatnonzero(at < 0).tolist()
        return Features(stored, at, {row: errors.get(row) or _why(encoder, items, row, seeds) for row in missing})

    def _content(self, items: Items, rank: int, world: int, barrier: Callable[[], object]) -> Digests:
        """Digests of all items; ranks share the reading of files, and find each other's digests on disk."""
        label = f"content of {items.modality}"
        if world > 1 and items.files:
            digests(items.take(np.arange(rank, len(items), world)), self._files, label)
            barrier()
        return digests(items, self._files, label)

    def _store(self, encoder: Encoder, modality: str, view: int) -> Store:
        kind = type(encoder)
        key = hashlib.sha256(f"{FORMAT}:{identity(encoder)}:{modality}:{view}".encode()).hexdigest()[:16]
        name = "-".join(re.sub(r"\W+", "_", part) for part in (modality, kind.__name__, f"view{view}", key))
        meta = Meta(
            encoder=f"{kind.__module__}.{kind.__qualname__}",
            modality=modality,
            view=view,
            width=encoder.embed_dim,
            geobind=__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        return Store(self.folder / name, meta)

    def _keep(self, store: Store, items: Items, content: Digests, count: int, blocks: Blocks) -> None:
        """Write ``count`` features as they are computed, unless what they were computed of is no more what it was."""
        width = store.meta.width
        with store.writer() as writer, closing(blocks):
            for rows, values in blocks:
                if values.shape[1:] != (width,):
                    raise PluginError(f"{store.meta.encoder} says embed_dim {width}, but gives features {values.shape}")
                if items.files:
                    _refuse_changed(items.key[rows], content[rows], self._files(items.key[rows]))
                try:
                    writer.append(content[rows], values)
                except OSError as error:
                    raise write_error(error, self.folder, count * width * values.itemsize) from error
                count -= len(rows)


def _blocks(content: Digests, at: NDArray[np.int64], size: int, part: int, parts: int) -> list[NDArray[np.int64]]:
    """Rows that one of ``parts`` is to compute, by blocks; ``at`` is -1 where there is no feature yet.

    Blocks of ``size`` are laid over all distinct items, and every ``parts``-th is this part's whatever is on disk by
    now. Of those that are there in part, what is missing comes first, together in blocks of its own.
    """
    if not (at < 0).any():
        return []
    first = first_rows(content)
    whole, pooled = [], [first[:0]]
    for start in range(part * size, len(first), parts * size):
        block = first[start : start + size]
        missing = block[at[block] < 0]
        if len(missing) == len(block):
            whole.append(block)
        else:
            pooled.append(missing)
    rest = np.concatenate(pooled)
    return [rest[start : start + size] for start in range(0, len(rest), size)] + whole


def _refuse_changed(paths: NDArray[np.str_], before: Digests, now: Digests) -> None:
    """Features may not be kept under the content of before when their file was another by the time it was embedded."""
    changed = (now != before).any(axis=1) | ~before.any(axis=1)
    if changed.any():
        raise DataError(
            f"file {str(paths[changed.argmax()])!r} changed while its features were computed",
            fix="Run the same command again when nothing writes to it; it goes on from here.",
        )


def _seed(content: Digests, view: int, row: int) -> int:
    return hash_seed(view, *content[row].tolist())


def _why(encoder: Encoder, items: Items, row: int, seeds: Callable[[int], int] | None) -> str:
    """Why an item cannot be read, which was found out for another of the same content, or by another process."""
    try:
        prepare(encoder, items, row, seeds)
    except DataError as error:
        return str(error)
    raise GeobindError(
        f"features of {items.modality} are gone that were just computed",
        where=str(items.key[row]),
        fix="The cache was cleared, or the file replaced, while it was in use: run the same command again.",
    )

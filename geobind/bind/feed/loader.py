"""Prepare the batches of an epoch ahead of the trainer, in threads or in worker processes, in order.

A batch is prepared whole by one worker, and everything random in it follows from the epoch's seed and the batch's
number: any number of workers gives the same batches, and an epoch can begin in its middle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from geobind.bind.feed.sides import Rows, Side
from geobind.errors import GeobindError
from geobind.space.embed import hash_seed

AHEAD = 2
"""Batches that threads prepare while one is trained on."""


@dataclass(frozen=True)
class Prepared:
    """A batch of pairs, ready to be embedded."""

    rows: Rows
    """``[B, 2]`` the pairs that could be read."""
    chunks: list[tuple[Any, Any]]
    """Inputs of both sides, micro-batch by micro-batch."""
    unreadable: list[tuple[int, int, str]]
    """(side, row, message) of items that could not."""


class Batches(TorchDataset[Prepared]):
    """Batches by number.

    Args:
        sides: Anchor and modality.
        rows: Pairs ``[B, 2]`` of each batch.
        chunks: Micro-batches of each batch.
        seed: The epoch's seed.
    """

    def __init__(self, sides: tuple[Side, Side], rows: Sequence[Rows], chunks: int, seed: int) -> None:
        self.sides, self.rows, self.chunks, self.seed = sides, rows, chunks, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, step: int) -> Prepared:
        rows = self.rows[step]
        prepared = [
            side.prepare(rows[:, column], hash_seed(self.seed, step, column)) for column, side in enumerate(self.sides)
        ]
        unreadable = [
            (column, int(rows[position, column]), message)
            for column, (_, wrong) in enumerate(prepared)
            for position, message in wrong.items()
        ]
        lost = {position for _, wrong in prepared for position in wrong}
        keep = np.asarray([position for position in range(len(rows)) if position not in lost], dtype=np.int64)
        (anchor, modality), ((a, _), (b, _)) = self.sides, prepared
        chunks = [
            (anchor.collate(a, part), modality.collate(b, part))
            for part in np.array_split(keep, min(self.chunks, max(1, len(keep))))
            if len(part)
        ]
        return Prepared(rows[keep], chunks, unreadable)


def load(batches: Batches, *, first: int = 0, workers: int = 0) -> Generator[Prepared, None, None]:
    """The batches from number ``first`` on, in order, prepared ahead.

    Args:
        batches: What to prepare.
        first: The number of the first batch.
        workers: Worker processes; 0 for threads of this process.

    Raises:
        GeobindError: A worker process died.
    """
    steps = range(first, len(batches))
    if workers == 0:
        yield from _in_threads(batches, steps)
        return
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=steps,
        num_workers=min(workers, max(1, len(steps))),
        prefetch_factor=AHEAD,
        pin_memory=torch.cuda.is_available(),
    )
    try:
        yield from loader
    except RuntimeError as error:
        if "worker" not in str(error) or "exited" not in str(error):
            raise
        raise GeobindError(
            f"a process that prepares items died: {error}",
            where=f"{workers} workers",
            fix="Often memory: set fewer workers (0 for threads), then go on with --resume.",
        ) from error


def _in_threads(batches: Batches, steps: range) -> Generator[Prepared, None, None]:
    pool = ThreadPoolExecutor(max_workers=AHEAD, thread_name_prefix="prepare")
    try:
        waiting: deque[Future[Prepared]] = deque()
        for step in steps:
            waiting.append(pool.submit(batches.__getitem__, step))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

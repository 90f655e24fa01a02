"""Embed many items: decoding overlaps computing, items of one key and like size share a batch, order is kept.

Shapes: N items, n of them in a block, E features or D dimensions.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geobind.encoder import Batch, Encoder, device_of
from geobind.errors import DataError

LOOKAHEAD = 8
"""Batches prepared together, so that items of like size can share one."""
WORKERS = min(max(2, os.cpu_count() or 1), 8)
"""Threads that prepare items."""

OnError = Callable[[int, DataError], None]
"""Told the row of an item that cannot be read, and why."""


def embed(
    encoder: Encoder,
    items: Sequence[Any],
    forward: Callable[[Batch], Tensor],
    *,
    seed: int | None = None,
    advance: Callable[[int], object] = lambda n: None,
    on_error: OnError | None = None,
) -> NDArray[np.float32]:
    """Run ``forward`` over all items: ``[N, …]`` float32.

    Args:
        encoder: Prepares the items; its ``throughput_batch`` is the batch size.
        items: Anything with a length that can be indexed.
        forward: A batch on the encoder's device → ``[B, …]``; the encoder itself, or its tower.
        seed: Augment, with draws that depend on the seed and the item's row alone; None for the plain items.
        advance: Called with the number of items done, for progress bars.
        on_error: Called for an item that cannot be read, whose row is then NaN; None to raise.

    Raises:
        DataError: No items, one that cannot be read (without ``on_error``), or none that can.
    """
    if not len(items):
        raise DataError("there are no items to embed")
    size = block_size(encoder)
    blocks = [range(start, min(start + size, len(items))) for start in range(0, len(items), size)]
    seeds = None if seed is None else partial(hash_seed, seed)
    out: NDArray[np.float32] | None = None
    for rows, values in embed_blocks(encoder, items, forward, blocks, seeds=seeds, advance=advance, on_error=on_error):
        if out is None:
            out = np.full((len(items), *values.shape[1:]), np.nan, dtype=np.float32)
        out[rows] = values
    if out is None:
        raise DataError(f"none of the {len(items):,} items can be read")
    return out


def block_size(encoder: Encoder) -> int:
    """Items that are best prepared together."""
    return encoder.throughput_batch * LOOKAHEAD


@torch.inference_mode()
def embed_blocks(
    encoder: Encoder,
    items: Sequence[Any],
    forward: Callable[[Batch], Tensor],
    blocks: Iterable[Iterable[int]],
    *,
    seeds: Callable[[int], int] | None = None,
    advance: Callable[[int], object] = lambda n: None,
    on_error: OnError | None = None,
) -> Generator[tuple[NDArray[np.int64], NDArray[np.float32]], None, None]:
    """Like :func:`embed`, block by block as they are done: rows ``[n]`` and values ``[n, …]``.

    A block's values depend on its items alone, not on the blocks beside it.

    Args:
        encoder: Prepares the items; its ``throughput_batch`` is the batch size.
        items: Anything that can be indexed.
        forward: A batch on the encoder's device → ``[B, …]``.
        blocks: Rows of the items; best :func:`block_size` of them in each.
        seeds: Row → seed of its augmentation; None for the plain items.
        advance: Called with the number of items done.
        on_error: Called for an item that cannot be read, whose row is then left out; None to raise.

    Yields:
        Blocks with at least one row.

    Raises:
        DataError: An item that cannot be read, without ``on_error``.
    """
    device = device_of(encoder)
    for rows, samples in _prepared(encoder, items, blocks, seeds, advance, on_error):
        values: NDArray[np.float32] | None = None
        for picked in _by_size(encoder, samples):
            batch = encoder.collate([samples[i] for i in picked])
            part = forward({key: value.to(device) for key, value in batch.items()}).float().cpu().numpy()
            if values is None:
                values = np.empty((len(rows), *part.shape[1:]), dtype=np.float32)
            values[picked] = part
            advance(len(picked))
        if values is not None:
            yield rows, values


def _prepared(
    encoder: Encoder,
    items: Sequence[Any],
    blocks: Iterable[Iterable[int]],
    seeds: Callable[[int], int] | None,
    advance: Callable[[int], object],
    on_error: OnError | None,
) -> Iterator[tuple[NDArray[np.int64], list[Batch]]]:
    """Blocks in the background: while one is computed, threads prepare the next."""
    pool = ThreadPoolExecutor(WORKERS)

    def submit(block: Iterable[int]) -> list[tuple[int, Future[Batch]]]:
        return [(int(row), pool.submit(prepare, encoder, items, int(row), seeds)) for row in block]

    def collect(submitted: list[tuple[int, Future[Batch]]]) -> tuple[NDArray[np.int64], list[Batch]]:
        rows, samples = [], []
        for row, future in submitted:
            try:
                samples.append(future.result())
            except DataError as error:
                if on_error is None:
                    raise
                on_error(row, error)
                advance(1)
            else:
                rows.append(row)
        return np.array(rows, dtype=np.int64), samples

    try:
        pending = None
        for block in blocks:
            submitted = submit(block)
            if pending is not None:
                yield collect(pending)
            pending = submitted
        if pending is not None:
            yield collect(pending)
    finally:
        pool.shutdown(cancel_futures=True)


def _by_size(encoder: Encoder, samples: list[Batch]) -> Iterator[list[int]]:
    """Batches of samples that may share one (:meth:`geobind.Encoder.batch_key`), and are of like size."""
    for picked in by_key(encoder, samples):
        order = sorted(picked, key=lambda i: sum(tensor.numel() for tensor in samples[i].values()))
        for start in range(0, len(order), encoder.throughput_batch):
            yield order[start : start + encoder.throughput_batch]


def by_key(encoder: Encoder, samples: Sequence[Batch]) -> list[list[int]]:
    """Positions of the samples by what lets them share a batch, in the order in which each key is first met."""
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    for position, sample in enumerate(samples):
        groups[encoder.batch_key(sample)].append(position)
    return list(groups.values())


def prepare(encoder: Encoder, items: Sequence[Any], row: int, seeds: Callable[[int], int] | None) -> Batch:
    """Preprocess one item; with ``seeds`` (row → seed) it is augmented, by draws that depend on its seed alone."""
    if seeds is None:
        return encoder.preprocess(items[row], train=False)
    return encoder.preprocess(items[row], train=True, generator=torch.Generator().manual_seed(seeds(row)))


def hash_seed(*parts: int) -> int:
    """One seed out of several numbers (seed, epoch, row), well mixed and the same everywhere."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)

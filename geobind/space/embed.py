"""Embed many items: decoding overlaps computing, equal items are embedded once, order is kept.

Shapes: N items, E features or D dimensions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geobind.encoder import Batch, Encoder
from geobind.errors import DataError

LOOKAHEAD = 8
"""Batches prepared together, so that items of like size can share one."""


@torch.inference_mode()
def embed(
    encoder: Encoder,
    items: Sequence[Any],
    forward: Callable[[Batch], Tensor],
    *,
    seed: int | None = None,
    advance: Callable[[int], object] = lambda n: None,
) -> NDArray[np.float32]:
    """Run ``forward`` over all items: ``[N, …]`` float32.

    Args:
        encoder: Prepares the items; its ``throughput_batch`` is the batch size.
        items: Anything with a length that can be indexed.
        forward: A batch on the encoder's device → ``[B, …]``; the encoder itself, or its tower.
        seed: Augment, with draws that depend on the seed and the item's row alone; None for the plain items.
        advance: Called with the number of items done, for progress bars.

    Raises:
        DataError: No items, or one that cannot be read (its row is named).
    """
    if not len(items):
        raise DataError("there are no items to embed")
    device = next(itertools.chain(encoder.parameters(), encoder.buffers()), torch.empty(0)).device
    out: NDArray[np.float32] | None = None
    for rows, batch in _batches(encoder, items, seed):
        values = forward({key: value.to(device) for key, value in batch.items()}).float().cpu().numpy()
        if out is None:
            out = np.empty((len(items), *values.shape[1:]), dtype=np.float32)
        out[rows] = values
        advance(len(rows))
    assert out is not None  # noqa: S101  (items is not empty)
    return out


def _batches(encoder: Encoder, items: Sequence[Any], seed: int | None) -> Iterator[tuple[list[int], Batch]]:
    """Batches in the background: while one is computed, threads decode the next ones."""
    size = encoder.throughput_batch * LOOKAHEAD
    chunks = [range(start, min(start + size, len(items))) for start in range(0, len(items), size)]
    with ThreadPoolExecutor(max_workers=2) as pool:
        pending: tuple[range, list[Future[Batch]]] | None = None
        for chunk in chunks:
            submitted = chunk, [pool.submit(prepare, encoder, items, row, seed) for row in chunk]
            if pending:
                yield from _by_size(encoder, *pending)
            pending = submitted
        if pending:
            yield from _by_size(encoder, *pending)


def _by_size(encoder: Encoder, chunk: range, futures: list[Future[Batch]]) -> Iterator[tuple[list[int], Batch]]:
    try:
        samples = [future.result() for future in futures]
    except BaseException:
        for future in futures:
            future.cancel()
        raise
    order = sorted(range(len(samples)), key=lambda i: sum(tensor.numel() for tensor in samples[i].values()))
    for start in range(0, len(order), encoder.throughput_batch):
        picked = order[start : start + encoder.throughput_batch]
        yield [chunk[i] for i in picked], encoder.collate([samples[i] for i in picked])


def prepare(encoder: Encoder, items: Sequence[Any], row: int, seed: int | None) -> Batch:
    """Preprocess one item; with a seed it is augmented, by draws that depend on seed and row alone."""
    if seed is None:
        return encoder.preprocess(items[row], train=False)
    generator = torch.Generator().manual_seed(hash_seed(seed, row))
    return encoder.preprocess(items[row], train=True, generator=generator)


def hash_seed(*parts: int) -> int:
    """One seed out of several numbers (seed, epoch, row), well mixed and the same everywhere."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)

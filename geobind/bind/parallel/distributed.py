"""Several processes, one batch: under torchrun every rank takes its share, and the gradient is that of one process.

Each rank embeds its share, all embeddings are gathered, and every rank computes the whole batch's loss from them. So
any loss is exact without knowing of other processes, and the gradient of a weight is the sum over the ranks. (Gathering
without gradient, or averaging local losses, gives another gradient at the same loss value.)

Shapes: R ranks, n rows of this rank, N of all ranks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

BUCKET_BYTES = 64 * 2**20
"""Gradients travel in pieces of this size: few messages, little extra memory."""
PATIENCE = timedelta(hours=2)
"""How long a rank waits for the others; torchrun ends all of them at once when one dies."""

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The processes of a run; one alone by default."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls) -> World:
        """Join the other processes that torchrun started; alone when it did not start this one."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls()
        if not dist.is_initialized():
            if torch.cuda.is_available():
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
        return cls(dist.get_rank(), dist.get_world_size())

    def leave(self) -> None:
        """Take leave of the other processes."""
        if self.size > 1:
            dist.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this rank writes and speaks."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """This rank's part of ``n`` rows; the parts differ by one row at most and keep their order."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def largest_share(self, n: int) -> int:
        """Rows of the largest part."""
        return -(-n // self.size)

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.size > 1:
            dist.barrier()

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Whether each flag is set on some rank."""
        if self.size == 1:
            return flags
        shared = torch.tensor(flags, dtype=torch.int64)
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        return tuple(bool(flag) for flag in shared.tolist())

    def same(self, value: T) -> T:
        """Rank 0's value, on every rank."""
        if self.size == 1:
            return value
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[no-any-return]

    def union(self, values: dict[Any, Any]) -> dict[Any, Any]:
        """What any rank has, on every rank."""
        if self.size == 1:
            return values
        boxes: list[Any] = [None] * self.size
        dist.all_gather_object(boxes, values)
        return {key: value for box in boxes for key, value in box.items()}

    def share_buffers(self, modules: Iterable[nn.Module]) -> None:
        """Give every rank the first one's buffers: running statistics, of which each has seen its own share."""
        if self.size > 1:
            for module in modules:
                for buffer in module.buffers():
                    dist.broadcast(buffer, src=0)

    def gather(self, *rows: Tensor) -> tuple[list[Tensor], slice]:
        """The rows ``[n, …]`` of all ranks in their order, ``[N, …]`` each, and which of them are this rank's.

        Ranks may hold different numbers of rows, also none; all tensors of one call hold the same number.
        """
        n = len(rows[0])
        if self.size == 1:
            return list(rows), slice(0, n)
        counts = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(counts, torch.tensor([n]))
        sizes = [int(count) for count in counts]
        start = sum(sizes[: self.rank])
        return [_gather(tensor.detach(), sizes) for tensor in rows], slice(start, start + n)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add the gradients of all ranks; a parameter without gradient on every rank stays without."""
        if self.size == 1:
            return
        plain = [p for p in parameters if type(p.data) is Tensor]  # FSDP2 sums those of its own
        present = torch.tensor([p.grad is not None for p in plain], dtype=torch.int64)
        dist.all_reduce(present, op=dist.ReduceOp.MAX)
        used = [p for p, there in zip(plain, present.tolist(), strict=True) if there]
        for parameter in used:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for bucket in _buckets([p.grad for p in used if p.grad is not None]):
            flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
            dist.all_reduce(flat)
            for gradient, summed in zip(bucket, torch.split(flat, [g.numel() for g in bucket]), strict=True):
                gradient.copy_(summed.view_as(gradient))


def _gather(rows: Tensor, sizes: list[int]) -> Tensor:
    """Gather unequal numbers of rows by padding to the largest."""
    padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


def _buckets(gradients: list[Tensor]) -> Iterable[list[Tensor]]:
    bucket: list[Tensor] = []
    held = 0
    for gradient in gradients:
        size = gradient.numel() * gradient.element_size()
        if bucket and (held + size > BUCKET_BYTES or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket, held = [], 0
        bucket.append(gradient)
        held += size
    if bucket:
        yield bucket

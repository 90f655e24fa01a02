"""Sums over all pairs of two sets of embeddings, exact, with gradient, and without their A × B similarities in memory.

The matrix of logits ``q @ k.T`` is made some rows at a time in one buffer, and made again for the gradient, which is
two more products. A small matrix is kept instead. So memory grows with A + B, and time is that of four matrix products
(three) plus a few passes over a buffer that stays in the processor's cache.

Shapes: A queries, B keys, D dimensions, R rows at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from geobind.loss import Positives

BLOCK_BYTES = 16 * 2**20
"""Size of the rows worked on at a time; beyond a processor's cache each pass takes three times as long."""
KEPT_BYTES = 64 * 2**20
"""Largest matrix of logits that is kept for the gradient rather than made again."""

Work = Callable[[slice, Tensor, Tensor], Tensor]
LOG2_E, LN_2 = math.log2(math.e), math.log(2)


def log_partition(q: Tensor, k: Tensor, excluded: Positives | None = None) -> Tensor:
    """Log of the sum of ``exp(q_i · k_j)`` over the keys j of each query i.

    Args:
        q: Queries ``[A, D]``.
        k: Keys ``[B, D]``.
        excluded: Pairs that do not count. A query without any pair that counts has the dtype's lowest number or so.

    Returns:
        ``[A]``, accurate for logits of any size.
    """
    rows: Tensor = _LogPartition.apply(q, k, False, excluded)[0]
    return rows


def log_partitions(q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`log_partition` of ``q`` over ``k``, ``[A]``, and of ``k`` over ``q``, ``[B]``, for the work of one."""
    rows, columns = _LogPartition.apply(q, k, True, None)
    return rows, columns


def softplus_sum(q: Tensor, k: Tensor, bias: Tensor) -> Tensor:
    """The sum of ``log(1 + exp(q_i · k_j + bias))`` over all pairs: a scalar.

    Args:
        q: Queries ``[A, D]``.
        k: Keys ``[B, D]``.
        bias: A scalar.
    """
    total: Tensor = _SoftplusSum.apply(q, k, bias)
    return total


@dataclass
class _Logits:
    """``factor * q @ k.T``, some rows at a time."""

    q: Tensor
    k: Tensor
    factor: float = 1.0
    bias: Tensor | None = None
    excluded: Positives | None = None
    kept: Tensor | None = None
    """The whole matrix, where it was small enough to be kept."""

    def blocks(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Rows, their logits ``[R, B]``, and a buffer of the same shape; both may be overwritten."""
        total, row_bytes = len(self.q), len(self.k) * self.q.element_size()
        size = total if total * row_bytes <= KEPT_BYTES else max(1, BLOCK_BYTES // row_bytes)
        logits = self.q.new_empty(size, len(self.k)) if self.kept is None else self.kept
        scratch = torch.empty_like(logits)
        for start in range(0, total, size):
            rows = slice(start, min(start + size, total))
            block = logits[: rows.stop - start]
            if self.kept is None:
                self._fill(block, rows)
            yield rows, block, scratch[: len(block)]
        self.kept = logits if size == total else None

    def _fill(self, block: Tensor, rows: slice) -> None:
        block.addmm_(self.q[rows], self.k.T, beta=0, alpha=self.factor)
        if self.bias is not None:
            block.add_(self.bias)
        if self.excluded is not None:
            block.masked_fill_(self.excluded.block(rows), torch.finfo(block.dtype).min)

    def gradients(self, work: Work, of_q: bool, of_k: bool) -> tuple[Tensor | None, Tensor | None]:
        """Gradients of q and k from that of the logits, which ``work(rows, logits, scratch)`` returns ``[R, B]``."""
        grad_q = torch.empty_like(self.q) if of_q else None
        grad_k = torch.zeros_like(self.k) if of_k else None
        for rows, block, scratch in self.blocks():
            gradient = work(rows, block, scratch)
            if grad_q is not None:
                torch.mm(gradient, self.k, out=grad_q[rows])
            if grad_k is not None:
                grad_k.addmm_(gradient.T, self.q[rows])
        return grad_q, grad_k


class _LogPartition(torch.autograd.Function):
    """In powers of two: on a CPU torch's exp2 is four times as fast as exp, and does not slow down at underflow."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, both: bool, excluded: Positives | None) -> tuple[Tensor, Tensor | None]:
        rows_A = q.new_empty(len(q))
        columns_B = q.new_full((len(k),), -math.inf) if both else None
        logits = _Logits(q, k, LOG2_E, excluded=excluded)
        for rows, block, scratch in logits.blocks():
            rows_A[rows] = _log2_sum(block, 1, scratch)
            if columns_B is not None:
                torch.logaddexp2(columns_B, _log2_sum(block, 0, scratch), out=columns_B)
        ctx.save_for_backward(q, k, rows_A, columns_B)
        ctx.excluded, ctx.kept = excluded, logits.kept if any(ctx.needs_input_grad) else None
        return rows_A * LN_2, None if columns_B is None else columns_B * LN_2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_rows_A: Tensor, grad_columns_B: Tensor | None) -> tuple[Tensor | None, ...]:
        q, k, rows_A, columns_B = ctx.saved_tensors

        def work(rows: slice, block: Tensor, scratch: Tensor) -> Tensor:
            torch.sub(block, rows_A[rows, None], out=scratch).exp2_().mul_(grad_rows_A[rows, None])
            if columns_B is not None and grad_columns_B is not None:
                scratch.addcmul_(block.sub_(columns_B).exp2_(), grad_columns_B)
            return scratch

        logits = _Logits(q, k, LOG2_E, excluded=ctx.excluded, kept=ctx.kept)
        ctx.kept = None  # overwritten: another walk of the graph makes it again
        return *logits.gradients(work, *ctx.needs_input_grad[:2]), None, None


def _log2_sum(x: Tensor, dim: int, scratch: Tensor) -> Tensor:
    """Base-2 ``torch.logsumexp`` of a finite matrix without fresh memory of its size."""
    peak = x.amax(dim, keepdim=True)
    return torch.sub(x, peak, out=scratch).exp2_().sum(dim).log2_().add_(peak.squeeze(dim))


class _SoftplusSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, bias: Tensor) -> Tensor:
        rows_A = q.new_empty(len(q))
        logits = _Logits(q, k, bias=bias)
        for rows, block, scratch in logits.blocks():
            # log(1 + e^x) = max(x, 0) - log(1 - sigmoid(-|x|)), of passes that are fast on a CPU.
            rows_A[rows] = torch.clamp(block, min=0, out=scratch).sum(1)
            rows_A[rows] -= torch.abs(block, out=scratch).neg_().sigmoid_().neg_().log1p_().sum(1)
        ctx.save_for_backward(q, k, bias)
        ctx.kept = logits.kept if any(ctx.needs_input_grad) else None
        return rows_A.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, bias = ctx.saved_tensors
        rows_A = q.new_empty(len(q))

        def work(rows: slice, block: Tensor, scratch: Tensor) -> Tensor:
            torch.sigmoid(block, out=scratch).mul_(grad)
            rows_A[rows] = scratch.sum(1)
            return scratch

        logits = _Logits(q, k, bias=bias, kept=ctx.kept)
        ctx.kept = None
        grad_q, grad_k = logits.gradients(work, *ctx.needs_input_grad[:2])
        return grad_q, grad_k, rows_A.sum().to(bias.dtype) if ctx.needs_input_grad[2] else None

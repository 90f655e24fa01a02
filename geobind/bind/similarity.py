"""Sums over all pairs of two sets of embeddings, exact, with gradient, and without their A × B similarities in memory.

The matrix of logits ``q @ k.T`` is made some rows at a time in one buffer, and made again for the gradient, which is
two more products. A small matrix is kept instead. So memory grows with A + B, and time is that of four matrix products
(three) plus a few passes over a buffer that fits the processor's cache.

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

ROWS = 512
"""Rows worked on at a time: half as many slow the matrix products by a tenth, and many more no longer fit the cache."""
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

    def blocks(self, buffers: int = 1) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Rows, their logits ``[R, B]``, and ``[buffers, R, B]`` to work in; all of which may be overwritten."""
        total = len(self.q)
        size = min(total, ROWS)
        small = total * len(self.k) * self.q.element_size() <= KEPT_BYTES
        # One allocation for all blocks: fresh memory costs several times what is done in it.
        work = self.q.new_empty(buffers, size, len(self.k))
        logits = self.q.new_empty(total if small else size, len(self.k)) if self.kept is None else self.kept
        for start in range(0, total, size):
            rows = slice(start, min(start + size, total))
            block = logits[rows] if small else logits[: rows.stop - start]
            if self.kept is None:
                self._fill(block, rows)
            yield rows, block, work[:, : len(block)]
        self.kept = logits if small else None

    def _fill(self, block: Tensor, rows: slice) -> None:
        block.addmm_(self.q[rows], self.k.T, beta=0, alpha=self.factor)
        if self.bias is not None:
            block.add_(self.bias)
        if self.excluded is not None:
            block.masked_fill_(self.excluded.block(rows), torch.finfo(block.dtype).min)

    def gradients(self, work: Work, of_q: bool, of_k: bool) -> tuple[Tensor | None, Tensor | None]:
        """Gradients of q and k from that of the logits, which ``work(rows, logits, buffer)`` returns ``[R, B]``."""
        grad_q = torch.empty_like(self.q) if of_q else None
        grad_k = torch.zeros_like(self.k) if of_k else None
        for rows, block, (buffer,) in self.blocks():
            gradient = work(rows, block, buffer)
            if grad_q is not None:
                torch.mm(gradient, self.k, out=grad_q[rows])
            if grad_k is not None:
                grad_k.addmm_(gradient.T, self.q[rows])
        return grad_q, grad_k


class _LogPartition(torch.autograd.Function):
    """Sums of powers of two, which a CPU takes four times as fast as of e, and at no less speed at underflow.

    Each is held as its largest logit and the sum relative to it. So a probability of 1 is 1 to the bit, and gradients
    vanish as they should where a query has found its positive; from a logarithm of the sum they would be noise.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, both: bool, excluded: Positives | None) -> tuple[Tensor, Tensor | None]:
        peak_A, sum_A = q.new_empty(2, len(q))
        peak_B, sum_B = q.new_full((len(k),), -math.inf), q.new_zeros(len(k))
        logits = _Logits(q, k, LOG2_E, excluded=excluded)
        for rows, block, (buffer,) in logits.blocks():
            peak_A[rows], sum_A[rows] = _power_sum(block, 1, buffer)
            if both:
                peak_B, sum_B = _added(peak_B, sum_B, *_power_sum(block, 0, buffer))
        ctx.save_for_backward(q, k, peak_A, sum_A, peak_B, sum_B)
        ctx.both, ctx.excluded, ctx.kept = both, excluded, logits.kept if any(ctx.needs_input_grad) else None
        return (peak_A + sum_A.log2()) * LN_2, (peak_B + sum_B.log2()) * LN_2 if both else None

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_A: Tensor, grad_B: Tensor) -> tuple[Tensor | None, ...]:
        q, k, peak_A, sum_A, peak_B, sum_B = ctx.saved_tensors
        weight_A, weight_B = grad_A / sum_A, grad_B / sum_B if ctx.both else None

        def work(rows: slice, block: Tensor, buffer: Tensor) -> Tensor:
            torch.sub(block, peak_A[rows, None], out=buffer).exp2_().mul_(weight_A[rows, None])
            if weight_B is not None:
                buffer.addcmul_(block.sub_(peak_B).exp2_(), weight_B)
            return buffer

        logits = _Logits(q, k, LOG2_E, excluded=ctx.excluded, kept=ctx.kept)
        ctx.kept = None  # overwritten: another walk of the graph makes it again
        return *logits.gradients(work, *ctx.needs_input_grad[:2]), None, None


def _power_sum(x: Tensor, dim: int, buffer: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of ``2 ** x`` along a dimension, as its largest exponent and the sum relative to that."""
    peak = x.amax(dim, keepdim=True)
    return peak.squeeze(dim), torch.sub(x, peak, out=buffer).exp2_().sum(dim)


def _added(peak: Tensor, total: Tensor, more_peak: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
    """Two of :func:`_power_sum` together."""
    highest = torch.maximum(peak, more_peak)
    return highest, total * (peak - highest).exp2() + more * (more_peak - highest).exp2()


class _SoftplusSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, bias: Tensor) -> Tensor:
        rows_A = q.new_empty(len(q))
        logits = _Logits(q, k, bias=bias)
        for rows, block, buffers in logits.blocks(2):
            rows_A[rows] = _softplus_sums(block, *buffers)
        ctx.save_for_backward(q, k, bias)
        ctx.kept = logits.kept if any(ctx.needs_input_grad) else None
        return rows_A.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, bias = ctx.saved_tensors
        rows_A = q.new_empty(len(q))

        def work(rows: slice, block: Tensor, buffer: Tensor) -> Tensor:
            rows_A[rows] = torch.sigmoid(block, out=buffer).mul_(grad).sum(1)
            return buffer

        logits = _Logits(q, k, bias=bias, kept=ctx.kept)
        return *logits.gradients(work, *ctx.needs_input_grad[:2]), rows_A.sum().to(bias.dtype)


def _softplus_sums(x: Tensor, e: Tensor, u: Tensor) -> Tensor:
    """Sums over the rows of ``log(1 + exp(x))``, with two buffers like ``x``, of passes that are fast on a CPU.

    It is max(x, 0) + log(1 + e) with e = exp(-|x|). What rounding takes from u = 1 + e is e - (u - 1); added to log(u)
    it keeps the many small terms of distant pairs accurate, as log1p does, which is sometimes ten times slower.
    """
    above_zero = torch.clamp(x, min=0, out=e).sum(1)
    torch.abs(x, out=e).mul_(-LOG2_E).exp2_()
    lost = e.sub_(torch.add(e, 1, out=u).sub_(1)).sum(1)
    return above_zero + u.add_(1).log_().sum(1) + lost

"""Choose the arithmetic of the towers by measuring them, and say why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Name = Literal["fp32", "bf16"]
CLEARLY_FASTER = 0.8
"""bf16 is taken when it needs at most this share of fp32's time; it costs accuracy, so a tie goes to fp32."""


@dataclass(frozen=True)
class Precision:
    """The arithmetic of a run and the reason for it."""

    name: Name
    reason: str

    def autocast(self, device: str) -> torch.autocast:
        """The context in which towers run; embeddings and losses are always float32."""
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.name == "bf16")

    @contextmanager
    def products(self) -> Iterator[None]:
        """The context in which losses run: with bf16, their float32 matrix products may use a faster unit.

        That is TF32 on a GPU, and on a CPU what oneDNN makes of bfloat16; sums stay float32.
        """
        before = torch.get_float32_matmul_precision()
        if self.name == "bf16":
            torch.set_float32_matmul_precision("medium")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


def choose_precision(wanted: Literal["auto", "fp32", "bf16"], device: str, work: Callable[[], Tensor]) -> Precision:
    """``wanted``, or for ``auto`` whichever of float32 and bfloat16 autocast does the ``work`` clearly faster.

    Args:
        wanted: What the recipe says.
        device: ``cpu`` or ``cuda``.
        work: Runs the stage's towers on one small batch and gives a scalar; it is run forward and backward.
    """
    if wanted != "auto":
        return Precision(wanted, "as the recipe says")
    fp32, bf16 = (min(_seconds(Precision(name, ""), device, work) for _ in range(3)) for name in ("fp32", "bf16"))
    reason = f"measured on this {device}: bf16 takes {bf16 / fp32:.2f} times as long as fp32 on a small batch"
    return Precision("bf16" if bf16 <= CLEARLY_FASTER * fp32 else "fp32", reason)


def _seconds(precision: Precision, device: str, work: Callable[[], Tensor]) -> float:
    start = time.perf_counter()
    with precision.autocast(device):
        value = work()
    if value.requires_grad:
        torch.autograd.backward(value.float())
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start

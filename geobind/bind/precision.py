"""Choose the arithmetic of the towers by measuring, and say why."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True)
class Precision:
    """The arithmetic of a run and the reason for it."""

    name: Literal["fp32", "bf16"]
    reason: str

    def autocast(self, device: str) -> torch.autocast:
        """The context in which towers run; losses are always float32."""
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.name == "bf16")


def choose_precision(wanted: Literal["auto", "fp32", "bf16"], device: str) -> Precision:
    """``wanted``, or for ``auto`` whichever of float32 and bfloat16 runs a linear layer faster on this device."""
    if wanted != "auto":
        return Precision(wanted, "as the recipe says")
    fp32, bf16 = _linear_seconds(device, torch.float32), _linear_seconds(device, torch.bfloat16)
    ratio = f"a linear layer took {bf16 / fp32:.2f} times as long in bf16 as in fp32 on this {device}"
    return Precision("bf16" if bf16 < 0.8 * fp32 else "fp32", ratio)


def _linear_seconds(device: str, dtype: torch.dtype) -> float:
    x, w = (torch.randn(512, 512, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):  # the first ones warm up
        start = time.perf_counter()
        for _ in range(4):
            torch.nn.functional.linear(x, w)
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best

"""How an epoch's time was spent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

PHASES = ("data", "forward", "loss", "backward", "optimiser", "validation", "checkpoint")
ON_DEVICE = {"forward", "loss", "backward", "optimiser"}


class Phases:
    """Seconds per phase of an epoch.

    A GPU works behind the program's back, so its phases are marked by events in its own stream, and nothing waits.

    Args:
        device: Where the towers live.
    """

    def __init__(self, device: str) -> None:
        self._gpu = device.startswith("cuda")
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
        self._seconds = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Count the time inside to a phase."""
        if self._gpu and phase in ON_DEVICE:
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            first.record()
            yield
            last.record()
            self._events.append((phase, first, last))
            return
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[phase] += time.perf_counter() - start

    def report(self) -> dict[str, float]:
        """``time_PHASE`` in seconds for those that took any, since the last report."""
        if self._events:
            torch.cuda.synchronize()
        for phase, first, last in self._events:
            self._seconds[phase] += first.elapsed_time(last) / 1e3
        spent = {f"time_{phase}": seconds for phase, seconds in self._seconds.items() if seconds}
        self._events, self._seconds = [], dict.fromkeys(PHASES, 0.0)
        return spent


def sentence(spent: dict[str, float], seconds: float) -> str:
    """``data 3 %, forward 31 %, …`` of an epoch's seconds, for people."""
    return ", ".join(
        f"{phase} {100 * spent[key] / seconds:.0f} %" for phase in PHASES if (key := f"time_{phase}") in spent
    )

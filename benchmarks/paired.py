"""What the benchmarks share: contenders timed in turn, so that whatever slows the machine slows all of them."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch


def paired(functions: dict[str, Callable[[], object]], rounds: int, *, rest: float = 0.0) -> dict[str, list[float]]:
    """Time functions against each other: one warm-up each, then ``rounds`` rounds of all, each round in another order.

    Args:
        functions: Contenders by name. One that measures itself returns its own figure, a float; anything else that a
            call returns is dropped and its wall-clock seconds count.
        rounds: Times that each one runs; 5 or more make a median.
        rest: Seconds before each run, for contenders of several libraries: the threads of one spin on for a while after
            its work and take the cores from the next.

    Returns:
        The figures of each, round by round.
    """
    order = list(functions)
    figures: dict[str, list[float]] = {name: [] for name in order}
    for run in functions.values():
        run()
    for _ in range(rounds):
        for name in order:
            time.sleep(rest)
            start = time.perf_counter()
            own = functions[name]()
            seconds = time.perf_counter() - start
            figures[name].append(own if isinstance(own, float) else seconds)
        order.append(order.pop(0))
    return figures


def report(figures: dict[str, list[float]], baseline: str, *, unit: str = "s", scale: float = 1.0) -> None:
    """Print a line per contender: median, how many times the baseline's, and the range of that ratio over the rounds.

    Args:
        figures: Of :func:`paired`.
        baseline: Name of the contender that the others are divided by.
        unit: Of the figures once they are multiplied by ``scale``.
        scale: For example 1000 for milliseconds out of seconds.
    """
    base = figures[baseline]
    width = max(map(len, figures))
    for name, own in figures.items():
        median = statistics.median(own)
        line = f"{name:<{width}}  median {scale * median:9.4g} {unit}"
        if name != baseline:
            ratios = [a / b for a, b in zip(own, base, strict=True)]
            line += f"   {median / statistics.median(base):6.2f} × {baseline} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(line)


def machine(*packages: str) -> str:
    """One line on what a figure was measured with: processor, threads, Python, torch and the packages named."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    processor = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", *packages))
    return f"{processor}, {torch.get_num_threads()} thread(s), Python {platform.python_version()}, {versions}"

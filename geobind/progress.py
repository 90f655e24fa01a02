"""Progress of long work: a bar with rate and ETA on a terminal, plain lines in a log, on rank 0 alone."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOG_EVERY_S = 30.0
"""Seconds between the plain lines of work that is still going on."""


def first_rank() -> bool:
    """Whether this process speaks: it is the only one, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def say(line: str) -> None:
    """Print a line of a run to standard error, on rank 0 only: standard output is for results."""
    if first_rank():
        print(line, file=sys.stderr, flush=True)


def counted(number: int, noun: str) -> str:
    """``1 stage``, ``2 stages``, ``6,481 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@contextmanager
def track(label: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Show progress over ``total`` units; yields a function to be called with each number done."""
    if not first_rank():
        yield lambda n: None
    elif sys.stderr.isatty():
        with _bar(label, total, unit) as advance:
            yield advance
    else:
        yield from _lines(label, total, unit)


@contextmanager
def _bar(label: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.finished_speed or task.speed or 0:,.0f} {unit}/s", style="dim")

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,}/{task.total:,}"))
    with Progress(*columns, Rate(), TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=total)
        yield lambda n: progress.advance(task, n)


def _lines(label: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    start = said = time.monotonic()
    done = 0

    def advance(n: int) -> None:
        nonlocal done, said
        done += n
        now = time.monotonic()
        if now - said >= LOG_EVERY_S:
            said = now
            rate = done / (now - start)
            say(f"{label}: {done:,}/{total:,} {unit}, {rate:,.0f}/s, {(total - done) / rate:,.0f} s to go")

    yield advance
    seconds = time.monotonic() - start
    say(f"{label}: {done:,} {unit} in {seconds:.1f} s ({done / max(seconds, 1e-9):,.0f}/s)")

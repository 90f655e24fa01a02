"""Made-up captions, for checks and tests."""

from __future__ import annotations

LANDS = ("a beach", "dense forest", "a town on a river", "dry hills", "green fields cut by straight roads")


def caption(index: int) -> str:
    """A caption of a place that does not exist, such as ``"dense forest, seen from 4 km above"``."""
    return f"{LANDS[index % len(LANDS)]}, seen from {index + 3} km above"

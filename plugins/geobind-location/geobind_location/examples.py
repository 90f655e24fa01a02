"""Made-up places, for checks and tests."""

from __future__ import annotations

import math

GOLDEN = (math.sqrt(5) - 1) / 2


def place(index: int) -> tuple[float, float]:
    """``(lat, lon)`` in degrees on a spiral that covers the globe evenly, sea included."""
    return math.degrees(math.asin(2 * (GOLDEN * index % 1) - 1)), 360 * (math.sqrt(2) * index % 1) - 180

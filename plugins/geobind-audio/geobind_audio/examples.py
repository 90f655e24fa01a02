"""Made-up sounds, for checks and tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 16_000


def tone(index: int) -> tuple[NDArray[np.float32], int]:
    """``(samples, rate)``: 0.4, 0.8 or 1.2 s of a tone, a little higher for every index, under faint noise."""
    t = np.arange(round(0.4 * (1 + index % 3) * RATE)) / RATE
    pitch = 200 * 2 ** (index / 12 % 5)  # Hz: a semitone a step, through five octaves
    noise = np.random.default_rng(index).normal(0, 0.01, len(t))
    return (0.3 * np.sin(2 * np.pi * pitch * t) + noise).astype(np.float32), RATE

"""Sounds and places that several test files use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[3] / "../shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the shared data folder beside the checkout is absent")
    return SHARED


@pytest.fixture(scope="session")
def noise() -> Callable[..., tuple[np.ndarray, int]]:
    """``noise(seconds, rate)``: an audio item, the same at every call."""

    def make(seconds: float, rate: int = 16_000, seed: int = 0) -> tuple[np.ndarray, int]:
        rng = np.random.default_rng(seed)
        return 0.1 * rng.standard_normal(round(seconds * rate)).astype(np.float32), rate

    return make

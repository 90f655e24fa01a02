"""Made-up pictures, for checks and tests."""

from __future__ import annotations

import numpy as np
from PIL import Image


def picture(index: int) -> Image.Image:
    """Patches of random colours that run into each other: RGB, 40 pixels high and 40, 52 or 64 wide."""
    colours = np.random.default_rng(index).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((40 + 12 * (index % 3), 40), Image.Resampling.BICUBIC)

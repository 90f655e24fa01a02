"""Plants of the drawn landscapes: crowns and trunks as small signed-distance shapes, near ones larger."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geobind_world.climate import Climate, Plant

_LEAF: dict[Plant, tuple[int, int, int]] = {
    "palm": (34, 92, 34),
    "broadleaf": (56, 106, 42),
    "acacia": (98, 118, 48),
    "conifer": (30, 66, 46),
    "shrub": (106, 116, 66),
    "none": (0, 0, 0),
}
_TRUNK = np.array([84.0, 62.0, 44.0])
_HEIGHT: dict[Plant, float] = {"palm": 24, "broadleaf": 18, "acacia": 15, "conifer": 22, "shrub": 5, "none": 0}
"""Height in pixels of a plant in the very foreground."""


def plant_all(
    canvas: NDArray[np.float64],
    climate: Climate,
    greenness: float,
    horizon: int,
    shore: float,
    rng: np.random.Generator,
) -> None:
    """Draw the climate's plants onto ``canvas [S, S, 3]``, in place, between the horizon and the shore.

    Their number grows with the climate's cover and with ``greenness`` (0 to 1).
    """
    count = round(70 * climate.cover * greenness)
    nearness = np.sort(rng.random(count) ** 1.4)  # most stand far away; far ones are drawn first
    across = rng.random(count)
    tint = rng.uniform(0.75, 1.25, count)
    snowed = np.clip(climate.snow * 1.2, 0, 0.6)
    leaf = np.array(_LEAF[climate.plant], dtype=np.float64) * (1 - snowed) + 235 * snowed
    for near, x, shade in zip(nearness.tolist(), across.tolist(), tint.tolist(), strict=True):
        foot = horizon + 5 + near * (min(shore, canvas.shape[0] + 4) - horizon - 7)
        height = _HEIGHT[climate.plant] * (0.22 + 0.78 * near) * (0.8 + 0.2 * shade)
        _stamp(canvas, climate.plant, x * canvas.shape[1], foot, height, leaf * shade)


def _stamp(
    canvas: NDArray[np.float64], plant: Plant, x: float, foot: float, height: float, leaf: NDArray[np.float64]
) -> None:
    """One plant whose trunk stands at column ``x`` and row ``foot``."""
    reach = max(height * 0.75, 2.0)
    top, bottom = max(int(foot - height * 1.15), 0), min(int(foot) + 2, canvas.shape[0])
    left, right = max(int(x - reach), 0), min(int(x + reach) + 2, canvas.shape[1])
    if top >= bottom or left >= right:
        return
    rows, columns = np.ogrid[top:bottom, left:right]
    up, side = (foot - rows) / height, (columns - x) / height
    patch = canvas[top:bottom, left:right]
    for inside, colour in ((_trunk(plant, up, side), _TRUNK), (_crown(plant, up, side), leaf)):
        alpha = np.clip(inside * height + 0.5, 0, 1)[..., None]
        light = 1.0 - 0.35 * np.clip(side / 0.35, -1, 1)[..., None] * 0.5 + 0.15 * (up[..., None] - 0.6)
        patch += (colour * light - patch) * alpha


def _trunk(plant: Plant, up: NDArray[np.float64], side: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed distance, positive inside, in units of the plant's height."""
    lean = 0.08 * up**2 if plant == "palm" else 0.0
    tall = 0.85 if plant in ("palm", "acacia") else 0.4
    return np.asarray(np.minimum(0.045 - np.abs(side - lean), np.minimum(up, tall - up)))


def _crown(plant: Plant, up: NDArray[np.float64], side: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed distance, positive inside, in units of the plant's height."""
    if plant == "conifer":
        tiers = 0.05 * np.abs(np.sin(up * 14))
        return np.asarray(np.minimum(0.27 * (1.05 - up) - np.abs(side) - tiers, up - 0.12))
    if plant == "palm":
        from_top = np.hypot(side - 0.07, up - 0.85)
        angle = np.arctan2(up - 0.85, side - 0.07)
        return np.asarray(0.16 + 0.2 * np.abs(np.cos(angle * 3.5)) - from_top)
    if plant == "acacia":
        return np.asarray(0.13 - np.hypot(side * 0.26, up - 0.85))
    if plant == "shrub":
        return np.asarray(0.5 - np.hypot(side * 0.8, up - 0.4))
    return np.asarray(0.36 - np.hypot(side, (up - 0.66) * 1.1))

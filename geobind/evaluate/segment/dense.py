"""Dense features: the tokens of many items as square grids, and their way into the space.

Shapes: N items, T = g·g tokens, d their width, D dimensions of the space, C classes, H × W pixels of a map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from geobind.data.items import Items
from geobind.encoder import Encoder, device_of
from geobind.errors import DataError, SpaceError
from geobind.progress import track
from geobind.space.embed import embed
from geobind.space.heads import Tower

if TYPE_CHECKING:
    from geobind.space.space import Space

BLOCK = 64
"""Items whose tokens pass through a head at a time."""


def dense_tower(space: Space, modality: str) -> Tower:
    """The tower of a modality whose encoder has dense features.

    Raises:
        SpaceError: It is not bound, or its encoder has none, with the towers here that do.
    """
    tower = space.tower(modality)
    if not _has_tokens(tower.encoder):
        having = [name for name in space.towers if name not in space.stale and _has_tokens(space.tower(name).encoder)]
        raise SpaceError(
            f"the {modality} tower of space {space.name!r} has no dense features: {type(tower.encoder).__name__} writes"
            " no tokens()",
            fix=f"Towers here that have them: {', '.join(having) or 'none'}.",
        )
    return tower


def _has_tokens(encoder: Encoder) -> bool:
    return type(encoder).tokens is not Encoder.tokens


def dense_features(tower: Tower, items: Items, on_error: Callable[[int, DataError], None]) -> NDArray[np.float32]:
    """Tokens of all items as grids, rows of the picture first: ``[N, d, g, g]``.

    They are computed every time: on disk they would take hundreds of times the room of pooled features.

    Args:
        tower: Of the items' modality.
        items: The items.
        on_error: Told the row of an item that cannot be read, and why; its features are NaN.

    Raises:
        SpaceError: The tokens are no square grid.
        DataError: No item can be read.
    """
    with track(f"dense features of {items.modality}", len(items), "items") as advance:
        tokens = embed(tower.encoder, items, tower.encoder.tokens, advance=advance, on_error=on_error)
    side = round(tokens.shape[1] ** 0.5) if tokens.ndim == 3 else 0
    if not side or side * side != tokens.shape[1]:
        raise SpaceError(
            f"tokens {list(tokens.shape[1:])} of {type(tower.encoder).__name__} are no square grid",
            fix="Dense features are [B, T, d], one token per place of a square grid and none besides.",
        )
    return np.ascontiguousarray(tokens.reshape(len(tokens), side, side, -1).transpose(0, 3, 1, 2))


def similarity_maps(tower: Tower, features: NDArray[np.float32], classes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine of every token with every class: ``[N, C, g, g]``.

    A token takes the way of the pooled features: the tower's head, then the unit norm.

    Args:
        tower: Whose tokens they are.
        features: ``[N, d, g, g]``
        classes: ``[C, D]`` unit-norm embeddings of classes.
    """
    weights = torch.from_numpy(classes)
    maps = np.empty((len(features), len(classes), *features.shape[2:]), dtype=np.float32)
    device = device_of(tower)
    with torch.inference_mode():
        for start in range(0, len(features), BLOCK):
            block = torch.from_numpy(features[start : start + BLOCK]).to(device)
            placed = tower.project(block.permute(0, 2, 3, 1)).cpu()
            maps[start : start + BLOCK] = (placed @ weights.T).permute(0, 3, 1, 2).numpy()
    return maps


def to_pixels(scores: Tensor, height: int, width: int) -> Tensor:
    """Scores of a grid at every pixel: ``[…, C, h, w]`` → ``[…, C, H, W]``, bilinear.

    The cells of the grid and the pixels tile the same square, so that the middle of a cell lies in the middle of its
    pixels (``align_corners=False``).
    """
    return F.interpolate(scores, size=(height, width), mode="bilinear", align_corners=False)


def taken_for(scores: NDArray[np.float32], height: int, width: int) -> NDArray[np.int16]:
    """``[H, W]`` the class of the largest score at each pixel, of scores ``[C, h, w]``."""
    with torch.inference_mode():
        pixels = to_pixels(torch.from_numpy(scores)[None], height, width)[0]
        return pixels.argmax(dim=0).numpy().astype(np.int16)

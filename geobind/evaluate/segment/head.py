"""Small heads on frozen dense features.

Shapes: n scenes, d token width, g × g tokens, C classes, R × R points of a map that are learnt from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from geobind.errors import DataError
from geobind.evaluate.segment.dense import BLOCK, to_pixels
from geobind.evaluate.segment.masks import IGNORED, Mask, sampled

Kind = Literal["linear", "decoder"]
Asked = Kind | Literal["none"]
HEADS: tuple[Asked, ...] = ("none", "linear", "decoder")

WIDTH = 128
"""Channels between the layers of a decoder."""
STEPS = 300
"""Steps of the optimiser: so many whatever the size of the data."""
EVERY = 30
"""Steps from one look at the val scenes to the next."""
BATCH = 32
RATE: dict[Kind, float] = {"linear": 3e-3, "decoder": 1e-3}
"""Learning rates. Like the number of steps, they were chosen on the val scenes of the registry's ``koppen``."""
DECAY = 0.01
CONSTANT = 1e-6
"""A channel with a smaller share than this of the largest standard deviation is taken to be constant."""
LEAST_SIDE = 32
"""R at least; two points per token and axis where there are more tokens."""


class Head(nn.Module):
    """Dense features in, scores of classes on a grid out; features are standardised per channel first."""

    def __init__(self, kind: Kind, features: Tensor, classes: int) -> None:
        super().__init__()
        width = features.shape[1]
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", features.mean(dim=(0, 2, 3), keepdim=True))
        spread = features.std(dim=(0, 2, 3), keepdim=True)
        # A channel that never changes says nothing, and would shout where it does change.
        self.register_buffer("scale", torch.where(spread > CONSTANT * spread.max(), 1 / spread, 0))
        self.layers: nn.Module = nn.Conv2d(width, classes, kernel_size=1)
        if kind == "decoder":
            self.layers = nn.Sequential(
                nn.Conv2d(width, WIDTH, kernel_size=3, padding=1),
                nn.GELU(),
                nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
                nn.Conv2d(WIDTH, WIDTH, kernel_size=3, padding=1),
                nn.GELU(),
                nn.Conv2d(WIDTH, classes, kernel_size=1),
            )

    def forward(self, features: Tensor) -> Tensor:
        """``[n, d, g, g]`` → ``[n, C, g, g]``, for a decoder twice as fine."""
        scores: Tensor = self.layers((features - self.mean) * self.scale)
        return scores


@dataclass(frozen=True, eq=False)
class Learnt:
    """A head and how it came about."""

    head: Head = field(repr=False)
    step: int
    """After which step it was taken."""
    on: Literal["val", "the last step"]
    """By what."""

    def scores(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """``[n, C, h, w]`` of dense features ``[n, d, g, g]``."""
        device = self.head.mean.device
        with torch.inference_mode():
            blocks = [torch.from_numpy(features[start : start + BLOCK]) for start in range(0, len(features), BLOCK)]
            return np.concatenate([self.head(block.to(device)).cpu().numpy() for block in blocks])


def learn(
    kind: Kind,
    features: NDArray[np.float32],
    masks: Sequence[Mask],
    classes: int,
    *,
    val: tuple[NDArray[np.float32], Sequence[Mask]] | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Learnt:
    """Fit a head with cross-entropy at R × R points of each map, by AdamW with a constant rate.

    Args:
        kind: ``linear``: one 1 × 1 convolution; ``decoder``: two 3 × 3 convolutions, twice as fine, before it.
        features: ``[n, d, g, g]`` of the scenes that are learnt from.
        masks: Their ``n`` maps.
        classes: C.
        val: Features and maps that decide after which step to stop, by their mIoU; the last step for None, and where
            none of their pixels has a class.
        seed: Of the initial weights and the order of scenes.
        device: Where to compute.

    Raises:
        DataError: No pixel of the maps has a class.
    """
    x, y = _tensors(features, masks, device)
    if not (y != IGNORED).any():
        raise DataError("no pixel that a head could learn from has a class", fix="Look at `legend:` and `ignore:`.")
    checked = None if val is None else _tensors(*val, device)
    if checked is not None and (checked[1] == IGNORED).all():
        checked = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = Head(kind, x, classes).to(device)
    optimiser = torch.optim.AdamW(head.parameters(), lr=RATE[kind], weight_decay=DECAY)
    generator = torch.Generator().manual_seed(seed)
    order = torch.empty(0, dtype=torch.int64)
    best, best_step, kept = -1.0, STEPS, None
    for step in range(1, STEPS + 1):
        if not len(order):
            order = torch.randperm(len(x), generator=generator)
        rows, order = order[:BATCH], order[BATCH:]
        target = y[rows]
        if (target == IGNORED).all():
            continue
        scores = to_pixels(head(x[rows]), *target.shape[1:])
        loss = F.cross_entropy(scores, target, ignore_index=IGNORED)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if checked is not None and step % EVERY == 0 and (reached := _miou(head, *checked, classes)) > best:
            best, best_step = reached, step
            kept = {name: value.clone() for name, value in head.state_dict().items()}
    if kept is not None:
        head.load_state_dict(kept)
    return Learnt(head.eval(), best_step, "the last step" if checked is None else "val")


def _tensors(features: NDArray[np.float32], masks: Sequence[Mask], device: str) -> tuple[Tensor, Tensor]:
    side = max(LEAST_SIDE, 2 * features.shape[-1])
    points = np.stack([sampled(mask, side) for mask in masks]).astype(np.int64)
    return torch.from_numpy(features).to(device), torch.from_numpy(points).to(device)


@torch.inference_mode()
def _miou(head: Head, x: Tensor, y: Tensor, classes: int) -> float:
    """The mIoU over the classes that occur in the points ``y [n, R, R]``."""
    cells = torch.zeros(classes * classes, dtype=torch.int64)
    for start in range(0, len(x), BLOCK):
        target = y[start : start + BLOCK]
        found = to_pixels(head(x[start : start + BLOCK]), *target.shape[1:]).argmax(dim=1)
        known = target != IGNORED
        cells += torch.bincount(target[known] * classes + found[known], minlength=classes * classes).cpu()
    confusion = cells.view(classes, classes).double()
    hits, truth = confusion.diagonal(), confusion.sum(dim=1)
    present = truth > 0
    return float((hits / (truth + confusion.sum(dim=0) - hits))[present].mean()) if present.any() else 0.0

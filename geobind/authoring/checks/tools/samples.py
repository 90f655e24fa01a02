"""Items of an encoder prepared and embedded, and told apart.

torch is imported when it is first used: collecting a plugin's tests must not wait for it.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from geobind.authoring.checks.check import require

if TYPE_CHECKING:
    from torch import Tensor, nn

    from geobind.encoder import Batch, Encoder

NEAR = 1e-4
"""Largest difference of embeddings that ought to be equal, as a share of the largest value: sums in another order."""
SAME = 1e-6
"""The same of what is computed a second time in the same way."""
DIM = 16
"""Dimensions of the space that towers are checked in."""


def prepare(encoder: Encoder, items: list[Any], *, train: bool = False) -> list[Batch]:
    """Preprocessed samples; augmented with generators of fixed seeds when ``train`` is set."""
    import torch

    generators = [torch.Generator().manual_seed(seed) if train else None for seed in range(len(items))]
    return [
        encoder.preprocess(item, train=train, generator=generator)
        for item, generator in zip(items, generators, strict=True)
    ]


def embed(encoder: Encoder, items: list[Any]) -> Tensor:
    """What the encoder makes of items, without gradient: ``[B, E]``."""
    import torch

    with torch.no_grad():
        return encoder(encoder.collate(prepare(encoder, items)))  # type: ignore[no-any-return]


def linear_head(encoder: Encoder) -> nn.Module:
    """A linear head of the encoder into :data:`DIM` dimensions."""
    from geobind.config import Head
    from geobind.space.heads import build_head

    return build_head(Head(type="linear"), encoder.embed_dim, DIM, where="a check")


def apart(a: Tensor, b: Tensor) -> float:
    """The largest difference between two tensors of one shape, as a share of the largest value; NaN if one has any."""
    largest = max(a.abs().max(), b.abs().max()).clamp(min=1e-12)
    return float((a - b).abs().max() / largest)


def require_same(a: list[Batch], b: list[Batch], when: str, fix: str) -> None:
    """Fail unless two lists of samples are equal: whole numbers exactly, floats within :data:`SAME`.

    Raises:
        CheckFailed: With the key and the size of the difference.
    """
    for number, (left, right) in enumerate(zip(a, b, strict=True)):
        require(
            form(left) == form(right),
            f"preprocess of item {number} gave {form(left)}, and {when} {form(right)}",
            fix,
        )
        for key in left:
            difference = apart(left[key].double(), right[key].double()) if left[key].numel() else 0.0
            require(
                difference <= (SAME if left[key].is_floating_point() else 0),
                f"preprocess of item {number} gave another {key!r} {when}, up to {difference:.2g} of the largest value",
                fix,
            )


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's global generators for a while, and put back what they were."""
    import numpy as np
    import torch

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def random_states() -> dict[str, Any]:
    """The states of the global generators, by the names that people know them by."""
    import numpy as np
    import torch

    return {
        "random": random.getstate(),
        "numpy.random": pickle.dumps(np.random.get_state()),
        "torch's global generator": torch.get_rng_state().tolist(),
    }


def form(sample: Batch) -> dict[str, str]:
    """Type and sizes of each tensor, such as ``float32 [3, 4]``."""
    return {key: f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}" for key, value in sample.items()}

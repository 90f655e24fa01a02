"""What becomes of an encoder in a fresh process: sent there as to a worker, and built there anew."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from geobind.authoring.checks.subjects import EncoderSubject
from geobind.authoring.checks.tools.elsewhere import call_elsewhere
from geobind.authoring.checks.tools.samples import embed, prepare
from geobind.modality import Config, load_object

if TYPE_CHECKING:
    from torch import Tensor

    from geobind.encoder import Batch, Encoder


@dataclass(frozen=True)
class Visit:
    """What a fresh process made of an encoder and items."""

    plain: list[Batch]
    """Samples of the encoder that was sent."""
    augmented: list[Batch]
    """The same in training."""
    samples: list[Batch]
    """Samples of an encoder that was built there."""
    embeddings: Tensor
    description: dict[str, Any]
    weights: dict[str, str]
    """SHA-256 of each tensor that was built there."""


@lru_cache(maxsize=1)  # two checks share one start, which costs seconds
def visit(subject: EncoderSubject) -> Visit:
    """Send an encoder and its items to a fresh process.

    Raises:
        CheckFailed: The process died, or something failed in it.
    """
    try:
        sent = pickle.dumps(subject.build())
    except Exception:
        sent = None  # pickles_to_workers says why
    return call_elsewhere(subject.plugins, _be_elsewhere, subject.spec.build, subject.config, subject.items(), sent)


def _be_elsewhere(build: str, config: Config, items: list[Any], sent: bytes | None) -> Visit:
    """What the fresh process does."""
    import torch

    worker: Encoder | None = None if sent is None else pickle.loads(sent)  # noqa: S301 - of the process that asks
    torch.manual_seed(0)
    encoder: Encoder = load_object(build)(config).eval()
    return Visit(
        plain=prepare(worker, items) if worker else [],
        augmented=prepare(worker, items, train=True) if worker else [],
        samples=prepare(encoder, items),
        embeddings=embed(encoder, items),
        description=encoder.describe_preprocessing(),
        weights=digests(encoder),
    )


def digests(encoder: Encoder) -> dict[str, str]:
    """SHA-256 of every tensor of its state."""
    import torch

    return {
        name: hashlib.sha256(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data).hexdigest()
        for name, tensor in encoder.state_dict().items()
    }

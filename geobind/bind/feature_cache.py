"""What is frozen is computed once: encoder features of items, shared by all stages of a run.

Shapes: N items, E features.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geobind.data.items import Items
from geobind.encoder import Encoder
from geobind.progress import track
from geobind.space.embed import embed


class FeatureCache:
    """Features in memory, keyed by the encoder's weights and preprocessing and by each item's content."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, int]] = {}
        self._features: dict[str, NDArray[np.float32]] = {}

    def features(self, encoder: Encoder, items: Items, *, view: int = 0) -> Tensor:
        """Features ``[N, E]`` of all items; those of unseen content are computed, each once.

        Args:
            encoder: In any mode; it is put into evaluation mode.
            items: The items.
            view: 0 for the plain items, k for their k-th augmented view.
        """
        encoder.eval()
        key = f"{identity(encoder)}:{items.modality}:{view}"
        rows = self._rows.setdefault(key, {})
        keys = items.key.tolist()
        first = {name: row for row, name in reversed(list(enumerate(keys))) if name not in rows}
        if first:
            missing = items.take(np.sort(np.fromiter(first.values(), dtype=np.int64)))
            label = f"features of {items.modality}" + (f", view {view}" if view else "")
            with track(label, len(missing), "items") as advance:
                new = embed(encoder, missing, encoder, seed=view or None, advance=advance)
            known = self._features.get(key)
            self._features[key] = new if known is None else np.concatenate([known, new])
            for name in missing.key.tolist():
                rows[name] = len(rows)
        at = np.fromiter((rows[name] for name in keys), dtype=np.int64, count=len(keys))
        return torch.from_numpy(self._features[key][at])


def identity(encoder: Encoder) -> str:
    """Hash of an encoder's class, preprocessing and weights: equal ones give equal features."""
    digest = hashlib.sha256(type(encoder).__qualname__.encode())
    digest.update(json.dumps(encoder.describe_preprocessing(), sort_keys=True, default=str).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]

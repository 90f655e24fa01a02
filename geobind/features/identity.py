"""What decides an encoder's features, in one hash."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from geobind.encoder import Encoder


def identity(encoder: Encoder) -> str:
    """Hash of what decides an encoder's features, but the items: equal ones give equal features.

    It holds the class and the files its code is in, the modules and their settings as ``repr`` has them, the
    preprocessing, and all parameters and buffers. It does not see code in yet other files: a plugin that changes
    some says so in ``describe_preprocessing``.
    """
    kind = type(encoder)
    told = json.dumps(encoder.describe_preprocessing(), sort_keys=True, default=str)
    words = f"{kind.__module__} {kind.__qualname__} {encoder.embed_dim} {told} {encoder!r}"
    digest = hashlib.sha256(re.sub(r" at 0x[0-9a-fA-F]+", "", words).encode())
    for path in dict.fromkeys(path for inner in _encoders(encoder) for path in _sources(inner)):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    state = {**encoder.state_dict(), **dict(encoder.named_buffers())}  # the latter has those that are not saved, too
    with ThreadPoolExecutor() as pool:
        for part in pool.map(_part, sorted(state.items())):
            digest.update(part)
    return digest.hexdigest()[:32]


def _part(item: tuple[str, object]) -> bytes:
    """Hash of a named tensor, or of whatever else a module keeps in its state."""
    name, value = item
    if not isinstance(value, Tensor):
        return hashlib.sha256(f"{name} {value!r}".encode()).digest()
    digest = hashlib.sha256(f"{name} {value.dtype} {tuple(value.shape)}".encode())
    digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.digest()


def _encoders(encoder: Encoder) -> list[type[Encoder]]:
    """Its class and those of encoders that it asks, itself first."""
    return list(dict.fromkeys(type(module) for module in encoder.modules() if isinstance(module, Encoder)))


def _sources(kind: type[Encoder]) -> list[Path]:
    """The Python files of an encoder's own classes."""
    modules = [sys.modules.get(cls.__module__) for cls in kind.__mro__ if cls not in Encoder.__mro__]
    paths = (Path(getattr(module, "__file__", None) or "") for module in modules)
    return list(dict.fromkeys(path for path in paths if path.suffix == ".py" and path.is_file()))

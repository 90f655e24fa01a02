from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image

from geobind import weights


@pytest.fixture
def photo() -> Image.Image:
    """A picture with structure at several scales, wider than high."""
    y, x = np.mgrid[0:90, 0:140]
    channels = [np.sin(x / 7) + np.cos(y / 11), np.sin((x + y) / 5), np.cos(x / 23) * np.sin(y / 3)]
    return Image.fromarray((127 + 60 * np.stack(channels, axis=-1)).clip(0, 255).astype(np.uint8))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty hub cache and a hub that does not answer; returns the folder in which a repository's files go."""
    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    weights.hub_answers.cache_clear()

    def repository(name: str) -> Path:
        folder = cache / f"models--{name.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text("abc")
        snapshot = folder / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        return snapshot

    yield repository
    weights.hub_answers.cache_clear()

"""YAMNet: real weights know real sounds; wrong files are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from geobind_audio import YamnetConfig
from geobind_audio.weights import of_yamnet
from geobind_audio.yamnet import Yamnet

from geobind import WeightsError

KNOWN = {"dog": 69, "pig": 88, "sheep": 92, "crow": 112, "siren": 390}
"""Folder of ESC-50 clips → AudioSet class, as YAMNet numbers them."""


@pytest.fixture(scope="module")
def weights(shared: Path) -> Path:
    return shared / "weights/yamnet/yamnet_dequantised_fp16.npz"


@pytest.fixture(scope="module")
def yamnet(weights: Path) -> Yamnet:
    encoder = Yamnet(YamnetConfig(weights=weights)).eval()
    assert encoder.load_pretrained() == "AudioSet (YAMNet, yamnet_dequantised_fp16.npz, SHA-256 2c597ed5fa74)"
    return encoder


@pytest.mark.parametrize("folder", KNOWN)
def test_it_knows_real_sounds(yamnet: Yamnet, weights: Path, shared: Path, folder: str) -> None:
    """Under the file's own classifier the true class is among the best five of 521, at any moment of the clip."""
    with np.load(weights, allow_pickle=False) as arrays:
        weight, bias = (torch.from_numpy(arrays[name]).float() for name in ("fc.w", "fc.b"))
    clips = sorted((shared / "data/mini/audio/esc50" / folder).iterdir())[:4]
    for clip in clips:
        patches = yamnet.preprocess(clip, train=False)["inputs"]
        assert patches.shape == (10, 96, 64)  # 5 s
        with torch.no_grad():
            scores = (yamnet.embed(patches) @ weight.T + bias).amax(dim=0)
        assert KNOWN[folder] in scores.topk(5).indices.tolist(), clip.name


def test_real_weights_batched_equals_single(yamnet: Yamnet, shared: Path) -> None:
    clips = sorted((shared / "data/mini/audio/esc50/dog").iterdir())[:3]
    samples = [yamnet.preprocess(clip, train=False) for clip in clips]
    samples[0]["inputs"] = samples[0]["inputs"][:4]
    with torch.no_grad():
        together = yamnet(yamnet.collate(samples))
        alone = torch.cat([yamnet(yamnet.collate([sample])) for sample in samples])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("seconds", "patches"), [(0.1, 1), (0.975, 1), (0.98, 2), (5, 10), (10, 20)])
def test_patches_are_counted_as_yamnet_does(seconds: float, patches: int) -> None:
    samples = np.zeros(round(seconds * 16_000), np.float32)
    assert Yamnet(YamnetConfig()).features(samples).shape == (patches, 96, 64)


def test_random_weights_carry_a_signal() -> None:
    """27 layers without normalisation: torch's default initialisation would leave nothing."""
    torch.manual_seed(0)
    with torch.no_grad():
        assert 0.1 < Yamnet(YamnetConfig()).embed(torch.randn(2, 96, 64)).std() < 10


def test_where_the_weights_lie_is_told(weights: Path) -> None:
    assert of_yamnet(YamnetConfig(weights=weights)) == str(weights)
    assert of_yamnet(YamnetConfig()) == Yamnet(YamnetConfig()).load_pretrained() == "random"
    with pytest.raises(WeightsError, match=r"none\.npz' does not exist"):
        of_yamnet(YamnetConfig(weights=Path("none.npz")))


def test_wrong_weights_are_named(tmp_path: Path) -> None:
    def load(path: Path) -> None:
        Yamnet(YamnetConfig(weights=path)).load_pretrained()

    with pytest.raises(WeightsError, match=r"none\.npz' does not exist"):
        load(tmp_path / "none.npz")
    (tmp_path / "page.npz").write_text("<html>404</html>")
    with pytest.raises(WeightsError, match=r"page\.npz' is not an npz of plain arrays"):
        load(tmp_path / "page.npz")
    np.savez(tmp_path / "objects.npz", layer1=np.array([{}], dtype=object))
    with pytest.raises(WeightsError, match=r"objects\.npz' is not an npz of plain arrays"):
        load(tmp_path / "objects.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(WeightsError, match=r"array\.npy' is not an npz of plain arrays"):
        load(tmp_path / "array.npy")
    np.savez(tmp_path / "other.npz", **{"layer1.w": np.zeros((8, 1, 3, 3))})
    with pytest.raises(WeightsError, match=r"other\.npz' does not hold YAMNet: .*Missing key"):
        load(tmp_path / "other.npz")

"""The promises every encoder makes, for all three."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from geobind_audio import ClapConfig, MelCnnConfig, YamnetConfig
from geobind_audio.clap import build as clap
from geobind_audio.mel_cnn import build as mel_cnn
from geobind_audio.windows import WindowedEncoder
from geobind_audio.yamnet import build as yamnet
from safetensors.torch import load_file, save_file

from geobind import DataError
from geobind.plugins import get_plugins

Noise = Callable[..., tuple[np.ndarray, int]]
BUILDERS: dict[str, Callable[[], WindowedEncoder]] = {
    "clap": lambda: clap(ClapConfig(checkpoint=None, windows=2)),
    "yamnet": lambda: yamnet(YamnetConfig(seconds=1)),
    "mel_cnn": lambda: mel_cnn(MelCnnConfig(seconds=1)),
}


@pytest.fixture(scope="module", params=BUILDERS)
def encoder(request: pytest.FixtureRequest) -> WindowedEncoder:
    if request.param == "clap":
        pytest.importorskip("torchlibrosa", reason="laion-clap, an extra, is not installed")
    torch.manual_seed(0)
    encoder = BUILDERS[request.param]()
    assert encoder.load_pretrained() == "random"
    return encoder.eval()


@pytest.fixture
def items(encoder: WindowedEncoder, noise: Noise) -> list[Any]:
    """Shorter than a window, as long as one, and longer."""
    return [noise(scale * encoder.seconds, encoder.rate, seed=k) for k, scale in enumerate((0.23, 1, 1.7))]


def embed(encoder: WindowedEncoder, items: list[Any]) -> torch.Tensor:
    with torch.no_grad():
        return encoder(encoder.collate([encoder.preprocess(item, train=False) for item in items]))


def test_batched_equals_single_and_twice_equals_once(encoder: WindowedEncoder, items: list[Any]) -> None:
    together = embed(encoder, items)
    assert together.shape == (3, encoder.embed_dim) and together.dtype == torch.float32
    assert torch.cdist(together, together).fill_diagonal_(torch.inf).min() > 1e-3
    alone = torch.cat([embed(encoder, [item]) for item in items])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert torch.equal(together, embed(encoder, items))


def test_saved_equals_loaded_in_a_new_process(encoder: WindowedEncoder, tmp_path: Path, noise: Noise) -> None:
    """By its configuration and weights, and pickled whole, as worker processes get it."""
    name = type(encoder).__name__
    module, config = {
        "Clap": ("clap", ClapConfig(checkpoint=None, windows=2)),
        "Yamnet": ("yamnet", YamnetConfig(seconds=1)),
        "MelCnn": ("mel_cnn", MelCnnConfig(seconds=1)),
    }[name]
    save_file(encoder.state_dict(), tmp_path / "weights.safetensors")
    (tmp_path / "encoder.pickle").write_bytes(pickle.dumps(encoder.preprocess))
    item = noise(0.4)
    np.save(tmp_path / "samples.npy", item[0])
    code = f"""
import pickle, sys, numpy, torch
from pathlib import Path
from geobind_audio import ClapConfig, MelCnnConfig, YamnetConfig
from geobind_audio.{module} import build
from safetensors.torch import load_file, save_file
folder = Path({str(tmp_path)!r})
torch.manual_seed(1)
encoder = build({config!r}).eval()
encoder.load_state_dict(load_file(folder / "weights.safetensors"))
item = (numpy.load(folder / "samples.npy"), 16_000)
sample = encoder.preprocess(item, train=False)
pickled = pickle.loads((folder / "encoder.pickle").read_bytes())(item, train=False)
assert torch.equal(pickled["inputs"], sample["inputs"])
with torch.no_grad():
    save_file({{"embedding": encoder(encoder.collate([sample]))}}, folder / "out")
strangers = {{"laion_clap", "clap_module", "training", "transformers", "wandb"}} & set(sys.modules)
assert not strangers, strangers
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    torch.testing.assert_close(load_file(tmp_path / "out")["embedding"], embed(encoder, [item]), atol=1e-6, rtol=1e-6)


def test_state_dict_round_trip_is_bit_equal(encoder: WindowedEncoder, tmp_path: Path) -> None:
    save_file(encoder.state_dict(), tmp_path / "a.safetensors")
    loaded = load_file(tmp_path / "a.safetensors")
    assert loaded.keys() == encoder.state_dict().keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in encoder.state_dict().items())


def test_gradient_reaches_every_parameter(encoder: WindowedEncoder, items: list[Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    batch = encoder.collate([encoder.preprocess(item, train=True, generator=generator) for item in items[:2]])
    encoder.zero_grad()
    encoder(batch).square().sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.any()] == []
    encoder.zero_grad()


def test_wrong_items_are_named(encoder: WindowedEncoder, tmp_path: Path) -> None:
    for train in (False, True):
        with pytest.raises(DataError, match=r"nowhere\.wav' does not exist"):
            encoder.preprocess(tmp_path / "nowhere.wav", train=train)


def test_preprocessing_is_described_in_json(encoder: WindowedEncoder) -> None:
    policy = json.loads(json.dumps(encoder.describe_preprocessing()))
    assert policy["window_seconds"] == encoder.seconds
    assert "evenly spaced" in policy["longer_clips"] and policy["shorter_clips"] == encoder.filling


def test_recipes_reach_the_encoders() -> None:
    plugins = get_plugins()
    assert plugins.encoder("audio", {"type": "mel_cnn", "width": 4, "embed_dim": 7}).build().embed_dim == 7
    assert plugins.encoder("audio", {"type": "yamnet"}).build().embed_dim == 1024

"""What of these encoders learns when a recipe says last_N or lora: their blocks, and what lies before and after."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from geobind_audio import TINY_HTSAT, ClapConfig, Htsat, MelCnnConfig, YamnetConfig
from geobind_audio.clap import build as clap
from geobind_audio.mel_cnn import build as mel_cnn
from geobind_audio.windows import WindowedEncoder
from geobind_audio.yamnet import build as yamnet
from torch import nn

from geobind.bind.learn.learning import Learning
from geobind.config import Lora
from geobind.space.heads import Tower

BUILDERS: dict[str, Callable[[], WindowedEncoder]] = {
    "clap": lambda: clap(ClapConfig(model=Htsat(**TINY_HTSAT), checkpoint=None, windows=1)),
    "yamnet": lambda: yamnet(YamnetConfig(seconds=1)),
    "mel_cnn": lambda: mel_cnn(MelCnnConfig(seconds=1)),
}
DEPTHS = {
    "clap": {
        "audio_branch.patch_embed.proj.weight": 0,
        "audio_branch.layers.0.blocks.0.norm1.weight": 1,
        "audio_branch.layers.0.downsample.norm.weight": 1,
        "audio_branch.layers.1.blocks.0.norm1.weight": 2,
        "audio_branch.layers.3.blocks.0.mlp.fc2.bias": 4,
        "audio_branch.norm.weight": 5,
        "audio_projection.0.bias": 5,
    },
    "yamnet": {"layers.layer1.bias": 0, "layers.layer2.dw.weight": 1, "layers.layer14.pw.bias": 13},
    "mel_cnn": {"layers.0.weight": 0, "layers.1.weight": 1, "layers.2.bias": 1, "layers.10.weight": 4, "head.bias": 5},
}
BLOCKS = {"clap": 4, "yamnet": 13, "mel_cnn": 4}


@pytest.fixture(params=BUILDERS)
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "clap":
        pytest.importorskip("torchlibrosa", reason="laion-clap, an extra, is not installed")
    return str(request.param)


def make(name: str) -> Tower:
    torch.manual_seed(0)
    encoder = BUILDERS[name]()
    return Tower(encoder, nn.Linear(encoder.embed_dim, 4)).eval()


def batch_of(tower: Tower) -> dict[str, torch.Tensor]:
    encoder = tower.encoder
    assert isinstance(encoder, WindowedEncoder)
    noise = [
        torch.randn(int(encoder.rate * encoder.seconds), generator=torch.Generator().manual_seed(k)) for k in (0, 1)
    ]
    return encoder.collate([encoder.preprocess((0.1 * x.numpy(), encoder.rate), train=False) for x in noise])


def test_every_parameter_has_its_place(name: str) -> None:
    encoder = make(name).encoder
    depths = encoder.depths()
    assert len(encoder.blocks()) == BLOCKS[name]
    assert {key: depths[key] for key in DEPTHS[name]} == DEPTHS[name]
    assert list(depths.values()) == sorted(depths.values())


def test_the_last_blocks_learn_and_those_below_stand(name: str) -> None:
    tower = make(name)
    depths = tower.encoder.depths()
    before = {key: tensor.clone() for key, tensor in tower.encoder.state_dict().items()}
    gradients = []
    for checkpointing in (False, True):
        learning = Learning(tower, "last_2", Lora(), gradient_checkpointing=checkpointing)
        learning.train_mode()
        torch.manual_seed(0)
        tower.zero_grad()
        tower(batch_of(tower)).sum(dim=0).prod().backward()
        found = {key: p.grad.clone() for key, p in tower.encoder.named_parameters() if p.grad is not None}
        assert found.keys() == {key for key, depth in depths.items() if depth > BLOCKS[name] - 2}
        gradients.append(found)
        learning.finish()
    assert all(torch.allclose(gradients[0][key], gradients[1][key], atol=1e-6) for key in gradients[0])
    after = tower.encoder.state_dict()
    moved = {key for key in before if not torch.equal(after[key], before[key])}
    if name == "mel_cnn":  # running statistics, those below the last two blocks excepted
        statistics = ("running_mean", "running_var", "num_batches_tracked")
        assert moved == {f"layers.{norm}.{key}" for norm in (8, 11) for key in statistics}
    else:
        assert not moved


def test_adapters_merge_into_plain_weights(name: str) -> None:
    tower = make(name)
    batch, keys = batch_of(tower), set(tower.state_dict())
    targets = {"yamnet": r"layers\.layer\d+\.pw"}.get(name, "all-linear")
    with torch.no_grad():
        plain = tower(batch)
        learning = Learning(tower, "lora", Lora(targets=targets))
        assert torch.allclose(tower(batch), plain, atol=1e-6)
        for parameter in tower.encoder.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.02)
        adapted = tower(batch)
        learning.finish()
        assert torch.allclose(tower(batch), adapted, atol=1e-6)
        assert not torch.allclose(plain, adapted, atol=1e-5)
    assert set(tower.state_dict()) == keys

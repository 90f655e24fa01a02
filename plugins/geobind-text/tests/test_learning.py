"""What of MiniLM learns when a recipe says last_N or lora."""

import pytest
import torch
from geobind_text import MiniLMConfig
from geobind_text.minilm import build
from torch import nn

from geobind.bind.learn.learning import Learning
from geobind.config import Lora
from geobind.space.heads import Tower

CAPTIONS = ["waves break on the shore", "a town", "a wide river between fields, seen from above"]


def make():
    torch.manual_seed(0)
    encoder = build(MiniLMConfig(pretrained=False))
    return Tower(encoder, nn.Linear(encoder.embed_dim, 4)).eval()


def batch_of(tower):
    return tower.encoder.collate([tower.encoder.preprocess(caption, train=False) for caption in CAPTIONS])


def ready(tower, learn, **options):
    torch.manual_seed(1)
    return Learning(tower, learn, Lora(dropout=0.1), **options)


def step(learning):
    learning.train_mode(True)
    torch.manual_seed(2)
    learning.tower(batch_of(learning.tower)).sum(dim=0).prod().backward()
    with torch.no_grad():
        for parameter in learning.tower.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    learning.train_mode(False)


def test_every_parameter_has_its_place():
    encoder = make().encoder
    assert list(encoder.blocks()) == list(encoder.bert.encoder.layer)
    for name, depth in encoder.depths().items():
        assert depth == (0 if name.startswith("bert.embeddings.") else int(name.split(".")[3]) + 1), name


def test_the_last_blocks_learn_and_those_below_stand():
    tower = make()
    before = {name: tensor.clone() for name, tensor in tower.state_dict().items()}
    learning = ready(tower, "last_2")
    step(learning)
    learning.finish()
    moved = {name for name, tensor in tower.state_dict().items() if not torch.equal(tensor, before[name])}
    learns = {
        name
        for name in before
        if name.startswith(("head.", "encoder.bert.encoder.layer.4.", "encoder.bert.encoder.layer.5."))
    }
    # The softmax does not see what a key's bias adds to all its scores, but for rounding.
    assert learns - moved <= {name for name in learns if name.endswith("key.bias")}
    assert moved <= learns


def test_adapters_merge_into_plain_weights():
    tower = make()
    batch, names = batch_of(tower), list(tower.state_dict())
    with torch.no_grad():
        plain = tower(batch)
        learning = ready(tower, "lora")
        assert torch.allclose(tower(batch), plain, atol=1e-6)
    step(learning)
    step(learning)
    adapters = [p for p in tower.encoder.parameters() if p.requires_grad]
    assert len(adapters) == 2 * 6 * 6 and all(p.grad.any() for p in adapters)
    with torch.no_grad():
        adapted = tower(batch)
        learning.finish()
        assert torch.allclose(tower(batch), adapted, atol=1e-6)
        assert not torch.allclose(adapted, plain, atol=1e-4)
    assert list(tower.state_dict()) == names


@pytest.mark.parametrize("learn", ["last_2", "lora", "full"])
def test_checkpointing_changes_no_gradient(learn):
    gradients = []
    for checkpointing in (False, True):
        learning = ready(make(), learn, gradient_checkpointing=checkpointing)
        step(learning)  # with dropout
        gradients.append({name: p.grad for name, p in learning.tower.named_parameters() if p.grad is not None})
        learning.finish()
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])

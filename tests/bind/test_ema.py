"""The average is the one by hand; the live weights come back to the bit."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from geobind.bind.learn.ema import Ema

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def make(device="cpu"):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    net[0].weight.requires_grad_(False)
    net.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    return {"anchor.encoder": net, "loss": nn.Linear(1, 1)}, net.to(device)


def step(net):
    """Something that moves weights and running statistics."""
    net(torch.randn(8, 4, device=net[0].weight.device))
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter += torch.randn_like(parameter)


def state(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in b)


def test_by_hand():
    weight = nn.Parameter(torch.tensor([1.0]))
    part = nn.ParameterList([weight])
    ema = Ema({"part": part}, 0.75)
    seen = []
    for value in (4.0, 8.0, 0.0):
        weight.data.fill_(value)
        ema.update()
        with ema.applied():
            seen.append(weight.item())
        assert weight.item() == value
    assert seen == [4.0, 0.75 * 4 + 0.25 * 8, 0.75 * 5 + 0.25 * 0]  # the first one copies


@pytest.mark.parametrize("device", DEVICES)
def test_it_is_torchs_average_of_weights_and_running_statistics(device):
    parts, net = make(device)
    parts["loss"].to(device)
    ema = Ema(parts, 0.9)
    del net.mask  # torch averages every buffer, and makes -inf nan
    theirs = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    for _ in range(5):
        step(net)
        ema.update()
        theirs.update_parameters(net)
    expected = theirs.module.state_dict()
    with ema.applied():
        for name, tensor in net.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                assert torch.allclose(tensor, expected[name], atol=1e-6), name


@pytest.mark.parametrize("device", DEVICES)
def test_the_live_weights_come_back_to_the_bit(device):
    parts, net = make(device)
    ema = Ema(parts, 0.9)
    for _ in range(3):
        step(net)
        ema.update()
    live = state(net)
    with ema.applied():
        averaged = state(net)
    assert same(state(net), live)
    with pytest.raises(KeyError), ema.applied(), torch.inference_mode():
        assert same(state(net), averaged)
        raise KeyError
    assert same(state(net), live)
    moved = {name for name in live if not torch.equal(live[name], averaged[name])}
    assert moved == {"0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "2.weight", "2.bias"}
    ema.apply()
    assert same(state(net), averaged)


def test_a_resumed_average_is_the_same():
    runs = []
    for stop in (None, 3):
        parts, net = make()
        ema = Ema(parts, 0.9)
        for number in range(6):
            if number == stop:
                file = io.BytesIO()
                torch.save(ema.state_dict(), file)
                file.seek(0)
                ema = Ema(parts, 0.9)
                ema.load_state_dict(torch.load(file, weights_only=True))
            torch.manual_seed(number)
            step(net)
            ema.update()
        runs.append(ema.state_dict())
    assert runs[0]["updates"] == runs[1]["updates"] == 6
    assert all(torch.equal(a, b) for a, b in zip(runs[0]["average"], runs[1]["average"], strict=True))

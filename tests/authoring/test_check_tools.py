"""What checks of encoders work with: spoilt items, a made-up device, and a fresh process."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import geobind
from geobind.authoring.checks.check import CheckFailed
from geobind.authoring.checks.tools.elsewhere import call_elsewhere
from geobind.authoring.checks.tools.far import DeviceMix, FarTensor, far, move
from geobind.authoring.checks.tools.spoil import spoil
from geobind.modality import load_object
from geobind.plugins import Plugins


def faults(item, folder) -> dict[str, list]:
    found: dict[str, list] = {}
    for bad in spoil(item, folder):
        found.setdefault(bad.fault, []).append(bad.item)
    others = found.pop("other")
    assert others[0] is None and type(others[1]) is object
    return found


@pytest.mark.parametrize("make", [np.asarray, torch.tensor])
def test_spoilt_arrays(make, tmp_path):
    item = make([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    found = faults(item, tmp_path)
    assert [tuple(bad.shape) for bad in found["empty"]] == [(0, 2)]
    assert np.isnan(np.asarray(found["all_nan"][0])).all()
    assert [int(np.isnan(np.asarray(bad)).sum()) for bad in found["one_nan"]] == [1]
    assert [int(np.isinf(np.asarray(bad)).sum()) for bad in found["infinite"]] == [1]
    assert np.isfinite(np.asarray(item)).all()
    assert set(faults(make([1, 2]), tmp_path)) == {"empty"}


def test_spoilt_texts_numbers_and_pictures(tmp_path):
    assert faults("a lake", tmp_path) == {"empty": ["", " \n"]}
    assert faults("a lake " * 1000, tmp_path) == {"empty": ["", " \n"]}
    number = faults(3.5, tmp_path)
    assert math.isnan(number["all_nan"][0]) and number["infinite"] == [math.inf]
    assert [picture.size for picture in faults(Image.new("RGB", (4, 4)), tmp_path)["empty"]] == [(0, 0)]


def test_spoilt_sequences_and_mappings(tmp_path):
    place = faults((47.4, 8.5), tmp_path)
    assert place["empty"] == [()]
    assert [[math.isnan(x) for x in bad] for bad in place["all_nan"]] == [[True, True]]
    for fault in ("one_nan", "infinite"):
        assert [[math.isfinite(x) for x in bad] for bad in place[fault]] == [[False, True], [True, False]]
    tags = faults({"forest": 3, "road": 1}, tmp_path)
    assert tags["empty"] == [{}] and all(bad.keys() == {"forest", "road"} for bad in tags["all_nan"] + tags["one_nan"])
    sound = faults((np.ones(5, "f4"), 16_000), tmp_path)
    assert [len(bad) for bad in sound["empty"]] == [0, 2] and len(sound["empty"][1][0]) == 0
    assert math.isnan(sound["one_nan"][1][1])
    named = faults(NamedPlace(1.0, 2.0), tmp_path)
    assert all(isinstance(bad, NamedPlace) for bad in named["all_nan"] + named["one_nan"])


class NamedPlace(NamedTuple):
    lat: float
    lon: float


@pytest.mark.parametrize("kind", [Path, str])
def test_spoilt_files(kind, tmp_path):
    good = tmp_path / "good.wav"
    good.write_bytes(b"RIFF")
    absent, empty, garbage = faults(kind(good), tmp_path)["damaged"]
    assert all(isinstance(bad, kind) and str(bad).endswith(".wav") for bad in (absent, empty, garbage))
    assert not Path(absent).exists() and not Path(empty).read_bytes() and len(Path(garbage).read_bytes()) == 512
    assert good.read_bytes() == b"RIFF"


def compute_far(function, module=None, size=(3, 5, 8)):
    """The result on the CPU, and that of the made-up device."""
    x = torch.randn(size)
    with torch.no_grad():
        near = function(x)
        if module is not None:
            move(module)
        with far():
            return near, function(FarTensor(x))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x + torch.arange(8.0, device=x.device)) * torch.tensor(2.0),
        lambda x: x * torch.tensor([1.0] * 8, device=x.device) + x.new_ones(8),
        lambda x: torch.from_numpy(x.cpu().numpy() * 2).to(x.device),
        lambda x: torch.cat(x.split([1, int(x.new_full((), 2))])),
        lambda x: x[torch.tensor([2, 0])].mul_(2),
        lambda x: torch.stack([x[0, : n + 1].mean(0) for n in x.new_tensor([0, 1, 2]).int().tolist()]),
        lambda x: torch.fft.rfft(x).abs().float(),
    ],
)
def test_far_device_computes_what_a_cpu_does(function):
    near, there = compute_far(function)
    assert there.device.type != "cpu"
    assert torch.equal(there.near, near)


@pytest.mark.parametrize(
    "module",
    [
        torch.nn.GRU(8, 8, batch_first=True),
        torch.nn.MultiheadAttention(8, 2, batch_first=True),
        torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0),
        torch.nn.Sequential(torch.nn.Conv1d(5, 4, 3, padding=1), torch.nn.BatchNorm1d(4), torch.nn.Flatten()),
    ],
    ids=lambda module: type(module).__name__,
)
def test_far_device_knows_modules(module):
    module.eval()

    def call(x):
        out = module(x, x, x) if isinstance(module, torch.nn.MultiheadAttention) else module(x)
        return out[0] if isinstance(out, tuple) else out

    near, there = compute_far(call, module)
    assert there.device.type != "cpu"
    assert torch.allclose(there.near, near, atol=1e-5)


def test_far_device_knows_packed_sequences():
    network = torch.nn.LSTM(8, 8, batch_first=True)

    def call(x):
        packed = pack_padded_sequence(x, torch.tensor([2, 5, 3]), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(network(packed)[0], batch_first=True)[0]

    near, there = compute_far(call, network)
    assert torch.allclose(there.near, near, atol=1e-5)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + torch.arange(8.0),
        lambda x: torch.cat([x, torch.zeros(3, 5, 1)], dim=2),
        lambda x: x @ torch.ones(8, 8),
        lambda x: x.numpy(),
        np.asarray,
    ],
)
def test_far_device_tells_what_was_left_on_the_cpu(function):
    with pytest.raises(DeviceMix), far():
        function(FarTensor(torch.randn(3, 5, 8)))


def test_result_and_errors_come_back_from_a_fresh_process(monkeypatch):
    monkeypatch.setenv("GEOBIND_PLUGINS", "")
    plugins = Plugins()
    assert call_elsewhere(plugins, abs, -3) == 3
    with pytest.raises(CheckFailed, match="in a fresh process: ValueError"):
        call_elsewhere(plugins, int, "three")
    with pytest.raises(CheckFailed, match="ended with status 7"):
        call_elsewhere(plugins, sys.exit, 7)
    with pytest.raises(geobind.PluginError, match="no_such_module"):
        call_elsewhere(plugins, load_object, "no_such_module:build")


def test_listing_the_checks_imports_no_torch():
    modules = ", ".join(f"geobind.authoring.checks.{name}" for name in ("of_encoder", "of_encoder_in_use"))
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

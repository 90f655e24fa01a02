"""The same command under torchrun: two processes end with the space of one; weights may be sharded; nothing hangs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import geobind


def losses(folder: Path, stage: str) -> list[float]:
    (run,) = (folder / "runs").iterdir()
    return [json.loads(line)["loss"] for line in (run / stage / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Batches of 33 share unevenly, one item cannot be read, no dropout and no batch norm that learns."""
    import yaml

    values = {
        "space": {"dim": 8},
        "anchor": {"modality": "toy_a", "encoder": {"type": "toy"}},
        "defaults": {
            "dataset": {"type": "toy", "bad": 3},
            "head": {"type": "mlp", "hidden": 16},
            "optim": {"epochs": 3, "batch_size": 33, "lr": 0.01, "precision": "fp32"},
        },
        "stages": [
            {"name": "b", "modality": "toy_b", "train": "heads", "encoder": {"type": "toy"}},
            {"name": "c", "modality": "toy_c", "train": "modality", "encoder": {"type": "toy", "noise": 0.1}},
        ],
    }
    path = tmp_path_factory.mktemp("recipe") / "toy.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def runs(recipe, torchrun, tmp_path_factory):
    """One process, two, and two with sharded weights."""
    folder = tmp_path_factory.mktemp("torchrun")
    found = {
        "one": torchrun(1, folder / "one", recipe),
        "two": torchrun(2, folder / "two", recipe),
        "sharded": torchrun(2, folder / "sharded", recipe, "--set", "stages.c.optim.parallel=fsdp"),
    }
    for name, done in found.items():
        assert done.returncode == 0, f"{name}: {done.stderr[-3000:]}"
    return folder, found


def test_two_processes_end_where_one_does(runs):
    folder, _ = runs
    one, two = (geobind.load(folder / name / "space") for name in ("one", "two"))
    for modality in ("toy_a", "toy_b"):
        for wanted, found in zip(one.tower(modality).parameters(), two.tower(modality).parameters(), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(losses(folder / "two", "b"), losses(folder / "one", "b"), rtol=1e-5)


def test_sharded_weights_end_where_whole_ones_do(runs):
    folder, _ = runs
    whole, sharded = (geobind.load(folder / name / "space") for name in ("two", "sharded"))
    assert whole.tower("toy_c").state_dict().keys() == sharded.tower("toy_c").state_dict().keys()
    np.testing.assert_allclose(losses(folder / "sharded", "c"), losses(folder / "two", "c"), rtol=1e-4)


def test_the_first_process_alone_speaks_and_writes(runs):
    folder, found = runs
    assert found["two"].stdout.count("bound b, c in") == 1
    assert (
        found["two"].stderr.count("left out: row 3 is bad") == found["one"].stderr.count("left out: row 3 is bad") >= 1
    )
    assert len(list((folder / "two" / "runs").iterdir())) == 1
    assert "NCCL" not in found["two"].stderr and "Traceback" not in found["two"].stderr

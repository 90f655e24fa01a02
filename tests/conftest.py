"""Fixtures of the core's tests: a small plugin, a recipe for it, and the shared data when it is there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from geobind.plugins import get_plugins

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
TOY = Path(__file__).with_name("toy_modality.py")


@pytest.fixture(scope="session", autouse=True)
def toy_plugin():
    if "toy_modality" not in sys.modules:
        get_plugins().load_file(TOY)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Features of tests go to a folder of their own, and none of the user's are found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOBIND_CACHE", str(tmp_path_factory.mktemp("features")))
        yield


@pytest.fixture
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the shared data folder is not beside this checkout")
    return SHARED


@pytest.fixture
def toy_recipe() -> dict:
    return {
        "space": {"dim": 8},
        "anchor": {"modality": "toy_a", "encoder": {"type": "toy"}},
        "defaults": {
            "dataset": {"type": "toy"},
            "head": {"type": "mlp", "hidden": 16, "dropout": 0.1},
            "optim": {"epochs": 3, "batch_size": 32, "lr": 0.01, "precision": "fp32"},
        },
        "stages": [
            {"name": "b", "modality": "toy_b", "train": "heads", "encoder": {"type": "toy"}},
            {"name": "c", "modality": "toy_c", "train": "modality", "encoder": {"type": "toy", "noise": 0.1}},
        ],
    }


@pytest.fixture
def write_recipe(tmp_path):
    def write(values: dict, name: str = "toy") -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    return write

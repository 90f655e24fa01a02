"""Plugins of every kind as they are written: they install, are found, and pass their own tests.

The rest of the road, with a whole modality, is the tutorial "Bind your own modality", whose commands are run as they
stand there. Everything runs in processes of its own, out of a virtual environment that finds this one's packages: what
is installed for these tests is seen by nobody else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from sysconfig import get_path

import pytest

KINDS = {"thermal": "modality", "tinynet": "encoder", "atlas": "dataset", "margin": "loss"}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def road(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("road")


@pytest.fixture(scope="module")
def run(road, own_cache) -> Run:
    """Run ``python -m MODULE …`` of the new environment in the folder of the road; it has to succeed."""
    venv.create(road / "env")
    python = road / "env/bin/python"
    site = next((road / "env").glob("lib/python*/site-packages"))
    # addsitedir, unlike a line with the path alone, also heeds the editable installs over there.
    (site / "parent.pth").write_text(f"import site; site.addsitedir({get_path('purelib')!r})\n")

    def run(module: str, *arguments: str | Path, cwd: Path = road) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [python, "-m", module, *arguments],
            cwd=cwd,
            env={**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def installed(road, run) -> list[str]:
    """One plugin of each kind, written and installed; their names."""
    for name, kind in KINDS.items():
        run("geobind", "plugins", "new", name, "--from", kind)
    folders = [str(road / f"geobind-{name}") for name in KINDS]
    # The environment has no pip of its own, which would take seconds to make; hatchling is that of this one.
    pip = [sys.executable, "-m", "pip", "--python", road / "env/bin/python", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--no-index", *folders], check=True, timeout=120)
    return list(KINDS)


def test_every_kind_is_found_with_what_it_brings(run, installed):
    records = {each["name"]: each for each in json.loads(run("geobind", "plugins", "list", "--json").stdout)}
    assert {name: records[name]["provides"] for name in installed} == {
        "thermal": ["modality thermal", "encoder thermal/thermal_cnn", "dataset thermal", "recipe thermal"],
        "tinynet": ["encoder satellite/tinynet"],
        "atlas": ["dataset atlas"],
        "margin": ["loss margin"],
    }


def test_plugins_check_passes(run, installed):
    shown = run("geobind", "plugins", "check", *installed, "--only", "specs_are_values").stdout
    assert "0 failed, 0 skipped" in shown


def test_an_encoder_a_dataset_and_a_loss_pass_their_own_tests(road, run, installed):
    of_parts = [road / f"geobind-{name}/tests" for name in installed if name != "thermal"]
    # In one process, which spares each of them the import of torch.
    shown = run("pytest", "--import-mode=importlib", "-W", "error", *of_parts).stdout
    assert " passed" in shown and "skipped" not in shown

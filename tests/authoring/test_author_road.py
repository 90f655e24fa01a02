"""The road of a plugin's author, as a stranger walks it: write, install, test, check, bind, evaluate.

Everything runs in processes of its own, out of a virtual environment that finds this one's packages: what is installed
for these tests is seen by nobody else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from sysconfig import get_path

import pytest

KINDS = {"thermal": "modality", "tinynet": "encoder", "atlas": "dataset", "margin": "loss"}
SMALL = ("defaults.dataset.n=100", "defaults.optim.epochs=1", "anchor.encoder.image_size=32")
"""What makes the thermal recipe quick."""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def road(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("road")


@pytest.fixture(scope="module")
def run(road, own_cache) -> Run:
    """Run ``python -m MODULE …`` of the new environment in the folder of the road; it has to succeed."""
    venv.create(road / "env")
    python = road / "env/bin/python"
    site = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
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


@pytest.fixture(scope="module")
def steps(road, run, installed):
    """The long steps, two at a time: binding, and the plugins' own tests, among them all that geobind asks."""

    def bind() -> None:
        sets = [part for value in SMALL for part in ("--set", value)]
        run("geobind", "bind", "--modality", "thermal", "--with-required", *sets)
        run("geobind", "evaluate", "--all-pairs")

    of_parts = [road / f"geobind-{name}/tests" for name in installed if name != "thermal"]
    with ThreadPoolExecutor(2) as pool:
        yield {
            "thermal": pool.submit(run, "pytest", cwd=road / "geobind-thermal"),
            # In one process, which spares each of them the import of torch.
            "parts": pool.submit(run, "pytest", "--import-mode=importlib", "-W", "error", *of_parts),
            "bind": pool.submit(bind),
        }


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


def test_a_whole_modality_passes_its_own_tests(steps: dict[str, Future]):
    shown = steps["thermal"].result().stdout
    assert " passed" in shown and "skipped" not in shown


def test_an_encoder_a_dataset_and_a_loss_pass_theirs(steps: dict[str, Future]):
    shown = steps["parts"].result().stdout
    assert " passed" in shown and "skipped" not in shown


def test_the_modality_is_bound_and_evaluated_against_all_others(road, steps: dict[str, Future]):
    steps["bind"].result()
    found = json.loads((road / "reports/thermal/results.json").read_text())["all_pairs"]
    pairs = {(each["protocol"]["query"], each["protocol"]["gallery"]): each["protocol"] for each in found["results"]}
    assert pairs["thermal", "satellite"]["relation"] == pairs["satellite", "thermal"]["relation"] == "trained"
    assert pairs["thermal", "text"]["relation"] == "emergent"
    assert pairs["thermal", "satellite"]["origin"] == "synthesised from the location"

"""Trackers: found by name, told the numbers, dropped when they fail; TensorBoard's and W&B's files read back."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest

import geobind
from geobind.bind.runs.run import Run
from geobind.errors import PluginError
from geobind.modality import TrackerSpec
from geobind.plugins import Plugins, get_plugins

RESOLVED = {"space": {"dim": 8}, "stages": [{"name": "a"}]}
PLUGIN = """
import geobind
told = []
class Notes:
    def __init__(self, folder, settings): told.append(("start", folder, settings))
    def log(self, stage, step, values): told.append((stage, step, values))
    def close(self, status): told.append(("close", status))
class Broken(Notes):
    def log(self, stage, step, values): raise ConnectionError("the network is down")
def refuse(folder, settings): raise ValueError("no key")
@geobind.hookimpl
def geobind_trackers():
    return [
        geobind.TrackerSpec(name="notes", build="made_up_tracker:Notes"),
        geobind.TrackerSpec(name="broken", build="made_up_tracker:Broken"),
        geobind.TrackerSpec(name="refusing", build="made_up_tracker:refuse"),
    ]
"""


@pytest.fixture
def told(tmp_path, monkeypatch):
    """A plugin with trackers, in place of those that are installed; what it was told."""
    path = tmp_path / "made_up_tracker.py"
    path.write_text(PLUGIN)
    plugins = Plugins()
    plugins.load_installed()
    plugins.load_file(path)
    monkeypatch.setattr("geobind.bind.runs.run.get_plugins", lambda: plugins)
    return sys.modules["made_up_tracker"].told


@pytest.fixture
def run(tmp_path):
    return Run.start(tmp_path / "runs", recipe="toy", resolved=RESOLVED, space=tmp_path, stages=["a"])


def test_the_core_brings_two_and_an_unknown_name_has_a_neighbour():
    names = [spec.name for spec in get_plugins().specs(TrackerSpec)]
    assert names[:2] == ["tensorboard", "wandb"]
    assert get_plugins().tracker("wandb").build == "geobind.bind.runs.trackers:wandb"
    with pytest.raises(PluginError, match=r"unknown tracker 'tensorbord'\. Did you mean 'tensorboard'\?"):
        get_plugins().tracker("tensorbord")
    record = next(record for record in get_plugins().records if record.name == "core")
    assert "tracker wandb" in record.as_dict()["provides"] and "geobind_trackers" in record.hooks
    assert geobind.TrackerSpec is TrackerSpec and geobind.Tracker.__module__ == "geobind.bind.runs.trackers"


def test_a_tracker_is_told_the_numbers_and_the_end(told, run):
    run.track(["notes", "notes"])
    assert json.loads((run.path / "run.json").read_text())["trackers"] == ["notes"]
    run.log("a", {"epoch": 1, "step": 4, "loss": 0.5, "val_loss": math.inf, "note": "text", "flag": True, "none": None})
    run.note(status="finished")
    run.log("a", {"epoch": 2, "step": 8, "loss": 0.4})
    values = {"epoch": 1.0, "loss": 0.5, "val_loss": math.inf}
    assert told == [("start", run.path, RESOLVED), ("a", 4, values), ("close", "finished")]
    lines = (run.path / "a" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]


def test_a_failing_tracker_is_told_once_and_dropped(told, run, capsys):
    run.track(["broken", "notes"])
    for epoch in range(1, 4):
        run.log("a", {"epoch": epoch, "step": epoch, "loss": 1.0})
    run.note(status="interrupted")
    assert capsys.readouterr().err.count("tracker 'broken' failed and is left out from here: ConnectionError") == 1
    assert [step for stage, step, *_ in told if stage == "a"] == [1, 2, 3] and told[-1] == ("close", "interrupted")
    assert len((run.path / "a" / "metrics.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (["notes", "refusing"], "tracker 'refusing' cannot be started: ValueError: no key"),
        (["notes", "note"], "unknown tracker 'note'. Did you mean 'notes'"),
    ],
)
def test_one_that_cannot_start_ends_the_run_before_it_begins(told, run, names, match):
    with pytest.raises(PluginError, match=match):
        run.track(names)
    assert json.loads((run.path / "run.json").read_text())["status"] == "failed"
    assert [event[0] for event in told] in (["start", "close"], [])


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb")])
def test_an_absent_package_is_told_with_the_command(run, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PluginError, match=rf"{name} cannot be imported.*pip install 'geobind\[{name}\]'"):
        run.track([name])


def test_tensorboard_reads_back_what_was_logged_also_after_going_back(tmp_path):
    """A run is killed after epoch 3 and goes on from a checkpoint after epoch 1. In a process of its own."""
    script = f"""
from pathlib import Path
from geobind.bind.runs.run import Run
asked = dict(recipe="toy", resolved={RESOLVED!r}, space=Path("space"), stages=["a", "b"])
run = Run.start(Path("runs"), **asked)
run.track(["tensorboard"])
for epoch in (1, 2, 3):
    run.log("a", {{"epoch": epoch, "step": 12 * epoch, "loss": 1 / epoch, "val_loss": float("nan")}})
run = Run.unfinished(Path("runs"), **asked)
run.track(["tensorboard"])
run.rewind("a", 12)
for epoch in (2, 3):
    run.log("a", {{"epoch": epoch, "step": 12 * epoch, "loss": 10 / epoch}})
run.log("b", {{"epoch": 1, "step": 5, "loss": 7.0}})
run.note(status="finished")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
import json
events = {{stage: EventAccumulator(str(run.path / "tensorboard" / stage)).Reload() for stage in "ab"}}
print(json.dumps({{s: [(e.step, round(e.value, 4)) for e in events[s].Scalars("loss")] for s in "ab"}}))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"a": [[12, 1.0], [24, 5.0], [36, 3.3333]], "b": [[5, 7.0]]}


def test_wandb_offline_keeps_its_run_over_a_resume(tmp_path):
    """In a process of its own, without a network; the id is the same in both sessions."""
    script = f"""
import sys
from pathlib import Path
from geobind.bind.runs.run import Run
asked = dict(recipe="toy", resolved={RESOLVED!r}, space=Path("space"), stages=["a"])
run = Run.unfinished(Path("runs"), **asked) if sys.argv[1] == "2" else Run.start(Path("runs"), **asked)
run.track(["wandb"])
run.log("a", {{"epoch": 1, "step": 12, "loss": 0.625}})
run.note(status="interrupted")
"""
    environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_PROJECT": "made-up"}
    for session in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script, session], cwd=tmp_path, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    written = list(run.glob("wandb/offline-run-*/run-*.wandb"))
    name = f"run-{(run / 'wandb-id.txt').read_text()}.wandb"
    assert {file.name for file in written} == {name}
    content = written[0].read_bytes()
    assert all(word in content for word in (b"made-up", run.name.encode(), b"a/loss", b"0.625", b"a/step"))
    assert not (tmp_path / "wandb").exists()

"""The run folder: what a killed process leaves, what is kept, what is refused, and who may write."""

from __future__ import annotations

import json
import math
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geobind.bind.runs.process import alive, this_process
from geobind.bind.runs.run import Run
from geobind.errors import GeobindError, RecipeError, SpaceError
from geobind.files import write_atomic

ROOT = Path(__file__).resolve().parents[2]
ASKED = {"recipe": "toy", "resolved": {"lr": 0.1}, "space": Path("space"), "stages": ["a", "b"]}


@pytest.fixture
def run(tmp_path):
    return Run.start(tmp_path, **ASKED)


def lines(run, stage="a"):
    return [json.loads(line) for line in (run.path / stage / "metrics.jsonl").read_text().splitlines()]


def files(run, stage="a"):
    return sorted(path.name for path in (run.path / stage).iterdir())


def in_a_process(code, cwd):
    """Run code that starts a run and is then killed."""
    script = (
        "import os\nfrom pathlib import Path\nfrom geobind.bind.runs.run import Run\n"
        "run = Run.start(Path('.'), recipe='toy', resolved={'lr': 0.1}, space=Path('space'), stages=['a', 'b'])\n"
        f"{code}\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    (path,) = cwd.glob("*-toy")
    return path


# -- metrics ---------------------------------------------------------------------------------------


def test_what_is_not_finite_stays_json(run):
    run.log("a", {"epoch": 1, "step": 4, "loss": math.nan, "val_loss": math.inf, "lr": 0.1})
    run.stage_done("a", {"loss": -math.inf, "parts": [math.nan, 1.0]})
    for text in ((run.path / "a/metrics.jsonl").read_text(), (run.path / "run.json").read_text()):
        json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    (line,) = lines(run)
    assert line["loss"] is None and line["val_loss"] is None and line["lr"] == 0.1
    assert json.loads((run.path / "run.json").read_text())["metrics"]["a"] == {"loss": None, "parts": [None, 1.0]}


@given(epochs=st.integers(0, 6), step=st.integers(0, 80), cut=st.integers(0, 40))
def test_rewinding_keeps_the_lines_up_to_a_step_and_each_epoch_once(tmp_path_factory, epochs, step, cut):
    """Kill the writer anywhere in its last line, go back to a checkpoint, and take the epochs again."""
    run = Run(tmp_path_factory.mktemp("run"), {})
    for epoch in range(epochs):
        run.log("a", {"epoch": epoch + 1, "step": 12 * (epoch + 1), "loss": 1.0})
    file = run.path / "a/metrics.jsonl"
    whole = file.read_bytes().splitlines(keepends=True) if epochs else []
    if epochs:
        file.write_bytes(file.read_bytes()[: -cut or None])
    run.rewind("a", step)
    complete = whole if cut <= 1 else whole[:-1]  # without its newline a line is still whole
    kept = min(step // 12, len(complete))
    assert (file.read_bytes() if epochs else b"") == b"".join(complete[:kept])
    for epoch in range(kept, 6):
        run.log("a", {"epoch": epoch + 1, "step": 12 * (epoch + 1)})
    assert [line["epoch"] for line in lines(run)] == [1, 2, 3, 4, 5, 6]


# -- checkpoints -----------------------------------------------------------------------------------


def test_the_newest_checkpoints_are_kept(run):
    assert run.checkpoint("a") is None
    for step in (3, 20, 100, 1_000_000):
        run.save_checkpoint("a", step, {"step": step, "x": torch.arange(3)}, keep=2)
    assert files(run) == ["checkpoint-000000100.pt", "checkpoint-001000000.pt"]
    assert run.checkpoint("a")["step"] == 1_000_000
    assert torch.equal(run.checkpoint("a")["x"], torch.arange(3))
    run.stage_done("a", {})
    assert files(run) == [] and run.state["done"] == ["a"]


def half(content):
    return content[: len(content) // 2]


@pytest.mark.parametrize("damage", [lambda content: b"", half, lambda content: b"x" * 999, lambda content: content[9:]])
def test_an_unreadable_checkpoint_is_told_and_the_one_before_is_taken(run, capsys, damage):
    for step in (10, 20):
        run.save_checkpoint("a", step, {"step": step, "x": torch.zeros(500)}, keep=2)
    newest = run.path / "a/checkpoint-000000020.pt"
    newest.write_bytes(damage(newest.read_bytes()))
    assert run.checkpoint("a")["step"] == 10
    assert str(newest) in capsys.readouterr().err
    run.save_checkpoint("a", 15, {"step": 15}, keep=1)  # the run goes on from 10, and outlives the damaged one
    assert files(run) == ["checkpoint-000000015.pt"]
    (run.path / "a/checkpoint-000000015.pt").write_bytes(b"")
    assert run.checkpoint("a") is None


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(run, monkeypatch):
    run.save_checkpoint("a", 10, {"step": 10}, keep=1)

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(GeobindError, match=r"checkpoint-000000020\.pt.*No space left"):
        patch.setattr("os.fsync", full)
        run.save_checkpoint("a", 20, {"step": 20}, keep=1)
    assert run.checkpoint("a")["step"] == 10 and files(run) == ["checkpoint-000000010.pt"]


def test_saving_does_not_copy_the_state(tmp_path):
    """100 MB are written with far less than 100 MB of further memory."""
    script = (
        "import resource, torch\nfrom pathlib import Path\nfrom geobind.bind.runs.run import Run\n"
        "run = Run(Path('.'), {})\nstate = {'x': torch.ones(25_000_000)}\n"
        "run.save_checkpoint('warm', 1, {'x': torch.ones(10)}, keep=1)\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = peak()\nrun.save_checkpoint('a', 1, state, keep=1)\nprint(peak() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 30
    assert (tmp_path / "a/checkpoint-000000001.pt").stat().st_size > 100_000_000


# -- going on --------------------------------------------------------------------------------------


def test_a_killed_run_is_gone_on_with_and_its_litter_removed(tmp_path):
    path = in_a_process(
        "from geobind.files import atomic_file\n"
        "run.log('a', {'epoch': 1, 'step': 4})\nrun.save_checkpoint('a', 4, {'step': 4}, keep=1)\n"
        "run.stage_done('a', {})\nrun.save_checkpoint('a', 4, {'step': 4}, keep=1)\n"  # killed before it was removed
        "run.save_checkpoint('b', 7, {'step': 7}, keep=1)\n"
        "parts = [atomic_file(run.path / name) for name in ('run.json', 'b/checkpoint-000000009.pt')]\n"
        "for part in parts: part.__enter__().write(b'{')\n",
        tmp_path,
    )
    assert len(list(path.rglob(".*.part"))) == 2
    run = Run.unfinished(tmp_path, **{**ASKED, "space": tmp_path / "space"})
    assert run.path == path and run.state["done"] == ["a"] and not list(path.rglob(".*.part"))
    assert files(run) == ["metrics.jsonl"] and run.checkpoint("b") == {"step": 7}
    first, second = run.state["sessions"]
    assert first["pid"] != os.getpid() == second["pid"] and "ended" in first and "ended" not in second
    run.note(status="finished")
    assert "ended" in json.loads((path / "run.json").read_text())["sessions"][1]
    with pytest.raises(SpaceError, match="no unfinished run"):
        Run.unfinished(tmp_path, **ASKED)


def test_broken_folders_of_other_runs_are_passed_over(tmp_path, run, capsys):
    for name, content in {"9-torn": "{", "9-list": "[]", "9-binary": b"\xff\xfe", "9-old": '{"recipe": "toy"}'}.items():
        write_atomic(tmp_path / name / "run.json", content)
    (tmp_path / "9-empty").mkdir()
    (tmp_path / "9-folder" / "run.json").mkdir(parents=True)
    assert Run.unfinished(tmp_path, **ASKED).path == run.path
    assert capsys.readouterr().err.count("cannot be read; it is passed over") == 5


@pytest.mark.parametrize("content", [None, "a: [", "", b"\xff"])
def test_a_run_without_its_recipe_is_refused(tmp_path, run, content):
    (run.path / "recipe.yaml").unlink()
    if content is not None:
        write_atomic(run.path / "recipe.yaml", content)
    with pytest.raises(SpaceError, match=r"recipe of the unfinished run is missing.*recipe\.yaml"):
        Run.unfinished(tmp_path, **ASKED)


def test_another_recipe_is_refused_and_other_stages_are_another_run(tmp_path, run):
    with pytest.raises(RecipeError, match="not the one that the unfinished run was started with"):
        Run.unfinished(tmp_path, **{**ASKED, "resolved": {"lr": 0.2}})
    with pytest.raises(SpaceError, match="no unfinished run"):
        Run.unfinished(tmp_path, **{**ASKED, "stages": ["a"]})


def test_a_run_that_still_goes_on_is_not_taken_over(tmp_path, run):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        born = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19]
        run.state["sessions"][-1] |= {"pid": other.pid, "born": born}
        run.note()
        with pytest.raises(SpaceError, match=f"still going on, as process {other.pid}"):
            Run.unfinished(tmp_path, **ASKED)
        other.communicate(b"\n")
    assert Run.unfinished(tmp_path, **ASKED).state["sessions"][-1]["pid"] == os.getpid()


def test_which_processes_live():
    me = this_process()
    assert alive(me) is True
    assert alive({**me, "born": "1"}) is False  # another one with its number
    assert alive({**me, "host": f"not-{socket.gethostname()}"}) is None
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    try:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        born = Path(f"/proc/{zombie.pid}/stat").read_text().rpartition(")")[2].split()[19]
        assert alive({**me, "pid": zombie.pid, "born": born}) is False
    finally:
        zombie.wait()
    assert alive({**me, "pid": zombie.pid}) is False


# -- several processes -----------------------------------------------------------------------------


def test_two_runs_of_one_second_have_two_folders(tmp_path):
    paths = {Run.start(tmp_path, **ASKED).path.name for _ in range(5)}
    assert len(paths) == 5 and all(re.fullmatch(r"\d{8}-\d{6}-toy(-\d)?", name) for name in paths)


def test_only_the_writer_writes_but_all_can_read(run):
    run.log("a", {"epoch": 1, "step": 4})
    run.save_checkpoint("a", 4, {"step": 4}, keep=1)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    other = Run.open(run.path, writes=False)
    assert other.state == run.state and other.checkpoint("a") == {"step": 4}
    other.log("a", {"epoch": 2, "step": 8})
    other.rewind("a", 0)
    other.save_checkpoint("a", 8, {"step": 8}, keep=1)
    other.track(["tensorboard"])
    other.note(precision={"a": "fp32"})
    other.stage_done("a", {"loss": 1.0})
    other.note(status="finished")
    assert other.state["precision"] == {"a": "fp32"} and other.state["done"] == ["a"]
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_the_other_processes_join_a_resumed_run(tmp_path, run):
    """Their first process may already have marked it as its own, and lives."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as first:
        born = Path(f"/proc/{first.pid}/stat").read_text().rpartition(")")[2].split()[19]
        run.state["sessions"][-1] |= {"pid": first.pid, "born": born}
        run.note()
        written = (run.path / "run.json").read_bytes()
        other = Run.unfinished(tmp_path, **ASKED, writes=False)
        assert other.path == run.path and (run.path / "run.json").read_bytes() == written
        first.communicate(b"\n")


def test_what_was_left_out_is_listed_once(run):
    run.list_skipped(["row 2: no file", "row 5:\nno file"])
    assert (run.path / "skipped.txt").read_text() == "row 2: no file\nrow 5: no file\n"
    for items in ([], ["x", "y"], ["y"], ["y", "z", "z"]):
        run.list_unreadable("a", items)
    assert (run.path / "a/unreadable.txt").read_text() == "x\ny\nz\n"
    Run.open(run.path).list_unreadable("a", ["w"])
    assert (run.path / "a/unreadable.txt").read_text() == "x\ny\nz\n"


def test_opening_what_is_no_run_is_told(tmp_path):
    with pytest.raises(GeobindError, match=r"the run in .*cannot be read.*geobind runs list"):
        Run.open(tmp_path, writes=False)

"""``geobind runs`` over run folders written by hand, as a user meets them; no command imports torch."""

from __future__ import annotations

import io
import json
import math
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geobind.bind.runs.curves import draw_comparison, draw_run
from geobind.bind.runs.history import ABSENT, LETTERS, PastRun, best_line, differences, find_run, past_runs, time_split
from geobind.cli import runs as app
from geobind.errors import GeobindError
from geobind.palette import SERIES, contrast

WITHOUT_TORCH = (
    "import sys; from geobind.cli import main; sys.argv = ['geobind', *sys.argv[1:]]\n"
    "code = 0\n"
    "try: main()\n"
    "except SystemExit as e: code = e.code\n"
    "assert 'torch' not in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    "sys.exit(code)\n"
)


def geobind(*args, cwd, code=0):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *map(str, args)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def line(epoch, *, val=None, **more):
    """One line of metrics, as the trainer writes it."""
    measured = {} if val is None else {"val_loss": val, "val_recall@1": 0.1, "val_recall@10": 0.05 * epoch}
    shares = {"time_data": 1.0, "time_forward": 2.0, "time_backward": 1.0}
    base = {"time": 1.7e9, "epoch": epoch, "step": 12 * epoch, "loss": 4 / epoch, "lr": 1e-3, "pairs_per_s": 4000.0}
    return {**base, "seconds": 4.0, **measured, **shares, **more}


def make(parent, name="20250101-120000-toy", *, metrics, status="finished", done=None, stages=None, **changes):
    """A run folder by hand: stage → lines of metrics."""
    path = parent / name
    stages = list(stages or metrics)
    session = {"host": socket.gethostname(), "pid": 1, "born": "?", "started": "2025-01-01T12:00:00+00:00"}
    state = {
        "recipe": "toy",
        "space": "/spaces/toy",
        "stages": stages,
        "done": stages if done is None else done,
        "status": status,
        "started": "2025-01-01T12:00:00+00:00",
        "geobind": "0.1.0",
        "machine": "a machine",
        "sessions": [{**session, "ended": "2025-01-01T13:01:00+00:00"}],
        **changes,
    }
    path.mkdir(parents=True)
    (path / "run.json").write_text(json.dumps(state))
    recipe = {"stages": [{"name": s, "optim": {"epochs": 5, "lr": 0.1}, "encoder": {"type": "toy"}} for s in stages]}
    (path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    for stage, lines in metrics.items():
        (path / stage).mkdir()
        (path / stage / "metrics.jsonl").write_text("".join(json.dumps(values) + "\n" for values in lines))
    return path


def recipe_of(path, **change):
    """Change every stage of a run's recipe."""
    values = yaml.safe_load((path / "recipe.yaml").read_text())
    for stage in values["stages"]:
        stage.update(change)
    (path / "recipe.yaml").write_text(yaml.safe_dump(values))


LEARNT = {
    "text": [line(e, val=v) for e, v in enumerate((3.0, 2.0, 2.5, math.inf), 1)],
    "sound": [line(1), line(2)],
}
LEARNT["text"][3]["val_loss"] = None  # what was not finite


# -- reading ---------------------------------------------------------------------------------------


def test_the_best_line_and_the_split_of_time():
    lines = LEARNT["text"]
    assert best_line(lines, "val_loss")["epoch"] == 2
    assert best_line(lines, "val_recall@10")["epoch"] == 4
    assert best_line(lines, "val_median_rank") is None and best_line([], "loss") is None
    assert best_line([line(1, val=1.0), line(2, val=1.0)], "val_loss")["epoch"] == 1
    assert time_split(lines) == {"data": 4.0, "forward": 8.0, "backward": 4.0}
    assert time_split([{"time": 3.0}]) == {}


def test_differences_are_spelt_like_set():
    a = {"space": {"dim": 8}, "stages": [{"name": "t", "lr": 1, "views": [1, 2]}, {"name": "u", "lr": 1}], "x": None}
    b = {"space": {"dim": 8}, "stages": [{"name": "t", "lr": 2, "views": [1]}], "x": False}
    assert differences([a, b]) == {
        "stages.t.lr": [1, 2],
        "stages.t.views": [[1, 2], [1]],
        "stages.u": [{"name": "u", "lr": 1}, ABSENT],
        "x": [None, False],
    }


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=2), inner),
    max_leaves=8,
)


@settings(max_examples=50)
@given(a=VALUES, b=VALUES)
def test_differences_are_empty_only_for_equals(a, b):
    assert differences([a, a]) == {}
    assert (differences([a, b]) == {}) == (a == b)


def test_runs_are_found_by_name_start_path_or_as_the_last(tmp_path, monkeypatch):
    for name in ("20250101-120000-toy", "20250101-120000-toy-2", "20250102-120000-toy"):
        make(tmp_path / "runs", name, metrics={})
    runs = tmp_path / "runs"
    assert [run.name for run in past_runs(runs)] == sorted((p.name for p in runs.iterdir()), reverse=True)
    assert find_run("last", runs).name == "20250102-120000-toy"
    assert find_run("20250102", runs).name == "20250102-120000-toy"
    assert find_run("20250101-120000-toy", runs).name == "20250101-120000-toy"  # though it starts another's name
    assert find_run(str(runs / "20250101-120000-toy-2"), Path("elsewhere")).name == "20250101-120000-toy-2"
    monkeypatch.chdir(runs / "20250102-120000-toy")
    assert find_run(".", Path("runs")).name == "20250102-120000-toy"
    with pytest.raises(GeobindError, match="is the start of 2 runs: 20250101-120000-toy-2, 20250101-120000-toy "):
        find_run("20250101", runs)
    with pytest.raises(GeobindError, match=r"no run '20250103-120000-toy'.*Did you mean '20250102-120000-toy'"):
        find_run("20250103-120000-toy", runs)
    with pytest.raises(GeobindError, match=r"no run 'last'.*Known: none"):
        find_run("last", tmp_path / "none")


def test_running_is_said_only_of_what_lives(tmp_path):
    from geobind.bind.runs.process import this_process

    def status(process, **changes):
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        session = {**process, "started": "2025-01-01T12:00:00+00:00"}
        return PastRun.read(make(path, metrics={}, status="running", sessions=[session], **changes)).status

    me = this_process()
    assert status(me) == "running"
    assert status({**me, "born": "1"}) == "killed"
    assert status({**me, "pid": 2**22 + 1}) == "killed"
    assert status({**me, "host": "elsewhere"}) == "running?"
    assert PastRun.read(make(tmp_path / "old", metrics={}, status="running", sessions=[])).status == "killed"
    (tmp_path / "old/20250101-120000-toy/run.json").write_text("{")
    assert PastRun.read(tmp_path / "old/20250101-120000-toy").status == "unreadable"


def test_time_is_that_of_all_sessions_up_to_the_last_sign_of_life(tmp_path):
    start = {"host": socket.gethostname(), "pid": 2**22 + 1, "born": "1", "started": "2025-01-01T12:00:00+00:00"}
    sessions = [{**start, "ended": "2025-01-01T12:10:00+00:00"}, {**start, "started": "2025-01-02T12:00:00+00:00"}]
    path = make(tmp_path, metrics=LEARNT, status="running", sessions=sessions)
    for file in path.rglob("*.json*"):
        os.utime(file, (0, 1735819200 - 5))  # 12:00 on the second day is 1735819200
    os.utime(path / "sound/metrics.jsonl", (0, 1735819200 + 30))
    (path / "curves.png").write_bytes(b"drawn later")
    assert PastRun.read(path).seconds == 630


# -- the commands ----------------------------------------------------------------------------------


def test_list(tmp_path):
    assert geobind("runs", "list", cwd=tmp_path).stdout == "no runs in runs\n"
    runs = tmp_path / "runs"
    make(runs, metrics=LEARNT)
    make(runs, "20250102-120000-toy", metrics={"text": LEARNT["text"]}, stages=["text", "b"], done=[], status="running")
    (runs / "20250103-torn").mkdir()
    (runs / "20250103-torn/run.json").write_text('{"recipe"')
    rows = json.loads(geobind("runs", "list", "--json", cwd=tmp_path).stdout)
    assert [(row["run"], row["status"]) for row in rows] == [
        ("20250103-torn", "unreadable"),
        ("20250102-120000-toy", "killed"),
        ("20250101-120000-toy", "finished"),
    ]
    assert rows[1]["stage"] == "text" and rows[1]["loss"] == 1.0 and rows[1]["best_val_loss"] == 2.0
    assert rows[2]["stage"] == "sound" and rows[2]["loss"] == 2.0 and rows[2]["best_val_loss"] is None
    table = geobind("runs", "list", "--runs", runs, cwd=tmp_path.parent).stdout
    assert re.search(r"20250101-120000-toy +toy +finished +2/2 +2025-01-01 12:00 +61 min 0 s +sound +2 +–", table)
    assert re.search(r"20250102-120000-toy +toy +killed +0/2 ", table)


def test_show(tmp_path):
    path = make(tmp_path / "runs", metrics=LEARNT, stages=["text", "sound", "[red]as-is"], done=["text"])
    recipe_of(path, validation={"metric": "recall@10"})
    (path / "skipped.txt").write_text("row 1\nrow 2\n")
    (path / "sound/unreadable.txt").write_text("x.ogg\n")
    out = geobind("runs", "show", cwd=tmp_path).stdout
    assert "2 rows skipped, listed in" in out and "took 61 min 0 s" in out and "a machine; geobind 0.1.0" in out
    assert re.search(r"^ +text +sound +\[red\]as-is", out, flags=re.MULTILINE)
    assert re.search(r"state +done +not done +not done", out)
    assert re.search(r"epochs +4 of 5 +2 of 5", out)
    assert re.search(r"best epoch +4 \(val_recall@10 0.2\)", out)
    assert re.search(r"last val_loss +– ", out) and re.search(r"last loss +1 +2", out)
    assert re.search(r"time forward +8 s \(50 %\) +4 s \(50 %\)", out)
    assert re.search(r"unreadable items +1", out)
    assert size((path / "curves.png").read_bytes()) > (600, 400)
    assert not list(tmp_path.rglob(".*.part"))


def test_show_without_metrics_or_with_a_recipe_that_is_gone(tmp_path):
    path = make(tmp_path / "runs", metrics={}, stages=["text"], done=[], status="failed")
    assert "not done" in geobind("runs", "show", path, cwd=tmp_path).stdout and not (path / "curves.png").exists()
    other = make(tmp_path / "runs", "20250102-120000-toy", metrics=LEARNT)
    (other / "recipe.yaml").unlink()
    with (other / "text/metrics.jsonl").open("a") as file:
        file.write('{"epoch": 5, "step"')
    out = geobind("runs", "show", "last", "--png", "drawn/here.png", cwd=tmp_path).stdout
    assert "4 of ?" in out and "2 (val_loss 2)" in out and (tmp_path / "drawn/here.png").is_file()


def test_compare(tmp_path):
    runs = tmp_path / "runs"
    make(runs, metrics=LEARNT)
    b = make(runs, "20250102-120000-toy", metrics={"text": [line(1, val=1.5)]}, status="interrupted")
    recipe_of(b, optim={"epochs": 5, "lr": 0.2}, encoder={"type": "[bold]other"})
    out = geobind("runs", "compare", "20250101", "last", "--png", "both.png", cwd=tmp_path).stdout
    assert re.search(r"A +runs/20250101-120000-toy: finished\nB +runs/20250102-120000-toy: interrupted", out)
    assert re.search(r"stages.text.optim.lr +0.1 +0.2", out) and "optim.epochs" not in out
    assert re.search(r"stages.text.encoder.type +toy +\[bold\]other", out)
    assert re.search(r"stages.sound +{…} +–", out)
    assert re.search(r"text +last loss +1 +4", out) and re.search(r"sound +last loss +2 +–", out)
    assert re.search(r"text +best val_loss +2 \(epoch 2\) +1.5 \(epoch 1\)", out)
    assert size((tmp_path / "both.png").read_bytes()) > (600, 400)
    out = geobind("runs", "compare", "20250101", "20250101", "--metric", "val_recall@10", cwd=tmp_path).stdout
    assert "the recipes are the same" in out and re.search(r"best val_recall@10 +0.2 \(epoch 4\)", out)


@pytest.mark.parametrize(
    ("command", "match"),
    [
        (lambda runs: app.show("last", runs / "none"), "there is no run 'last'"),
        (lambda runs: app.show("2025", runs), "is the start of 2 runs"),
        (lambda runs: app.show("0-torn", runs), "the run in '.*0-torn' cannot be read"),
        (
            lambda runs: app.show("20250101", runs, runs / "0-torn/run.json/x.png"),
            "the curves cannot be written.*--png",
        ),
        (lambda runs: app.compare(["20250101"], runs), "1 run.s. cannot be compared.*Name 2 to 6"),
        (lambda runs: app.compare(["last", "20250101"], runs, "val_los"), "no run has metric.*Did you mean 'val_loss'"),
    ],
)
def test_mistakes(tmp_path, command, match):
    for day in (1, 2):
        make(tmp_path, f"2025010{day}-120000-toy", metrics=LEARNT)
    (tmp_path / "0-torn").mkdir()
    (tmp_path / "0-torn/run.json").write_text("[]")
    with pytest.raises(GeobindError, match=match):
        command(tmp_path)


# -- pictures --------------------------------------------------------------------------------------


def size(png):
    return Image.open(io.BytesIO(png)).size


def colours(png):
    return {colour for _, colour in Image.open(io.BytesIO(png)).convert("RGB").getcolors(2**24)}


def test_a_picture_has_a_row_per_stage_and_only_columns_that_were_measured(tmp_path):
    both = PastRun.read(make(tmp_path, metrics=LEARNT))
    one = PastRun.read(make(tmp_path, "one", metrics={"text": LEARNT["text"]}))
    plain = PastRun.read(make(tmp_path, "plain", metrics={"sound": LEARNT["sound"]}))
    assert size(draw_run(both))[0] == size(draw_run(one))[0] > size(draw_run(plain))[0]
    assert size(draw_run(both))[1] > size(draw_run(one))[1] == size(draw_run(plain))[1]
    assert {SERIES[0], SERIES[1]} <= colours(draw_run(one))


def test_runs_that_are_compared_have_a_hue_each(tmp_path):
    made = [make(tmp_path, f"run{i}", metrics={"text": [line(1 + i), line(2 + i)]}) for i in range(len(LETTERS))]
    assert set(SERIES) <= colours(draw_comparison([PastRun.read(path) for path in made], "loss"))


@pytest.mark.parametrize(
    "lines",
    [
        [line(1, val=1.0)],
        [line(e, val=None if e % 3 else 1.0) for e in range(1, 60)],
        [{"epoch": 1, "step": 1, "loss": None}, {"epoch": 2, "step": 2, "loss": None}],
        [line(1, val=1.0, **{"val_recall@1": 0.0, "val_recall@10": 0.0, "time_data": 0.0, "time_forward": 0.0})],
        [{"epoch": 3, "step": 1, "loss": 1e-30, "lr": 0.0, "val_median_rank": 1e9, "val_recall@5": None}],
    ],
)
def test_any_metrics_can_be_drawn(tmp_path, lines):
    """Also with a name that looks like a formula; warnings are errors here."""
    run = PastRun.read(make(tmp_path, "a $run$", metrics={"$x_y$": lines}))
    assert size(draw_run(run))[1] == size(draw_comparison([run, run], "val_loss"))[1] - 24  # one more line of the key


def test_hues_of_lines_can_be_told_apart():
    """With one kind of cone missing too: matrices of Machado et al. 2009 at full severity, distances in OKLab."""
    import numpy as np

    missing = [
        np.eye(3),
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ]
    lms = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566]]
    lms.append([0.0883024619, 0.2817188376, 0.6299787005])
    lab = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099]]
    lab.append([0.0259040371, 0.7827717662, -0.8086757660])
    srgb = np.array(SERIES) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    for matrix in missing:
        seen = np.clip(linear @ np.array(matrix).T, 0, 1)
        oklab = np.cbrt(seen @ np.array(lms).T) @ np.array(lab).T
        apart = np.linalg.norm(oklab[:, None] - oklab[None], axis=-1)
        assert apart[~np.eye(len(SERIES), dtype=bool)].min() > 0.125
    assert all(contrast(hue, (255, 255, 255)) >= 3 for hue in SERIES)
    assert len(LETTERS) == len(SERIES)

"""The command line as a user meets it: in a subprocess, with exit codes and what is printed."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOY = ROOT / "tests/toy_modality.py"


def geobind(*args, cwd, code=0, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "geobind", "--plugin", str(TOY), *map(str, args)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200", **environment},
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def recipe(toy_recipe, write_recipe):
    return write_recipe(toy_recipe)


@pytest.mark.parametrize("command", [["stages", "list"], ["plugins", "list"], ["--help"]])
def test_listing_is_quick_and_imports_no_torch(command, tmp_path):
    """Half a second of processor time, best of five, since others may use the machine; and no torch, ever."""
    script = (
        "import sys; from geobind.cli import main; sys.argv = ['geobind', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit as e: assert not e.code, e.code\n"
        "heavy = {'torch', 'numpy', 'open_clip', 'PIL', 'pyarrow', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", script, *command], cwd=tmp_path, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.returncode == 0, done.stderr
    assert min(seconds) <= 0.5, seconds


def test_stages_list_has_every_stage_of_every_recipe(tmp_path):
    rows = json.loads(geobind("stages", "list", "--json", cwd=tmp_path).stdout)["stages"]
    names = {(row["recipe"], row["stage"]) for row in rows}
    assert {("world", "text"), ("mini", "audio"), ("geobind", "ground")} <= names
    assert rows[0].keys() == {"stage", "recipe", "modality", "tower", "trains", "encoder", "data", "loss", "bound"}
    table = geobind("stages", "list", cwd=tmp_path).stdout
    assert "no space is bound yet" in table and "mel_cnn" in table


def test_plugins_list_names_every_plugin(tmp_path):
    records = json.loads(geobind("plugins", "list", "--json", cwd=tmp_path).stdout)
    assert {"core", "satellite", "text", "audio", "location", "world", "ground"} <= {r["name"] for r in records}
    assert all(record["status"] == "ok" for record in records)


def test_bind_evaluate_and_rebind_from_the_command_line(recipe, tmp_path):
    plan = geobind("bind", "--recipe", recipe, "--dry-run", cwd=tmp_path).stdout
    assert "toy_b" in plan and "140" in plan and not (tmp_path / "spaces").exists()
    bound = geobind("bind", "--recipe", recipe, cwd=tmp_path)
    assert "bound b, c" in bound.stdout and "b: precision fp32 (as the recipe says)" in bound.stderr
    towers = {file.name for file in (tmp_path / "spaces/toy/towers").iterdir()}
    listed = json.loads(geobind("stages", "list", "--json", cwd=tmp_path).stdout)
    assert [row["bound"] for row in listed["stages"] if row["recipe"] == "toy"] == ["yes", "yes"]

    out = geobind("evaluate", "--all-pairs", cwd=tmp_path).stdout
    assert "toy_a" in out
    report = json.loads((tmp_path / "reports/toy/results.json").read_text())
    assert len(report["all_pairs"]["results"]) == 6
    for name in ("results.csv", "report.md", "report.html", "matrix.png"):
        assert (tmp_path / "reports/toy" / name).stat().st_size > 100

    # Without --recipe: the space knows the recipe it was bound by, wherever that file is now.
    recipe.unlink()
    geobind("bind", "--modality", "toy_c", "--set", "stages.c.seed=3", cwd=tmp_path)
    after = {file.name for file in (tmp_path / "spaces/toy/towers").iterdir()}
    assert {n[:5] for n in towers - after} == {"toy_c"} and len(after) == 3


def test_interrupted_bind_resumes(recipe, tmp_path):
    """A real Ctrl-C: exit code 130, one sentence, and --resume goes on."""
    import signal

    process = subprocess.Popen(
        f"{sys.executable} -m geobind --plugin {TOY} bind --recipe {recipe} --set stages.b.optim.epochs=100000".split(),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics = None
    deadline = time.monotonic() + 60
    while not metrics and time.monotonic() < deadline:
        time.sleep(0.2)
        metrics = next(tmp_path.glob("runs/*/b/metrics.jsonl"), None)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "--resume" in err and "Traceback" not in err
    (state,) = tmp_path.glob("runs/*/run.json")
    assert json.loads(state.read_text())["status"] == "interrupted"
    assert len(list((state.parent / "b").glob("checkpoint-*.pt"))) == 1


SET_BAD = ("--set", "defaults.dataset.bad=2", "--set", "defaults.max_unreadable=0")


@pytest.mark.parametrize(
    ("args", "match"),
    [
        (["bind", "--recipe", "wrld"], "unknown recipe 'wrld'. Did you mean 'world'"),
        (["bind", "--recipe", "RECIPE", "--set", "optim.epochs=1"], "unknown key 'optim'"),
        (["bind", "--recipe", "RECIPE", "--modality", "toy_x"], "no stage for modality 'toy_x'.*toy_b"),
        (["bind", "--recipe", "RECIPE", "--stage", "q"], "no stage 'q'"),
        (["bind", "--recipe", "RECIPE", "--modality", "toy_c"], "stage 'b' comes first"),
        (["bind", "--recipe", "RECIPE", "--stage", "b", "--stale"], "exclude each other"),
        (["bind", "--recipe", "RECIPE", "--resume"], "no unfinished run"),
        (["bind", "--recipe", "RECIPE", "--set", "stages.b.encoder.type=x"], "unknown encoder 'x'"),
        (["bind", "--recipe", "RECIPE", *SET_BAD], "row 2 is bad"),
        (["evaluate", "--all-pairs"], "there is no space"),
        (["evaluate"], "Add --all-pairs"),
        (["stages", "show", "b", "--recipe", "none.yaml"], "does not exist"),
    ],
)
def test_a_mistake_is_one_paragraph_and_exit_code_2(recipe, tmp_path, args, match):
    import re

    done = geobind(*(str(recipe) if a == "RECIPE" else a for a in args), cwd=tmp_path, code=2)
    paragraph = done.stderr[done.stderr.index("error: ") :].strip()
    assert re.search(match, paragraph) and "\n" not in paragraph
    assert not (tmp_path / "spaces").exists() and not (tmp_path / "reports").exists()


def test_a_one_file_plugin_that_fails_is_told(tmp_path):
    (tmp_path / "broken.py").write_text("import a_missing_thing")
    done = subprocess.run(
        [sys.executable, "-m", "geobind", "--plugin", "broken.py", "plugins", "list"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "a_missing_thing" in done.stderr and "Traceback" not in done.stderr


def test_stages_show_and_validate(recipe, tmp_path):
    assert "batch_size: 32" in geobind("stages", "show", "b", "--recipe", recipe, cwd=tmp_path).stdout
    assert "fine, 2 stages (b, c)" in geobind("stages", "validate", recipe, cwd=tmp_path).stdout


def test_doctor_names_what_it_looked_at(tmp_path):
    out = geobind("doctor", cwd=tmp_path).stdout
    assert "ok   torch:" in out and "ok   plugins:" in out


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_no_file_of_the_shared_folder_is_in_the_checkout():
    """Data under mixed licences is read in place."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in listed if name.endswith((".parquet", ".npz", ".ogg", ".tflite"))]

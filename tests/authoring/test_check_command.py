"""`geobind plugins check`, the same checks as tests of pytest, and the fixtures for tests of plugins."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from os import devnull

import pytest
import typer
from typer.testing import CliRunner

from geobind.cli.check import check as check_command
from geobind.errors import GeobindError, PluginError
from geobind.plugins import Plugins

UNCHECKED = (
    'summary="A softmax loss."',
    'summary="A softmax loss.", unchecked={"nan_is_not_hidden": "a fill value stands for it"}',
)
NO_EXAMPLE = ('example=f"{__name__}:example_harbours",\n', "")
PRINTS = ("            targets = positives", '            print("said in a loss")\n            targets = positives')
OF_LOSSES = ("order_of_rows_does_not_matter", "nan_is_not_hidden", "report_holds_finite_numbers")


@pytest.fixture
def check(monkeypatch):
    """Run the command on a one-file plugin."""

    def run(path, *arguments, code):
        plugins = Plugins()
        plugins.load_installed()
        plugins.load_file(path)
        monkeypatch.setattr("geobind.plugins.get_plugins", lambda: plugins)
        monkeypatch.setattr("geobind.authoring.checks.run.get_plugins", lambda: plugins)
        app = typer.Typer()
        app.command()(check_command)
        done = CliRunner().invoke(app, [*arguments], env={"COLUMNS": "200"})
        if isinstance(done.exception, GeobindError):
            raise done.exception
        assert done.exit_code == code, done.output
        return done.stdout

    return run


def test_the_command_says_what_failed_what_was_skipped_and_how_many_ran(check, write_plugin):
    path = write_plugin(UNCHECKED, NO_EXAMPLE, ('"temperature": (-self', '"temperature": -1 and (-self'), PRINTS)
    only = [part for name in (*OF_LOSSES, "origins_are_told", "items_can_be_loaded") for part in ("--only", name)]
    lines = [" ".join(line.split()) for line in check(path, "sea", *only, code=1).splitlines()]
    assert lines[0] == "of checks passed failed skipped seconds"
    assert lines[1].startswith("dataset harbours 2 2 ") and lines[2].startswith("loss pull 3 2 1 ")
    why = "dataset 'harbours' has no example data. Name a function in its spec"
    assert any(f"FAILED dataset harbours: origins_are_told, items_can_be_loaded: {why}" in line for line in lines)
    assert "skipped loss pull: nan_is_not_hidden: a fill value stands for it" in lines
    assert lines[-1].startswith("5 checks of sea: 2 passed, 2 failed, 1 skipped, in ")
    assert "said in a loss" not in lines


def test_the_command_prints_json_alone_and_is_content_with_a_sound_plugin(check, write_plugin):
    only = [part for name in OF_LOSSES for part in ("--only", name)]
    told = json.loads(check(write_plugin(UNCHECKED, PRINTS), "sea", *only, "--json", code=0))
    counts = {"plugins": ["sea"], "checks": 3, "passed": 2, "failed": 0, "skipped": 1}
    assert {key: told[key] for key in counts} == counts
    assert [(one["subject"], one["check"]) for one in told["outcomes"]] == [("loss pull", name) for name in OF_LOSSES]
    assert told["outcomes"][1]["reason"] == "a fill value stands for it"
    assert told["seconds"] >= sum(one["seconds"] for one in told["outcomes"])


def test_all_checks_every_plugin_that_loaded(check, write_plugin):
    told = json.loads(check(write_plugin(), "--all", "--only", "names_are_plain_words", "--json", code=0))
    assert {"core", "satellite", "sea", "world"} <= set(told["plugins"])
    assert told["checks"] == len(told["plugins"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no plugin is named"),
        (["see"], "no plugin is called 'see'. Did you mean 'sea'?"),
        (["sea", "--only", "nan_is_hidden"], "no check 'nan_is_hidden' of sea. Did you mean 'nan_is_not_hidden'?"),
    ],
)
def test_mistakes_are_told(check, write_plugin, arguments, words):
    with pytest.raises(PluginError, match=re.escape(words)):
        check(write_plugin(), *arguments, code=2)


TESTS = """
import os

import pytest

import geobind
from geobind.authoring import parametrize_with_checks


@parametrize_with_checks({plugins})
def test_conforms(check):
    check()


def test_the_cache_is_empty_and_its_own(geobind_cache):
    assert os.environ["GEOBIND_CACHE"] == str(geobind_cache) and not list(geobind_cache.iterdir())


def test_commands_run(run_geobind):
    done = run_geobind("plugins", "list", "--json", plugins=["PATH"])
    assert '"name": "sea"' in done.stdout
    assert "no plugin is called" in run_geobind("plugins", "show", "nothing", code=2).stderr
    assert run_geobind("plugins", "check", "sea", "--only", "loss_rises", plugins=["PATH"], code=2)
    with pytest.raises(pytest.fail.Exception, match="`geobind plugins show nothing` ended with 2, not 0:\\nerror: no"):
        run_geobind("plugins", "show", "nothing")
"""


@pytest.fixture
def run_pytest(tmp_path):
    """Run pytest on a file of a plugin's author, where the plugin of pytest is loaded as installed ones are."""
    installed = any(entry.value == "geobind.authoring.pytest_plugin" for entry in entry_points(group="pytest11"))

    def run(source, *arguments, script="import pytest; raise SystemExit(pytest.main())"):
        (tmp_path / "test_sea.py").write_text(source)
        plugin = [] if installed else ["-p", "geobind.authoring.pytest_plugin"]
        return subprocess.run(
            [sys.executable, "-c", script, "-q", "-c", devnull, f"--rootdir={tmp_path}", *plugin, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def test_checks_are_tests_and_fixtures_are_there(run_pytest, write_plugin):
    unchecked = ('units="m",', 'units="m", unchecked={"units_are_given": "metres, who would not know"},')
    path = write_plugin(unchecked, ('name="pull"', 'name="Pull"'))
    source = TESTS.format(plugins=f'"core", "{path}"').replace("PATH", str(path))
    lines = run_pytest(source, "-rA", "-k", "names_are or units_are or its_own or commands").stdout.splitlines()
    for line in (
        "PASSED test_sea.py::test_conforms[plugin core: names_are_plain_words]",
        "PASSED test_sea.py::test_conforms[modality harbour: units_are_given]",
        "PASSED test_sea.py::test_the_cache_is_empty_and_its_own",
        "PASSED test_sea.py::test_commands_run",
    ):
        assert line in lines, "\n".join(lines)
    assert any(line.startswith("SKIPPED") and "metres, who would not know" in line for line in lines)
    failed = "FAILED test_sea.py::test_conforms[plugin sea: names_are_plain_words]"
    assert any(line.startswith(failed) for line in lines)
    assert any("CheckFailed: loss Pull has the name 'Pull'" in line for line in lines)
    assert lines[-1].startswith("1 failed, 4 passed, 1 skipped")


def test_collecting_runs_nothing_and_loads_no_torch(run_pytest, write_plugin):
    path = write_plugin(
        ("    lines = [", "    raise RuntimeError\n    lines = ["),
        ("    from torch.nn.functional", "    raise RuntimeError\n    from torch.nn.functional"),
    )
    script = "import pytest, sys; code = pytest.main(); assert 'torch' not in sys.modules; raise SystemExit(code)"
    done = run_pytest(TESTS.format(plugins=f"'{path}'"), "--collect-only", script=script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_sea.py::test_conforms[encoder tide/linear: batched_equals_single]" in done.stdout


def test_the_plugin_of_pytest_imports_nothing_heavy():
    script = "import sys; import geobind.authoring.pytest_plugin; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "geobind" in loaded and not loaded & {"torch", "numpy", "pydantic", "geobind.plugins"}

"""``geobind plugins list`` and ``show``, and what other commands do beside plugins that are broken or many."""

from __future__ import annotations

import json
import os
import resource
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from geobind.cli import app
from geobind.errors import PluginError
from geobind.plugins import Plugins, get_plugins

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/plugin_fixtures"
TOY = ROOT / "tests/toy_modality.py"
SCRIPT = """
import sys
from geobind.cli import main
for command in sys.argv[1].split(" ; "):
    sys.argv = ["geobind", *command.split()]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
    print("-- done")
heavy = {"torch", "numpy", "PIL", "pyarrow"} & set(sys.modules)
print("imported", sorted(heavy), file=sys.stderr)
"""


def geobind(*commands, cwd, beside=(), code=0, **environment):
    """Commands one after the other in one new process, with some of the fixture plugins installed."""
    path = os.pathsep.join(str(folder if isinstance(folder, Path) else FIXTURES / folder) for folder in beside)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, " ; ".join(commands)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200", "PYTHONPATH": path, **environment},
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def run(monkeypatch):
    """Run ``geobind plugins …`` in this process, with fixture plugins installed."""

    def run(*args, beside=(), code=0):
        for name in beside:
            monkeypatch.syspath_prepend(FIXTURES / name)
        plugins = Plugins()
        plugins.load_installed()
        monkeypatch.setattr("geobind.plugins.get_plugins", lambda: plugins)
        done = CliRunner().invoke(app, ["plugins", *args])
        if isinstance(done.exception, PluginError):
            raise done.exception
        assert done.exit_code == code, done.output
        return done.output

    known = set(sys.modules)
    yield run
    for name in [
        name for name in set(sys.modules) - known if name.startswith(("geobind_half", "geobind_slow", "frozen_api"))
    ]:
        del sys.modules[name]


def test_the_list_says_version_status_time_and_reason(run):
    records = {r["name"]: r for r in json.loads(run("list", "--json", beside=("broken", "slow")))}
    assert records["core"].items() >= {"status": "ok", "api": 1, "slow": False, "reason": "", "where": ""}.items()
    assert records["slow"].items() >= {"status": "ok", "slow": True, "version": "1.0"}.items()
    assert 0.35 < records["slow"]["seconds"] < 5 and "missing" not in records["slow"]
    assert records["broken"]["reason"].startswith("ModuleNotFoundError")
    del sys.modules["geobind_slow"]  # or it would come quickly, the second time
    lines = run("list").splitlines()
    assert next(line.split() for line in lines if line.startswith("slow"))[:4] == ["slow", "1.0", "ok,", "slow"]
    assert next(line.split() for line in lines if line.startswith("broken"))[:3] == ["broken", "1.0", "broken"]


def test_check_imports_all_that_is_named_and_exits_with_1(run, monkeypatch):
    monkeypatch.setenv("GEOBIND_PLUGINS", "half,location")  # the others import much
    said = run("list", "--check", beside=("half",), code=1)
    assert "plugin 'half', encoder half/net: build 'geobind_half:bild' cannot be had: AttributeError" in said
    assert "plugin 'half', modality half: preview 'json:__name__' cannot be had: it cannot be called" in said
    assert "plugin 'half', recipe half: path 'nowhere/half.yaml' cannot be had: there is no such file" in said
    records = {r["name"]: r for r in json.loads(run("list", "--check", "--json", beside=("half",), code=1))}
    assert [item["spec"] for item in records["half"]["missing"]] == ["modality half", "encoder half/net", "recipe half"]
    assert all(not record["missing"] for name, record in records.items() if name != "half")


def test_check_passes_for_what_is_sound_and_fails_for_what_is_not(run, monkeypatch):
    monkeypatch.setenv("GEOBIND_PLUGINS", "broken,frozen,frozen_full")
    run("list", "--check", beside=("frozen_api_1", "frozen_api_1_full"), code=1)  # `broken` is absent
    run("list", "--check", beside=("broken",), code=1)
    run("list")
    monkeypatch.setenv("GEOBIND_PLUGINS", "frozen,frozen_full")
    assert "frozen_full" in run("list", "--check")


def test_show_tells_all_of_a_plugin(run):
    told = json.loads(run("show", "frozen_full", "--weights", "--json", beside=("frozen_api_1_full",)))
    assert told["file"] == str(FIXTURES / "frozen_api_1_full/frozen_api_1_full.py")
    assert told["distribution"]["name"] == "frozen-api-1-full" and told["api"] == 1
    specs = {spec["label"]: spec for spec in told["provides"]}
    assert specs["modality frozen_full"].items() >= {"item": "array [4], kelvin", "units": "K"}.items()
    net = specs["encoder frozen_full/net"]
    assert (net["licence"], net["weights_here"], net["weights_found"]) == ("CC0-1.0", True, "inside the package")
    assert net["unchecked"] == {"loss_falls": "made up for tests"}
    width = {"key": "width", "type": "whole number", "default": "8", "help": "Width of the embedding."}
    assert net["config"] == [width]
    page = run("show", "frozen_full", beside=("frozen_api_1_full",))
    for part in (
        "plugin frozen_full: ok, loaded in 0.",
        "from frozen_api_1_full (frozen-api-1-full 1.0), ",
        "encoder frozen_full/net: A linear layer",
        "  licence: CC0-1.0",
        "  units: K",
        "  not checked: loss_falls, since made up for tests",
    ):
        assert part in page
    assert ["width", "whole", "number", "8"] in [line.split()[:4] for line in page.splitlines()]
    assert "weights by default" not in page


def test_show_tells_where_a_broken_plugin_failed(run):
    page = run("show", "broken", beside=("broken",))
    place = f"{FIXTURES / 'broken/geobind_broken.py'}:3"
    assert f"ModuleNotFoundError: No module named 'a_module_that_is_not_there' ({place})" in " ".join(page.split())
    assert "A plugin that does not import. · licence MIT · https://example.org/broken" in page
    assert f"{FIXTURES / 'broken/geobind_broken.py'}\n" in page
    both = json.loads(run("show", "twin", "--json", beside=("twin_a", "twin_b")))
    assert [told["status"] for told in both] == ["ok", "duplicate"]


def test_show_takes_a_distribution_and_says_who_brings_another_name(run):
    assert run("show", "geobind-audio").startswith("plugin audio: ok, ")
    for name in ("mel_cnn", "audio/mel_cnn"):
        with pytest.raises(
            PluginError, match=r"the plugin 'audio' brings encoder audio/mel_cnn\. .*plugins show audio"
        ):
            run("show", name)
    with pytest.raises(PluginError, match=r"no plugin is called 'aduio'\. Did you mean 'audio'\?"):
        run("show", "aduio")


def test_absent_weights_are_told_with_the_way_to_bring_them(run, monkeypatch):
    monkeypatch.setattr("geobind.plugins.about.load_object", lambda path: absent)
    told = json.loads(run("show", "frozen_full", "--weights", "--json", beside=("frozen_api_1_full",)))
    net = next(spec for spec in told["provides"] if spec["label"] == "encoder frozen_full/net")
    assert (net["weights_here"], net["weights_found"]) == (False, "they are not here. Bring them")
    page = run("show", "frozen_full", "--weights", beside=("frozen_api_1_full",))
    assert "weights by default: ABSENT: they are not here. Bring them" in page


def absent(config):
    from geobind.errors import WeightsError

    raise WeightsError("they are not here", fix="Bring them.")


def test_showing_imports_nothing_heavy(tmp_path):
    commands = ("plugins list", "plugins show audio", "plugins show broken", "stages list")
    assert "imported []" in geobind(*commands, cwd=tmp_path, beside=("broken",)).stderr


# -- one broken plugin, and many sound ones ----------------------------------------------------------


def test_a_broken_plugin_beside_the_others_changes_nothing_for_them(toy_recipe, write_recipe, tmp_path, monkeypatch):
    """List, bind another modality and evaluate: the same output and the same numbers with it and without it."""
    recipe = write_recipe(toy_recipe)
    said, found, statuses = [], [], []
    for beside in ((), ("broken", "exits", "bad_hook")):
        for name in beside:
            monkeypatch.syspath_prepend(FIXTURES / name)
        fresh = Plugins()
        fresh.load_installed()
        fresh.load_file(TOY)
        for part in ("records", "manager"):
            monkeypatch.setattr(get_plugins(), part, getattr(fresh, part))
        statuses.append({record.name: record.status for record in fresh.records})
        folder = tmp_path / f"beside_{len(beside)}"
        folder.mkdir()
        monkeypatch.chdir(folder)
        commands = (
            ["stages", "list"],
            ["bind", "--recipe", str(recipe)],
            ["evaluate", "--all-pairs"],
            ["stages", "list"],
        )
        done = [CliRunner().invoke(app, command) for command in commands]
        assert [result.exit_code for result in done] == [0, 0, 0, 0], done
        said.append([done[0].stdout, done[2].stdout, done[3].stdout])
        found.append(json.loads((folder / "reports/toy/results.json").read_text())["all_pairs"])
    assert [set(status.values()) for status in statuses] == [{"ok"}, {"ok", "broken"}]
    assert said[0] == said[1] and "yes" in said[0][2]
    assert found[0] == found[1] and len(found[0]["results"]) == 6


def test_who_names_a_broken_plugin_gets_its_reason(toy_recipe, write_recipe, tmp_path):
    toy_recipe["stages"][0] |= {"modality": "broken", "encoder": {"type": "net"}}
    recipe = write_recipe(toy_recipe)
    named = geobind(f"--plugin {TOY} bind --recipe {recipe}", cwd=tmp_path, beside=("broken",), code=2).stderr
    assert "plugin 'broken' is broken: ModuleNotFoundError" in named and "geobind_broken.py:3" in named
    assert "Mend, update or uninstall it" in named


def test_a_recipe_that_cannot_be_used_is_told_below_the_others(tmp_path):
    done = geobind("stages list", cwd=tmp_path, beside=("half",), GEOBIND_BLOCK_PLUGINS="text")
    assert "sat2cap" in done.stdout and "minilm" not in done.stdout
    assert "recipe world cannot be used here: plugin 'text' is blocked" in done.stderr
    assert "recipe half cannot be used here: recipe file 'nowhere/half.yaml' does not exist" in done.stderr


def test_thirty_more_plugins_leave_listing_quick(tmp_path):
    """0.8 s, best of three: processor time of the process, since others may use the machine while tests run."""
    install = runpy.run_path(str(ROOT / "benchmarks/listing.py"))["install"]
    dummies = install(30, tmp_path / "installed")
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = geobind("stages list", cwd=tmp_path, beside=(dummies,))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert "dummy29" in done.stdout and "imported []" in done.stderr
    assert min(seconds) <= 0.8, seconds

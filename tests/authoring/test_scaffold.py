"""A new plugin as it is written: its files, and what is refused. Installing and binding it: ``test_author_road.py``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from geobind.authoring.scaffold import LONGEST, Kind, NewPlugin, new_plugin, render, write
from geobind.cli import app
from geobind.errors import GeobindError, PluginError
from geobind.plugins import get_plugins

ROOT = Path(__file__).resolve().parents[2]
LONG = "m" * (LONGEST - 7) + "_values"
MADE = ("__pycache__", ".egg-info", "_cache")
"""Parts of the names of folders that tools make."""


def named(name: str) -> list[NewPlugin]:
    kinds = [NewPlugin(name=name, kind=kind) for kind in Kind]
    return [*kinds, NewPlugin(name=name, loss=True), NewPlugin(name=name, kind=Kind.ENCODER, of="ground")]


def ask(name: str, kind: Kind = Kind.MODALITY, of: str = "satellite") -> NewPlugin:
    return new_plugin(name, kind, get_plugins(), author="", loss=False, of=of)


def test_the_template_in_the_repository_is_what_is_written():
    folder = ROOT / "plugins/geobind-template"
    committed = {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and not any(part.endswith(MADE) for part in path.relative_to(folder).parts)
    }
    assert committed == render(NewPlugin(name="template")), "rewrite it: make template"


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=["check", "format"])
def test_every_file_is_clean_by_its_own_settings_for_short_and_long_names(command, tmp_path):
    for name in ("x", "thermal", LONG):
        for number, plugin in enumerate(named(name)):
            write(plugin, tmp_path / str(number))
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_plugin_differs_from_another_by_its_name_alone():
    for first, second in zip(named("zorb"), named("quux"), strict=True):
        renamed = {path.replace("zorb", "quux"): text.replace("zorb", "quux") for path, text in render(first).items()}
        assert renamed == render(second)


def test_a_name_of_two_words_is_joined_as_each_tool_has_it():
    files = render(NewPlugin(name="map_tags", author="Jane Doe"))
    assert NewPlugin(name="map_tags").distribution == "geobind-map-tags"
    assert "geobind_map_tags/recipes/map_tags.yaml" in files
    assert 'map_tags = "geobind_map_tags"' in files["pyproject.toml"]
    assert 'authors = [{ name = "Jane Doe" }]' in files["pyproject.toml"] and "Jane Doe" in files["LICENSE"]


def test_each_kind_brings_only_that():
    packages = {
        (plugin.kind, plugin.loss): {path for path in render(plugin) if path.startswith("geobind_zorb/")}
        for plugin in named("zorb")
    }
    of_all = {"geobind_zorb/__init__.py", "geobind_zorb/py.typed"}
    assert packages[Kind.ENCODER, False] == of_all | {"geobind_zorb/encoder.py"}
    assert packages[Kind.DATASET, False] == of_all | {"geobind_zorb/dataset.py", "geobind_zorb/made_up.py"}
    assert packages[Kind.LOSS, False] == of_all | {"geobind_zorb/loss.py"}
    whole = {f"geobind_zorb/{file}" for file in ("encoder.py", "dataset.py", "recipes/zorb.yaml")}
    assert packages[Kind.MODALITY, False] == of_all | whole
    assert packages[Kind.MODALITY, True] == of_all | whole | {"geobind_zorb/loss.py"}


def test_a_whole_modality_is_two_hundred_lines():
    files = render(NewPlugin(name="zorb"))
    python = [path for path in files if path.startswith("geobind_zorb/") and path.endswith(".py")]
    assert len(python) == 3 and sum(len(files[path].splitlines()) for path in python) <= 200


@pytest.mark.parametrize("name", ["", "Thermal", "9lives", "a-b", "a__b", "_a", "a_", "höhe", "x" * (LONGEST + 1)])
def test_what_is_no_lower_case_word_is_refused(name):
    with pytest.raises(PluginError, match="cannot be the name of a plugin"):
        ask(name)


@pytest.mark.parametrize(
    ("name", "owner"),
    [("satellite", "'satellite'"), ("elevation", "'sensors'"), ("infonce", "'core'"), ("mini", "recipe")],
    ids=["plugin", "modality", "loss", "recipe"],
)
def test_a_taken_name_is_refused_with_whose_it_is(name, owner):
    with pytest.raises(PluginError, match=f"{name!r} is .*{owner}"):
        ask(name)


def test_an_encoder_is_for_a_modality_of_pictures_and_needs_its_distribution():
    assert ask("zorb", Kind.ENCODER, of="ground").dependencies == ["geobind>=0.1", "geobind-ground>=0.1"]
    with pytest.raises(PluginError, match=r"Did you mean 'satellite'\?"):
        ask("zorb", Kind.ENCODER, of="satelite")
    with pytest.raises(PluginError, match="items of 'text' are no pictures"):
        ask("zorb", Kind.ENCODER, of="text")
    with pytest.raises(PluginError, match=r"'toy_a' is that of a file.*toy_modality\.py"):
        ask("zorb", Kind.ENCODER, of="toy_a")


def test_nothing_is_written_over(tmp_path):
    mine = tmp_path / "geobind-zorb/mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(GeobindError, match=r"geobind-zorb' exists\. .*--folder"):
        write(NewPlugin(name="zorb"), tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine] and mine.read_text() == "mine"


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    def rename(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(GeobindError, match="cannot be written: .*Permission denied"):
        write(NewPlugin(name="zorb"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_comes_next(tmp_path):
    done = CliRunner().invoke(app, ["plugins", "new", "zorb", "--from", "loss", "--folder", str(tmp_path)])
    assert done.exit_code == 0, done.output
    commands = [line.strip() for line in done.output.splitlines() if line.startswith("  ")]
    assert commands == [
        f"cd {tmp_path}/geobind-zorb",
        'pip install -e ".[test]"',
        "pytest",
        "geobind plugins check zorb",
        "geobind bind --recipe world --set defaults.loss.type=zorb",
    ]
    assert (tmp_path / "geobind-zorb/geobind_zorb/loss.py").is_file()


@pytest.mark.parametrize(
    "options", [["--modality", "satellite"], ["--from", "loss", "--loss"], ["--from", "dataset", "--modality", "text"]]
)
def test_options_of_another_kind_are_refused(options, tmp_path):
    done = CliRunner().invoke(app, ["plugins", "new", "zorb", "--folder", str(tmp_path), *options])
    assert isinstance(done.exception, GeobindError) and "Leave it out" in str(done.exception)
    assert list(tmp_path.iterdir()) == []

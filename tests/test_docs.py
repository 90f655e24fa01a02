"""What the README shows is true: its recipe is valid, its plugin loads, its commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from geobind.cli import app
from geobind.config import Checkpoints, Optim, Stage, Validation
from geobind.modality import EncoderSpec
from geobind.plan import load_plan
from geobind.plugins import Plugins, get_plugins

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EVALUATION = (ROOT / "docs/evaluation.md").read_text(encoding="utf-8")
BINDING = (ROOT / "docs/binding.md").read_text(encoding="utf-8")


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_recipe_is_valid(tmp_path):
    (recipe,) = blocks("yaml")
    path = tmp_path / "readme.yaml"
    path.write_text(recipe)
    plan = load_plan(str(path), get_plugins())
    assert [stage.config.name for stage in plan.stages] == ["text"]


def test_the_plugin_loads(tmp_path):
    source = next(block for block in blocks("python") if "geobind_thermal" in block)
    path = tmp_path / "geobind_thermal.py"
    path.write_text(source)
    plugins = Plugins()
    plugins.load_file(path)
    assert plugins.modality("thermal").summary == "Surface temperature"
    assert [spec.name for spec in plugins.specs(EncoderSpec)] == ["thermal_cnn"]


COMMANDS = [
    line
    for text in (README, BINDING, EVALUATION)
    for block in blocks("sh", text)
    for line in block.splitlines()
    if line.startswith("geobind ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_and_option_exists(line):
    words = shlex.split(line, comments=True)[1:]
    command = get_command(app)
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    known = {name for parameter in command.params for name in parameter.opts}
    assert not {word for word in words if word.startswith("--")} - known
    assert not hasattr(command, "commands")


def test_there_are_commands_to_check():
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("section", [Stage, Optim, Validation, Checkpoints])
def test_every_key_that_the_binding_page_names_exists(section):
    named = {Stage: "", Optim: "optim", Validation: "validation", Checkpoints: "checkpoints"}[section]
    told = set(re.findall(rf"`{named}\.(\w+)`", BINDING)) if named else set()
    for block in re.findall(rf"{named}: (\{{[^}}]*\}})", BINDING) if named else blocks("yaml", BINDING):
        told |= yaml.safe_load(block).keys()
    assert told and told <= section.model_fields.keys()

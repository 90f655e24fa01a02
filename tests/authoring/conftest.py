"""One-file plugins made of the sound one's source, each broken in one way."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from geobind.authoring.checks.run import plan_checks
from geobind.plugins import Plugins

SOUND = Path(__file__).with_name("sound_plugin.py").read_text(encoding="utf-8")
RECIPE = """
summary: Tides bound to the names of their harbours
space: {dim: 4}
anchor: {modality: tide, encoder: {type: linear}}
defaults:
  dataset: {type: harbours, root: harbours}
  loss: {type: pull}
stages:
  - {name: harbour, modality: harbour, train: heads, encoder: {type: letters}}
"""


@pytest.fixture
def write_plugin(tmp_path):
    """Write a one-file plugin: the sound one with some of its source replaced, and its recipe."""
    written = []

    def write(*changes: tuple[str, str], recipe: str = RECIPE) -> Path:
        source = SOUND
        for old, new in changes:
            assert source.count(old) == 1, f"{source.count(old)} times in the sound plugin: {old}"
            source = source.replace(old, new)
        path = tmp_path / "sea.py"
        path.write_text(source, encoding="utf-8")
        path.with_name("tides.yaml").write_text(recipe, encoding="utf-8")
        written.append(path.stem)
        return path

    yield write
    for name in written:
        sys.modules.pop(name, None)


@pytest.fixture
def failing(write_plugin):
    """Names of the checks of one kind of subject that a changed plugin fails, each with its reason."""

    def run(kind: type, *changes: tuple[str, str], leave_out: set[str] = frozenset(), **options: str) -> dict[str, str]:
        plugins = Plugins()
        plugins.load_installed()
        plugins.load_file(write_plugin(*changes, **options))
        planned = [each for each in plan_checks("sea", plugins) if isinstance(each.subject, kind)]
        outcomes = [each.run() for each in planned if each.check.name not in leave_out]
        assert outcomes and not any(outcome.status == "skipped" for outcome in outcomes)
        return {outcome.check: outcome.reason for outcome in outcomes if outcome.status == "failed"}

    return run


@pytest.fixture
def recipe_text() -> str:
    """The sound plugin's recipe."""
    return RECIPE

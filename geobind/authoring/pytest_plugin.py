"""Fixtures for tests of plugins. pytest loads this wherever geobind is installed, so it imports nothing but pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SECONDS = 600
"""After so long a command is taken to hang."""


@pytest.fixture
def geobind_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the features that this test keeps; those of the user are neither found nor touched."""
    folder = tmp_path_factory.mktemp("geobind-cache")
    monkeypatch.setenv("GEOBIND_CACHE", str(folder))
    return folder


@pytest.fixture
def run_geobind(geobind_cache: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in ``tmp_path``: ``run_geobind("bind", "--modality", "thermal")``.

    Further arguments are ``plugins``, the paths of one-file plugins to load, and ``code``, the exit code that is
    expected. Any other code fails the test with all that was printed. It returns the completed process, whose
    ``stdout`` and ``stderr`` are texts.
    """

    def run(
        *arguments: str | Path, plugins: tuple[str | Path, ...] = (), code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        loaded = [part for path in plugins for part in ("--plugin", str(Path(path).resolve()))]
        command = [sys.executable, "-m", "geobind", *loaded, *map(str, arguments)]
        done = subprocess.run(  # noqa: S603 - this interpreter, as the test asks
            command,
            cwd=tmp_path,
            env={"COLUMNS": "200", **os.environ},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode != code:
            shown = f"`geobind {' '.join(map(str, arguments))}` ended with {done.returncode}, not {code}:"
            pytest.fail(f"{shown}\n{done.stdout}{done.stderr}", pytrace=False)
        return done

    return run

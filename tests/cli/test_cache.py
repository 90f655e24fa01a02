"""``geobind cache``: what lies on disk, and its removal, in a subprocess."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from geobind.features.store import FILES, RESULTS, Meta, Store


@pytest.fixture
def folder(tmp_path):
    """Two stores of one modality, of which one was not used for ten days, one of another, and a stranger's file."""
    folder = tmp_path / "cache"
    for modality, view, days in (("satellite", 0, 0), ("satellite", 1, 10), ("text", 0, 0.5)):
        meta = Meta(f"pack.{modality.title()}", modality, view, 250, "0.1.0", "2026-01-01T00:00:00+00:00")
        store = Store(folder / f"{modality}-{view}", meta)
        with store.writer() as writer:
            writer.append(np.arange(2000, dtype=np.uint64).reshape(-1, 2), np.ones((1000, 250), dtype=np.float32))
        used = time.time() - days * 86_400
        os.utime(store.path / "meta.json", (used, used))
    (folder / FILES).mkdir()
    (folder / FILES / "x.memo").write_bytes(bytes(32))
    (folder / "notes.txt").write_text("mine")
    return folder


def cache(*args, folder, code=0, answer=""):
    script = (
        "import sys; from geobind.cli import main; sys.argv = ['geobind', 'cache', *sys.argv[1:]]\n"
        "try: main()\n"
        "finally: assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *args],
        capture_output=True,
        text=True,
        timeout=60,
        input=answer,
        env={**os.environ, "GEOBIND_CACHE": str(folder)},
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def stores(folder):
    return sorted(path.parent.name for path in folder.glob("*/meta.json"))


def test_info_shows_every_store_and_the_total(folder):
    lines = cache("info", folder=folder).splitlines()
    assert lines[0].split() == ["modality", "encoder", "view", "items", "MB", "last", "used"]
    assert [line.split()[:5] for line in lines[1:4]] == [
        ["satellite", "pack.Satellite", "0", "1,000", "1.0"],
        ["text", "pack.Text", "0", "1,000", "1.0"],
        ["satellite", "pack.Satellite", "1", "1,000", "1.0"],
    ]
    assert lines[4] == f"3.0 MB of 3,000 items in {folder}"


def test_info_as_json(folder):
    told = json.loads(cache("info", "--json", folder=folder))
    assert told["folder"] == str(folder) and told["bytes"] == sum(row["bytes"] for row in told["features"])
    assert {(row["modality"], row["view"], row["items"], row["width"]) for row in told["features"]} == {
        ("satellite", 0, 1000, 250),
        ("satellite", 1, 1000, 250),
        ("text", 0, 1000, 250),
    }


def test_a_cache_that_is_not_there_yet(tmp_path):
    assert cache("info", folder=tmp_path / "no") == f"0.0 MB of 0 items in {tmp_path / 'no'}\n"
    assert cache("clear", folder=tmp_path / "no") == f"nothing to remove in {tmp_path / 'no'}\n"


def test_clear_asks_first(folder):
    out = cache("clear", folder=folder, code=1, answer="n\n")
    assert f"Remove 3.0 MB of 3,000 items from {folder}?" in out and len(stores(folder)) == 3
    cache("clear", folder=folder, code=1)  # nobody there to answer
    assert len(stores(folder)) == 3
    assert f"removed 3.0 MB of 3,000 items from {folder}" in cache("clear", folder=folder, answer="y\n")
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_clear_a_modality_or_what_was_long_unused(folder):
    assert "nothing to remove" in cache("clear", "--yes", "--modality", "audio", folder=folder)
    assert "nothing to remove" in cache("clear", "--yes", "-m", "text", "--unused-days", "5", folder=folder)
    cache("clear", "--yes", "--unused-days", "5", folder=folder)
    assert stores(folder) == ["satellite-0", "text-0"]
    cache("clear", "--yes", "--modality", "satellite", folder=folder)
    assert stores(folder) == ["text-0"] and (folder / FILES / "x.memo").exists()


def test_what_cannot_be_removed_is_told(folder, monkeypatch):
    from typer.testing import CliRunner

    from geobind.cli.cache import app
    from geobind.errors import GeobindError

    def refuse(path, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("GEOBIND_CACHE", str(folder))
    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(GeobindError, match="cannot be removed: Permission denied"):
        CliRunner().invoke(app, ["clear", "--yes"], catch_exceptions=False)


def test_results_of_evaluations_are_counted_and_go_with_everything(folder):
    (folder / RESULTS).mkdir()
    (folder / RESULTS / "x.npz").write_bytes(bytes(1_500_000))
    assert cache("info", folder=folder).splitlines()[-1] == "1.5 MB of 1 evaluated pairs"
    cache("clear", "--modality", "satellite", "--yes", folder=folder)
    assert (folder / RESULTS / "x.npz").exists()
    cache("clear", "--yes", folder=folder)
    assert not (folder / RESULTS).exists()

"""What all studies share."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from geobind import progress
from geobind.errors import SpaceError
from geobind.studies.work import (
    bind_into,
    datasets_of,
    evaluate_space,
    folder_size_mb,
    forget_peak_memory,
    fresh,
    peak_memory_mb,
    quiet,
    space_in,
    stopwatch,
    subject_of,
    working_folder,
)


def test_bind_and_evaluate_leave_one_line(plan, tmp_path, capsys):
    toy = plan()
    run = bind_into(toy, toy.stages, fresh(tmp_path))
    assert run.state["status"] == "finished" and run.path.parent == tmp_path / "runs"
    assert capsys.readouterr().err.startswith("bound b, c in ")
    result = evaluate_space(space_in(tmp_path), toy, split="test", modalities=["toy_a", "toy_c"], ks=(1, 3))
    assert capsys.readouterr().err == ""
    assert result.ks == (1, 3) and len(result.results) == 2
    assert len(datasets_of(toy)) == 1  # both stages name the same one
    assert subject_of(space_in(tmp_path), toy, split="val").embedded("toy_b").vectors.shape == (20, 8)
    with pytest.raises(SpaceError, match="has left its space"):
        fresh(tmp_path)


def test_quiet_keeps_the_signs_of_life(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LOG_EVERY_S", 0.0)
    with quiet():
        progress.say("nobody asks")
        with progress.track("features of sounds", 4, "items") as advance:
            advance(2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("features of sounds: 2/4 items") and lines[0].endswith("s to go")


def test_working_folders(tmp_path):
    with working_folder(None, "x") as folder:
        (folder / "file").write_bytes(bytes(2_000_000))
        assert folder_size_mb(folder) == 2.0
    assert not folder.exists()
    with working_folder(tmp_path, "x") as folder:
        assert folder == tmp_path / "x"
    assert folder.is_dir()


def test_memory_and_time_are_of_this_process():
    before, seconds = peak_memory_mb(), stopwatch()
    block = np.ones(25_000_000)  # 200 MB, touched
    assert block.sum() and 10 < before <= peak_memory_mb() < 1e6
    assert 0 < seconds() < 60


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone can begin a peak anew")
def test_a_peak_is_forgotten():
    block = np.ones(40_000_000)  # 320 MB
    assert block.all()
    del block
    high = peak_memory_mb()
    forget_peak_memory()
    assert peak_memory_mb() < high - 200

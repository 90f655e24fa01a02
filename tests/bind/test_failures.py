"""What ends a run, what does not, and that nothing is lost either way (docs: "When something goes wrong")."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path

import pytest
import torch

import geobind
from geobind.bind.binder import bind
from geobind.bind.losses import InfoNCE
from geobind.errors import DataError, GeobindError
from geobind.plan import load_plan
from geobind.plugins import get_plugins
from geobind.weights import load_torch


def hashes(space: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (space / "towers").iterdir()}


def checkpoints(tmp_path: Path, stage: str) -> list[dict]:
    return [load_torch(file) for file in sorted((tmp_path / "runs").glob(f"*/{stage}/checkpoint-*.pt"))]


@pytest.fixture
def start(toy_recipe, write_recipe, tmp_path):
    """Bind the toy recipe with some overrides, or resume it."""
    path = write_recipe(toy_recipe)

    def run(*overrides: str, space: str = "space", **options):
        plan = load_plan(str(path), get_plugins(), ["defaults.checkpoints={every_steps: 2}", *overrides])
        return bind(plan, plan.stages, space=tmp_path / space, runs=tmp_path / "runs", **options)

    return run


def test_a_loss_that_is_not_finite_leaves_the_last_good_checkpoint(start, tmp_path, monkeypatch):
    whole = start(space="calm")
    real, calls = InfoNCE.forward, 0

    def poisoned(self, anchor, modality, positives):
        nonlocal calls
        calls += self.training
        value = real(self, anchor, modality, positives)
        return value * float("nan") if calls == 6 else value

    monkeypatch.setattr(InfoNCE, "forward", poisoned)
    with pytest.raises(GeobindError, match=r"the loss is nan .stage 'b', epoch 2, step 1.*optim.lr"):
        start()
    (state,) = checkpoints(tmp_path, "b")
    assert state["at"] == {"epoch": 1, "step": 0}
    assert all(torch.isfinite(value).all() for value in state["parts"]["modality.head"].values())
    monkeypatch.setattr(InfoNCE, "forward", real)
    start(resume=True)
    assert hashes(tmp_path / "space") == hashes(tmp_path / "calm")
    assert whole.state["status"] == "finished"


def test_an_unreadable_item_in_the_middle_of_an_epoch_is_left_out_and_named(start, tmp_path, capsys):
    """Stage b meets it while features are computed, stage c in a step."""
    run = start("defaults.dataset.bad=3")
    told = capsys.readouterr().err
    assert "left out: row 3 is bad (toy)" in told
    for stage in ("b", "c"):
        assert (run.path / stage / "unreadable.txt").read_text().splitlines() == ["row 3 is bad (toy)."]
    lines = [json.loads(line) for line in (run.path / "c" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8, 12]


def test_too_many_unreadable_items_end_the_run_before_it_trains(start, tmp_path):
    with pytest.raises(DataError, match="row 3 is bad.*1 of 140 toy_a items.*max_unreadable = 0"):
        start("defaults.dataset.bad=3", "stages.b.max_unreadable=0")
    assert not (tmp_path / "space").exists()


def test_too_many_unreadable_items_in_the_middle_of_an_epoch_end_the_run_with_its_state_saved(start, tmp_path):
    broken = ["defaults.dataset={type: toy, bad: 3, bad_in: toy_c}", "stages.c.max_unreadable=0"]
    with pytest.raises(DataError, match="row 3 is bad.*0.7% of the items, more than max_unreadable"):
        start(*broken)
    assert len(checkpoints(tmp_path, "c")) == 1
    assert geobind.load(tmp_path / "space").towers.keys() == {"toy_a", "toy_b"}


def test_a_worker_that_dies_ends_the_run_with_its_state_saved(start, tmp_path, monkeypatch):
    from geobind.bind.feed import sides

    start(space="calm")
    parent, real = os.getpid(), sides.ItemSide.prepare
    flag = tmp_path / "armed"
    flag.touch()

    def deadly(self, rows, seed):
        if os.getpid() != parent and flag.exists() and seed % 3 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, rows, seed)

    monkeypatch.setattr(sides.ItemSide, "prepare", deadly)
    with pytest.raises(GeobindError, match="a process that prepares items died.*--resume"):
        start("stages.c.workers=2")
    assert len(checkpoints(tmp_path, "c")) == 1
    flag.unlink()
    start("stages.c.workers=2", resume=True)
    assert hashes(tmp_path / "space") == hashes(tmp_path / "calm")


def test_a_full_disk_ends_the_run_and_leaves_the_last_checkpoint(start, tmp_path, monkeypatch):
    import errno

    start(space="calm")
    real, written = os.fsync, 0

    def full(handle):
        nonlocal written
        if ".pt" in str(Path(f"/proc/self/fd/{handle}").readlink()):
            written += 1
            if written == 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GeobindError, match="disk|space"):
        start()
    (state,) = checkpoints(tmp_path, "b")
    assert state["at"]["epoch"] * 4 + state["at"]["step"] == 4
    assert not list((tmp_path / "runs").rglob("*.part"))
    start(resume=True)
    assert hashes(tmp_path / "space") == hashes(tmp_path / "calm")

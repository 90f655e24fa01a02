"""Fixtures of the tests of binding: a training that is stopped halfway, and work that processes share."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import torch

from geobind.bind import trainer as trainer_module
from geobind.bind.interrupt import Interrupted

TOY = Path(__file__).resolve().parents[1] / "toy_modality.py"


@pytest.fixture
def stopped_after():
    """``with stopped_after(steps):`` what is trained inside is asked to stop after that many steps, and does."""

    @contextmanager
    def stopped(steps):
        left = iter(range(steps))
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
            asked = nullcontext(lambda: next(left, None) is None)
            patch.setattr(trainer_module, "stop_requests", lambda: asked)
            yield

    return stopped


@pytest.fixture(scope="session")
def torchrun():
    """``geobind bind`` of a toy recipe by one process, or by several; its space and runs lie in ``folder``."""

    def run(processes, folder, recipe, *options):
        several = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        launcher = [sys.executable, *(several if processes > 1 else [])]
        command = ["-m", "geobind", "--plugin", str(TOY), "bind", "--recipe", str(recipe)]
        places = ["--space", str(folder / "space"), "--runs", str(folder / "runs"), *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GEOBIND_CACHE": str(folder / "cache")}
        return subprocess.run(
            [*launcher, *command, *places], check=False, capture_output=True, text=True, timeout=240, env=environment
        )

    return run


@pytest.fixture
def in_two_processes(tmp_path):
    """What each of two processes saves of the cases, when both run a case file as a script."""

    def run(script, cases):
        torch.save(cases, tmp_path / "cases.pt")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        together = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
        processes = [
            subprocess.Popen([sys.executable, script, tmp_path], env={**together, "RANK": rank}) for rank in "01"
        ]
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
        return [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]

    return run

"""kill -9 at random moments: every time the run resumes, and its result is that of an undisturbed one, bit for bit."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).with_name("killed_runs.py")
KILLS = 50


def hashes(space: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (space / "towers").iterdir()}


def measured(home: Path) -> dict[str, list[dict]]:
    """What the metrics say, without times."""
    (run,) = (home / "runs").iterdir()
    found = {}
    for file in sorted(run.glob("*/metrics.jsonl")):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        found[file.parent.name] = [
            {
                key: value
                for key, value in line.items()
                if key not in ("time", "seconds", "pairs_per_s") and key[:5] != "time_"
            }
            for line in lines
        ]
    return found


@pytest.fixture
def eventful(toy_recipe, write_recipe):
    """A recipe whose state has everything: adapters' moments, averages, a queue, the best epoch, dropped items."""
    toy_recipe["defaults"]["dataset"] = {"type": "toy", "places": 600, "bad": 7}
    toy_recipe["defaults"]["loss"] = {"type": "infonce", "queue": 48}
    toy_recipe["defaults"]["checkpoints"] = {"every_steps": 3, "keep": 2}
    toy_recipe["defaults"]["validation"] = {"metric": "recall@5", "keep": "best"}
    toy_recipe["defaults"]["optim"] |= {"epochs": 12, "ema": 0.9, "micro_batch": 20}
    return write_recipe(toy_recipe)


def test_fifty_kills(eventful, tmp_path):
    def drive(folder: str, kills: int) -> dict[str, int]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GEOBIND_CACHE": str(tmp_path / folder / "cache")}
        command = [sys.executable, str(DRIVER), str(tmp_path / folder), str(eventful), str(kills), "5"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=400, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    drive("calm", 0)
    calm = tmp_path / "calm" / "run0"
    told = drive("killed", KILLS)
    assert told["kills"] == KILLS and told["checkpoints_read"] > KILLS // 4
    for run in range(told["finished"]):
        home = tmp_path / "killed" / f"run{run}"
        assert hashes(home / "space") == hashes(calm / "space")
        assert measured(home) == measured(calm)  # every epoch once, none lost
        assert not list(home.rglob("*.part")) and not list(home.rglob("*.pt"))

"""Bind again and again, killing each try at a random moment; run by ``test_kills.py`` in a process of its own.

Every try is a fork of this process, which has imported everything and computed nothing: so a try begins at once.

    python killed_runs.py FOLDER RECIPE KILLS SEED
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
import torch._dynamo  # optimisers import it, and in a try it would take longer than most tries live

from geobind.bind.binder import bind
from geobind.errors import SpaceError
from geobind.plan import load_plan
from geobind.plugins import get_plugins
from geobind.weights import load_torch

torch.set_num_threads(1)
get_plugins().load_file(Path(__file__).resolve().parents[1] / "toy_modality.py")


def attempt(plan, home: Path) -> int:
    """Go on with the run in ``home``, or start it, in a child; returns its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        options = {"space": home / "space", "runs": home / "runs"}
        try:
            bind(plan, plan.stages, **options, resume=True)
        except SpaceError:  # killed before there was a run
            bind(plan, plan.stages, **options)
        code = 0
    finally:
        os._exit(code)


def main(folder: Path, recipe: str, kills: int, seed: int) -> None:
    plan = load_plan(recipe, get_plugins())
    draw = random.Random(seed)
    done = run = 0
    checkpoints = 0
    while True:
        home = folder / f"run{run}"
        child = attempt(plan, home)
        if done < kills:
            time.sleep(draw.uniform(0.02, 0.8))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            done += 1
            checkpoints += check(home)
            continue
        assert status == 0, f"try ended with {status}"
        run += 1
        if done == kills:
            break
    print(json.dumps({"kills": done, "finished": run, "checkpoints_read": checkpoints}))


def check(home: Path) -> int:
    """Whatever a killed writer left can be read."""
    found = 0
    for file in home.rglob("*"):
        if file.suffix == ".part" or file.is_dir():
            continue
        if file.suffix == ".json":
            json.loads(file.read_text())
        elif file.suffix == ".pt":
            load_torch(file)
            found += 1
        elif file.name == "space.json":
            import geobind

            geobind.load(home / "space")
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

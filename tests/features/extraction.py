"""Victims for ``test_cache``: extractions that are killed, run together, or meet a full disk.

It imports torch once and forks; ``python extraction.py FOLDER`` prints what happened as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

import geobind
from geobind.data.items import Items
from geobind.errors import GeobindError
from geobind.features import store as feature_store
from geobind.features.cache import FeatureCache

TOTAL, BATCH, WIDTH = 110, 4, 1024
BLOCK = BATCH * 8
fork = get_context("fork")


class Victim(geobind.Encoder):
    embed_dim, throughput_batch = WIDTH, BATCH

    def __init__(self, log: Path, die_at_row: int = -1):
        super().__init__()
        torch.manual_seed(0)
        self.net = torch.nn.Linear(64, WIDTH)
        self.log, self.die_at_row = log, die_at_row

    def preprocess(self, item, *, train, generator=None):
        x = torch.randn(64, generator=torch.Generator().manual_seed(item))
        return {"x": x + torch.randn(64, generator=generator) if train else x}

    def forward(self, batch):
        with self.log.open("a") as file:
            file.write("x" * len(batch["x"]))
        if 0 <= self.die_at_row <= self.log.stat().st_size:
            die()
        return self.net(batch["x"])


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def extract(folder: Path, *, name: str, die_at_row: int = -1, die_at_write: tuple[int, int] = (-1, 0)) -> None:
    """Compute a view of all items; die at a forward, or in the n-th write after so many bytes."""
    torch.set_num_threads(1)
    write, writes = feature_store._write, 0

    def mortal_write(file, data):
        nonlocal writes
        writes += 1
        if writes == die_at_write[0]:
            os.write(file, data[: die_at_write[1]])
            die()
        write(file, data)

    feature_store._write = mortal_write
    keys = np.arange(TOTAL).astype(str)
    items = Items("toy", int, keys, keys)
    features = FeatureCache(folder).features(Victim(folder.with_suffix(f".{name}"), die_at_row), items, view=1)
    np.save(folder.with_suffix(f".{name}.npy"), features.gather(np.arange(TOTAL)).numpy())


def limited(folder: Path, bytes_: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, bytes_))
    try:
        extract(folder, name="before")
    except GeobindError as error:
        folder.with_suffix(".message").write_text(str(error))


def run(*targets) -> list[int]:
    """Run functions in forked processes, all at once; their exit codes."""
    processes = [fork.Process(target=target, args=args, kwargs=options) for target, args, options in targets]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def computed(folder: Path, name: str) -> int:
    log = folder.with_suffix(f".{name}")
    return log.stat().st_size if log.exists() else 0


def kept(folder: Path) -> int:
    return sum(store.items for store in feature_store.listed(folder))


def resumed(folder: Path, expected: np.ndarray) -> dict:
    result = {"kept": kept(folder), "computed_before": computed(folder, "before")}
    run((extract, (folder,), {"name": "after"}))
    result["computed_after"] = computed(folder, "after")
    result["equal"] = bool(np.array_equal(np.load(folder.with_suffix(".after.npy")), expected))
    return result


def main(folder: Path) -> None:
    whole = folder / "whole"
    run((extract, (whole,), {"name": "before"}))
    expected = np.load(whole.with_suffix(".before.npy"))
    results = {"total": TOTAL, "block": BLOCK, "width": WIDTH, "whole": {"computed": computed(whole, "before")}}

    moments = {f"row {row}": {"die_at_row": row} for row in (1, BLOCK, BLOCK + 9, 3 * BLOCK + 1)}
    moments |= {  # writes are features, index, features, index, …
        f"write {number}, byte {byte}": {"die_at_write": (number, byte)}
        for number, byte in [
            (1, 0),
            (1, 9999),
            (2, 0),
            (2, 40),
            (3, 5000),
            (4, 16),
            (4, 16 + 16 * BLOCK),
            (6, 100),
            (8, 7),
        ]
    }
    results["killed"] = {}
    for moment, options in moments.items():
        cache = folder / moment.replace(" ", "_")
        (code,) = run((extract, (cache,), {"name": "before", **options}))
        results["killed"][moment] = {"killed": code, **resumed(cache, expected)}

    together = folder / "together"
    run(*((extract, (together,), {"name": name}) for name in "ab"))
    results["together"] = [
        {"equal": bool(np.array_equal(np.load(together.with_suffix(f".{name}.npy")), expected))} for name in "ab"
    ]

    full = folder / "full"
    run((limited, (full, 2 * BLOCK * WIDTH * 4 + 5000), {}))
    results["full"] = {"message": full.with_suffix(".message").read_text(), **resumed(full, expected)}
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

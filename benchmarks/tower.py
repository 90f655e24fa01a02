"""A trainable image tower against a frozen text tower: geobind, open_clip's own trainer, and the hardware's limit.

    python benchmarks/tower.py            # needs the shared data folder beside the checkout

Both train the same 64-px ViT-tiny against the same frozen text transformer of as many tokens, on the same 2,000 real
EuroSAT pictures with the same batch and threads. The limit is forward + backward + optimiser of the image tower alone
on tensors already in memory. Each round runs the two trainers in processes of their own, one after the other, and
takes their epochs from the second on; the limit is measured in geobind's process, after its last epoch.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMAGES, BATCH, EPOCHS = 2000, 128, 3
MODEL = {
    "embed_dim": 192,
    "vision_cfg": {"image_size": 64, "layers": 12, "width": 192, "patch_size": 16, "head_width": 64},
    "text_cfg": {"context_length": 17, "vocab_size": 49408, "width": 192, "heads": 3, "layers": 12},
}
LR, DECAY = 5e-4, 0.2


def main() -> None:
    """Run both in turns and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/mini"))
    parser.add_argument("--workers", type=int, default=1, help="loader processes of open_clip_train")
    parser.add_argument("--part", choices=("geobind", "open_clip"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps((geobind if arguments.part == "geobind" else open_clip)(arguments.folder, arguments.workers)))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_data(arguments.data, Path(folder))
        rates: dict[str, list[float]] = {"geobind": [], "open_clip_train": [], "limit": []}
        for number in range(arguments.rounds):
            for part in ("geobind", "open_clip")[:: 1 if number % 2 else -1]:
                found = json.loads(child(part, Path(folder), arguments.workers))
                for name, rate in found.items():
                    rates[name].append(rate)
            print(f"round {number + 1}: " + ", ".join(f"{n} {r[-1]:.0f}/s" for n, r in rates.items()), flush=True)
    from paired import machine

    print(machine("open_clip_torch"))
    for name in ("open_clip_train", "limit"):
        ratios = [ours / other for ours, other in zip(rates["geobind"], rates[name], strict=True)]
        print(
            f"geobind {statistics.median(rates['geobind']):.0f} samples/s, "
            f"{name} {statistics.median(rates[name]):.0f}: "
            f"{statistics.median(ratios):.2f} times (rounds {min(ratios):.2f} to {max(ratios):.2f})"
        )


def child(part: str, folder: Path, workers: int) -> str:
    """Run one part in a process of its own; its last line is its result."""
    command = [sys.executable, __file__, "--part", part, "--folder", str(folder), "--workers", str(workers)]
    env = {**os.environ, "GEOBIND_CACHE": str(folder / "cache")}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    if done.returncode:
        sys.exit(f"{part} failed:\n{done.stderr[-4000:]}")
    return done.stdout.strip().splitlines()[-1]


def write_data(data: Path, folder: Path) -> None:
    """The same pictures and captions, as each of the two wants them."""
    import pyarrow.parquet as pq

    rows = pq.read_table(data / "manifest.parquet").to_pylist()
    rows = [row for row in rows if row["modality"] == "satellite" and row["source"] == "EuroSAT"][:IMAGES]
    assert len(rows) == IMAGES
    table = [(str((data / row["path"]).resolve()), row["caption"]) for row in rows]
    with (folder / "open_clip.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerows([("filepath", "title"), *table])
    with (folder / "geobind.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("satellite", "text", "split"), *[(*row, "train") for row in table]])
    (folder / "bench.json").write_text(json.dumps(MODEL))


def geobind(folder: Path, workers: int) -> dict[str, float]:
    """Samples per second of ``geobind bind``, and of its image tower alone."""
    import torch
    import yaml
    from geobind_satellite.open_clip import OpenClipText

    from geobind.bind.binder import bind
    from geobind.plan import load_plan
    from geobind.plugins import get_plugins

    recipe = {
        "space": {"dim": MODEL["embed_dim"]},
        "anchor": {
            "modality": "satellite",
            "encoder": {"type": "open_clip", "model": MODEL},
            "head": {"type": "identity"},
        },
        "stages": [
            {
                "name": "text",
                "modality": "text",
                "train": "anchor",
                "encoder": {"type": "open_clip", "model": MODEL},
                "head": {"type": "identity"},
                "dataset": {
                    "type": "manifest",
                    "path": str(folder / "geobind.csv"),
                    "split": "split",
                    "origin": "captions from true metadata",
                    "items": {"satellite": {"column": "satellite"}, "text": {"column": "text", "text": True}},
                },
                "optim": {
                    "epochs": EPOCHS,
                    "batch_size": BATCH,
                    "lr": LR,
                    "weight_decay": DECAY,
                    "grad_clip": None,
                    "precision": "fp32",
                },
            }
        ],
    }
    (folder / "bench.yaml").write_text(yaml.safe_dump(recipe))
    plan = load_plan(str(folder / "bench.yaml"), get_plugins())
    # geobind refuses to freeze a random tower, and nothing better is at hand here: for a timing it is all the same.
    OpenClipText.load_pretrained = lambda self: "random, for a timing"  # type: ignore[method-assign]
    run = bind(plan, plan.stages, space=folder / f"space{os.getpid()}", runs=folder / f"runs{os.getpid()}")
    lines = (run.path / "text" / "metrics.jsonl").read_text().splitlines()
    rates = [json.loads(line)["pairs_per_s"] for line in lines][1:]

    tower = plan.anchor.build().train()
    optimizer = torch.optim.AdamW(tower.parameters(), lr=LR, weight_decay=DECAY, fused=True)
    image = torch.randint(256, (BATCH, 3, 64, 64), dtype=torch.uint8)
    target = torch.randn(BATCH, MODEL["embed_dim"])

    def epoch() -> float:
        start = time.perf_counter()
        steps = IMAGES // BATCH
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            z = torch.nn.functional.normalize(tower({"image": image}), dim=-1)
            (z * target).sum().backward()
            optimizer.step()
        return steps * BATCH / (time.perf_counter() - start)

    epoch()
    return {"geobind": statistics.median(rates), "limit": statistics.median(epoch() for _ in range(EPOCHS - 1))}


def open_clip(folder: Path, workers: int) -> dict[str, float]:
    """Samples per second of ``python -m open_clip_train.main``, its epochs timed from outside."""
    import open_clip as library
    import open_clip_train.main as trainer

    library.add_model_config(folder / "bench.json")
    rates = []
    train = trainer.train_one_epoch

    def timed(*args: object, **kwargs: object) -> None:
        start = time.perf_counter()
        train(*args, **kwargs)
        rates.append(IMAGES // BATCH * BATCH / (time.perf_counter() - start))

    trainer.train_one_epoch = timed
    options = {
        "train-data": folder / "open_clip.csv",
        "csv-separator": "\t",
        "model": "bench",
        "batch-size": BATCH,
        "epochs": EPOCHS,
        "lr": LR,
        "wd": DECAY,
        "warmup": IMAGES // BATCH * EPOCHS // 10,
        "workers": workers,
        "precision": "fp32",
        "logs": folder / "logs",
        "save-frequency": 0,
        "name": f"bench{os.getpid()}",
    }
    trainer.main(
        [*(f"--{key}={value}" for key, value in options.items()), "--lock-text", "--lock-text-freeze-layer-norm"]
    )
    return {"open_clip_train": statistics.median(rates[1:])}


if __name__ == "__main__":
    main()

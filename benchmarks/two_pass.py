"""What an exact large batch costs: micro-batches in two passes against plain micro-batches, in time and in memory.

    python benchmarks/two_pass.py [--batch 4096 --micro 64 --rounds 5]

A 64-px ViT-tiny learns against stored embeddings. *Two passes*: the loss over the whole batch. *Plain*: as many
micro-batches, each with a loss of its own (what gradient accumulation does, with other negatives). Memory is the
largest resident set of a fresh process that does one such batch, libraries included; and what it grew by.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from paired import machine, paired, report

from geobind.bind.feed.sides import Side
from geobind.bind.gradients import accumulate
from geobind.bind.losses import build_infonce
from geobind.bind.parallel.distributed import World
from geobind.bind.phases import Phases
from geobind.bind.precision import Precision
from geobind.builtin import InfoNCEConfig
from geobind.loss import Positives

DIM = 192


class Pictures(Side):
    """A ViT-tiny over pictures in memory."""

    def __init__(self) -> None:
        import timm

        self.tower = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0, pretrained=False).train()

    def prepare(self, rows, seed): ...
    def collate(self, samples, keep): ...
    def embed_all(self, rows, on_error): ...

    def embed(self, inputs):
        """Embeddings of uint8 pictures."""
        return torch.nn.functional.normalize(self.tower(inputs.float() / 128 - 1), dim=-1)


class Stored(Pictures):
    """Embeddings that are at hand."""

    def __init__(self) -> None:
        self.tower = torch.nn.Identity()

    def embed(self, inputs):
        """As they are."""
        return inputs


def work(batch: int, micro: int):
    """The two ways to go through one batch."""
    sides = Pictures(), Stored()
    loss = build_infonce(InfoNCEConfig())
    images = torch.randint(256, (batch, 3, 64, 64), dtype=torch.uint8)
    stored = torch.nn.functional.normalize(torch.randn(batch, DIM), dim=1)
    ids = torch.arange(batch)
    optimizer = torch.optim.AdamW(sides[0].tower.parameters(), fused=True)

    def gradient(rows, chunks):
        parts = rows.tensor_split(chunks)
        accumulate(
            sides,
            loss,
            [(images[part], stored[part]) for part in parts],
            Positives(rows, rows),
            seed=0,
            dim=DIM,
            precision=Precision("fp32", ""),
            world=World(),
            phases=Phases("cpu"),
            device="cpu",
        )

    def two_passes() -> None:
        optimizer.zero_grad()
        gradient(ids, batch // micro)
        optimizer.step()

    def plain() -> None:
        optimizer.zero_grad()
        for part in ids.split(micro):
            gradient(part, 1)
        optimizer.step()

    return {"plain": plain, "two passes": two_passes}


def peak(name: str, batch: int, micro: int) -> dict[str, float]:
    """Resident memory in MB of a fresh process, before and at most during one batch."""

    def resident(key: str) -> float:
        (line,) = (row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(key))
        return int(line.split()[1]) / 1e3

    ways = work(batch, micro)
    before = resident("VmRSS")
    ways[name]()
    return {"before": before, "peak": resident("VmHWM")}


def main() -> None:
    """Time both in one process, and measure the memory of each in its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--micro", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        print(json.dumps(peak(arguments.memory_of, arguments.batch, arguments.micro)))
        return
    ways = work(arguments.batch, arguments.micro)
    print(machine("timm"))
    report(paired(ways, arguments.rounds), baseline="plain")
    found = {}
    for name in ways:
        command = [
            sys.executable,
            __file__,
            "--memory-of",
            name,
            "--batch",
            str(arguments.batch),
            "--micro",
            str(arguments.micro),
        ]
        found[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{name}: {found[name]['before']:.0f} MB before, {found[name]['peak']:.0f} MB at most")
    print(f"memory: {found['two passes']['peak'] / found['plain']['peak']:.2f} times plain")


if __name__ == "__main__":
    main()

"""The contrastive losses, forward and backward, against the bare matrix products that they cannot do without.

    python benchmarks/infonce.py [--batch 16384] [--dim 512] [--rounds 5]

The products are the forward one, the same once more for the gradient (but for a batch whose matrix geobind keeps), and
the two of the gradient, into memory that is there already: in blocks of rows, and whole. The faster is the limit.
Memory is the growth of the process's peak in a process of its own, the gradients of both sides included.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from paired import machine, paired, report
from torch import Tensor
from torch.nn import functional as F

from geobind.bind.losses import InfoNCE, SigLIP
from geobind.bind.similarity import KEPT_BYTES
from geobind.builtin import InfoNCEConfig, SigLIPConfig
from geobind.loss import Loss, Positives

LOSSES: dict[str, Callable[[], Loss]] = {
    "InfoNCE, both directions": lambda: InfoNCE(InfoNCEConfig()),
    "the same, scale 100": lambda: InfoNCE(InfoNCEConfig(temperature=0.01)),
    "SigLIP": lambda: SigLIP(SigLIPConfig()),
}


def main() -> None:
    """Time all in turn, several times, and print medians, ratios and memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16_384)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", choices=tuple(LOSSES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    a, b = embeddings(options.batch, options.dim)
    if options.memory:
        print(extra_memory(LOSSES[options.memory](), a, b))
        return
    limits = {
        "products in rows": products(a, b, rows=min(1024, options.batch)),
        "products, whole": products(a, b, rows=options.batch),
    }
    losses = {name: step(build(), a, b) for name, build in LOSSES.items()}
    figures = paired(limits | losses, options.rounds)
    print(f"{options.batch} pairs, {options.dim} dimensions; {machine()}")
    report(figures, baseline=min(limits, key=lambda name: statistics.median(figures[name])))
    for name in LOSSES:
        command = [sys.executable, __file__, f"--batch={options.batch}", f"--dim={options.dim}", f"--memory={name}"]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        print(f"{name}: {float(found):.0f} MB more at the peak (the matrix alone: {4 * options.batch**2 / 1e6:.0f} MB)")


def embeddings(n: int, dim: int) -> tuple[Tensor, Tensor]:
    """Both sides of a batch, as leaves of a graph."""
    torch.manual_seed(0)
    a, b = (F.normalize(torch.randn(n, dim), dim=1).requires_grad_() for _ in range(2))
    return a, b


def step(loss: Loss, a: Tensor, b: Tensor) -> Callable[[], None]:
    """The loss of a batch of one-to-one pairs, and its gradients."""
    ids = torch.arange(len(a))

    def run() -> None:
        a.grad = b.grad = None
        torch.autograd.backward(loss(a, b, Positives(ids, ids)))

    return run


def products(a: Tensor, b: Tensor, rows: int) -> Callable[[], None]:
    """The matrix products alone."""
    a, b = a.detach(), b.detach()
    passes = 1 if 4 * len(a) * len(b) <= KEPT_BYTES else 2
    block, grad_a, grad_b = torch.empty(rows, len(b)), torch.empty_like(a), torch.zeros_like(b)

    def run() -> None:
        for start in range(0, len(a), rows):
            own = a[start : start + rows]
            part = block[: len(own)]
            for _ in range(passes):
                torch.mm(own, b.T, out=part)
            torch.mm(part, b, out=grad_a[start : start + rows])
            grad_b.addmm_(part.T, own)

    return run


def extra_memory(loss: Loss, a: Tensor, b: Tensor) -> float:
    """Growth of this process's peak by one step, MB; a small step first takes what the libraries take once."""
    step(loss, *embeddings(256, a.shape[1]))()
    before = status("VmRSS")
    step(loss, a, b)()
    return (status("VmHWM") - before) * 1024 / 1e6


def status(field: str) -> int:
    """A figure of this process, in kB as Linux tells it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


if __name__ == "__main__":
    main()

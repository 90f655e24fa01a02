"""A batch, two float64 towers and a loss, for tests of gradients in one process and in several."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from geobind.bind.feed.sides import Side
from geobind.bind.gradients import accumulate
from geobind.bind.losses import build_infonce, build_siglip
from geobind.bind.parallel.distributed import World
from geobind.bind.phases import Phases
from geobind.bind.precision import Precision
from geobind.builtin import InfoNCEConfig, SigLIPConfig
from geobind.loss import Positives

DIM = 5
LOSSES = {
    "infonce": lambda: build_infonce(InfoNCEConfig()),
    "one_way": lambda: build_infonce(InfoNCEConfig(direction="anchor_to_modality", label_smoothing=0.1)),
    "queue": lambda: build_infonce(InfoNCEConfig(queue=7)),
    "siglip": lambda: build_siglip(SigLIPConfig()),
}


class Arrays(Side):
    """A side whose inputs are tensors."""

    def __init__(self, tower: nn.Module) -> None:
        self.tower = tower  # type: ignore[assignment]

    def prepare(self, rows, seed):
        return rows, {}

    def collate(self, samples, keep):
        return samples[keep]

    def embed(self, inputs):
        return F.normalize(self.tower(inputs), dim=-1)

    def embed_all(self, rows, on_error):
        raise NotImplementedError


def tower(seed: int, *, frozen: bool = False, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(6, 16), nn.LayerNorm(16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, DIM)).double()
    return net.requires_grad_(not frozen)


def batch(pairs: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs of both sides and ids with some repetitions."""
    torch.manual_seed(9)
    ids = torch.from_numpy(np.random.default_rng(1).integers(pairs * 2 // 3, size=pairs))
    return torch.randn(pairs, 6, dtype=torch.float64), torch.randn(pairs, 6, dtype=torch.float64), ids


def gradients(
    loss_name: str,
    *,
    chunks: int = 1,
    world: World | None = None,
    frozen_anchor: bool = False,
    pairs: int = 23,
    dropout: float = 0.0,
    shares: list[int] | None = None,
    steps: int = 2,
) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of the second of two batches (the first one fills a queue).

    Args:
        loss_name: A key of ``LOSSES``.
        chunks: Micro-batches of this process.
        world: The processes.
        frozen_anchor: Whether the anchor's tower learns nothing.
        pairs: Size of the whole batch.
        dropout: Of both towers.
        shares: Pairs of each process; even by default.
        steps: Batches; their gradients are not added up.
    """
    world = world or World()
    sides = Arrays(tower(1, frozen=frozen_anchor, dropout=dropout)), Arrays(tower(2, dropout=dropout))
    loss = LOSSES[loss_name]().double()
    a, b, ids = batch(pairs)
    own = world.share(pairs) if shares is None else slice(sum(shares[: world.rank]), sum(shares[: world.rank + 1]))
    learning = {
        f"{name}.{key}": parameter
        for name, module in (("anchor", sides[0].tower), ("modality", sides[1].tower), ("loss", loss))
        for key, parameter in module.named_parameters()
        if parameter.requires_grad
    }
    value = torch.zeros(())
    for step in range(steps):
        for parameter in learning.values():
            parameter.grad = None
        x, y = a + step, b - step
        rows = torch.arange(pairs)[own]
        parts = [part for part in torch.tensor_split(rows, chunks) if len(part)]
        torch.set_default_dtype(torch.float64)  # of the embeddings of a process that has none
        value = accumulate(
            sides,
            loss,
            [(x[part], y[part]) for part in parts],
            Positives(ids[own], ids[own]),
            seed=step,
            dim=DIM,
            precision=Precision("fp32", ""),
            world=world,
            phases=Phases("cpu"),
            device="cpu",
        ).whole
        torch.set_default_dtype(torch.float32)
        world.sum_gradients(learning.values())
    return value.item(), {name: p.grad.clone() for name, p in learning.items() if p.grad is not None}


def main(folder: Path) -> None:
    """One of several processes: the gradients of all cases, as it sees them."""
    torch.set_num_threads(1)
    world = World.join()
    cases = torch.load(folder / "cases.pt", weights_only=True)
    torch.save([gradients(loss, world=world, **options) for loss, options in cases], folder / f"{world.rank}.pt")
    world.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

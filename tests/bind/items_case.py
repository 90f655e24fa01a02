"""A stage whose loss distils, in float64: its batch, its gradients, in one process and in several."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import geobind
from geobind.bind.losses import build_infonce
from geobind.bind.parallel.distributed import World
from geobind.bind.runs.run import Run
from geobind.bind.trainer import Trainer
from geobind.bind.training import StageTraining
from geobind.builtin import InfoNCEConfig
from geobind.config import Stage
from geobind.data.items import Items
from geobind.data.pairs import Pairs
from geobind.features.cache import FeatureCache
from geobind.loss import Loss
from geobind.space.heads import Tower

DIM, PLACES = 5, 4


class Numbers(geobind.Encoder):
    """Six numbers seen at four places; the number ``bad`` cannot be read."""

    throughput_batch = 8

    def __init__(self, seed: int, width: int, bad: float | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed_dim = width
        self.bad, self.called = bad, 0
        torch.manual_seed(seed)
        self.net = nn.Sequential(nn.Linear(6, PLACES * width), nn.Tanh(), nn.Dropout(dropout))

    def preprocess(self, item, *, train, generator=None):
        if self.bad is not None and item[0] == self.bad:
            raise geobind.DataError(f"{item[0]} cannot be read")
        return {"x": torch.as_tensor(item, dtype=torch.get_default_dtype())}

    def forward(self, batch):
        return self.features_and_tokens(batch)[0]

    def tokens(self, batch):
        return self.features_and_tokens(batch)[1]

    def features_and_tokens(self, batch):
        self.called += 1
        tokens = self.net(batch["x"]).unflatten(1, (PLACES, -1))
        return tokens.mean(1), tokens


class Exact(Tower):
    """A tower in whatever precision its encoder has."""

    def project(self, features_BE):
        return F.normalize(self.head(features_BE), dim=-1)


class Distil(Loss):
    """InfoNCE and the squared error to each teacher, through a linear map that learns."""

    def __init__(self, teachers: dict[str, geobind.Encoder]) -> None:
        super().__init__()
        self.contrastive = build_infonce(InfoNCEConfig())
        self._teachers = teachers
        self.dtypes: set[torch.dtype] = set()

    def forward(self, anchor, modality, positives):
        return self.contrastive(anchor, modality, positives)

    @property
    def teachers(self):
        return self._teachers

    def meet(self, tokens, batch, taught):
        assert len(tokens) == len(batch["x"]) == 1
        assert {name: list(seen.shape) for name, seen in taught.items()} == {
            name: [1, PLACES, teacher.embed_dim] for name, teacher in self.teachers.items()
        }
        self.maps = nn.ModuleDict({name: nn.Linear(tokens.shape[2], x.shape[2]) for name, x in taught.items()})

    def of_items(self, tokens, batch, taught):
        self.dtypes.add(tokens.dtype)
        return sum(
            F.mse_loss(self.maps[n](tokens), x.to(tokens), reduction="none").mean((1, 2)) for n, x in taught.items()
        )


def number(values, row):
    return values[row]


def items(modality: str, count: int, seed: int) -> Items:
    values = np.random.default_rng(seed).normal(size=(count, 6))
    values[:, 0] = np.arange(count)
    names = np.arange(count).astype(np.str_)
    key = np.char.add(f"{modality}-{seed}-", names)
    return Items(modality=modality, load=partial(number, values), place=names, key=key)


def pairs(count: int = 23, seed: int = 0) -> Pairs:
    labels = np.arange(count)
    return Pairs(items("a", count, seed), items("m", count, seed + 1), "id", "made up for tests", labels, labels)


def stage(**keys) -> Stage:
    optim = {"batch_size": 23, "precision": "fp32", "epochs": 2, **keys.pop("optim", {})}
    values = {"encoder": {}, "dataset": {}, "loss": {"type": "distil"}, "train": "both", "augment": False, **keys}
    return Stage(name="s", modality="m", optim=optim, **values)


def training(folder: Path, *, world: World | None = None, bad: float | None = None, dropout: float = 0.0, **keys):
    """A stage's training, with two teachers of unequal width."""
    world = world or World()
    run = Run.start(folder / f"runs{world.rank}", recipe="r", resolved={}, space=folder / "space", stages=["s"])
    teachers = {"one": Numbers(5, 7, bad), "other": Numbers(6, 3)}
    towers = (
        Exact(Numbers(1, 6, dropout=dropout), nn.Linear(6, DIM)),
        Exact(Numbers(2, 8, dropout=dropout), nn.Linear(8, DIM)),
    )
    for tower in towers:
        for parameter in tower.head.parameters():
            torch.manual_seed(3)
            nn.init.normal_(parameter)
    cache = FeatureCache(folder / "cache")
    return StageTraining(stage(**keys), towers, Distil(teachers), cache, run, world, "cpu", DIM)


def trainer_of(made: StageTraining, data: Pairs | None = None, val: Pairs | None = None) -> Trainer:
    strand, precision = made.strand(pairs() if data is None else data, val)
    return Trainer([strand], precision=precision, world=made.world, device="cpu", dim=DIM)


def gradients(folder: Path, **options) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of one batch of all pairs."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        trainer = trainer_of(training(folder, **options))
        drawn = next(trainer._drawn(lambda step, state: None))
        (value,) = trainer.gradients(drawn)
    finally:
        torch.set_default_dtype(before)
    named = {f"{name}.{key}": p for name, part in trainer.parts.items() for key, p in part.named_parameters()}
    return value.item(), {name: p.grad.clone() for name, p in named.items() if p.grad is not None}


def main(folder: Path) -> None:
    """One of several processes: the gradients of all cases, as it sees them."""
    torch.set_num_threads(1)
    world = World.join()
    cases = torch.load(folder / "cases.pt", weights_only=True)
    torch.save([gradients(folder, world=world, **options) for options in cases], folder / f"{world.rank}.pt")
    world.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

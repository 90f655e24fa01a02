"""A stage of 9-band images and texts that MaKA trains, in float64: the gradients of a batch, in one process or several.

Images are made up; student, anchor and teachers have random weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from geobind_sensors.image import Band, SensorImage
from torch import nn
from torch.nn import functional as F

import geobind
from geobind.bind.parallel.distributed import World
from geobind.bind.runs.run import Run
from geobind.bind.trainer import Trainer
from geobind.bind.training import StageTraining
from geobind.config import Stage
from geobind.data.items import Items
from geobind.data.pairs import Pairs
from geobind.features.cache import FeatureCache
from geobind.plugins import get_plugins
from geobind.space.heads import Tower

PAIRS, DIM = 11, 6
BANDS = tuple(Band(f"b{number}", 0.4 + 0.2 * number, "reflectance", 0.2, 0.1) for number in range(5))
TEACHERS = [
    {
        "name": "vit",
        "encoder": {"type": "timm", "model": "test_vit", "pretrained": False, "image_size": 64},
        "weight": 2.0,
    },
    {
        "name": "lite",
        "encoder": {"type": "efficientnet_lite0", "pretrained": False, "image_size": 96},
        "bands": ["b4", "b2", "b0"],
    },
    {
        "name": "same",
        "encoder": {"type": "timm", "model": "test_vit", "pretrained": False, "image_size": 32},
        "translate": False,
    },
]
"""Grids of 4 × 4, 3 × 3 and 2 × 2, widths of 64, 320 and 64; the student has 3 × 3 and 64."""


class Words(geobind.Encoder):
    """A number, as a text tower would give it."""

    embed_dim = 4

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(1, 4)

    def preprocess(self, item, *, train, generator=None):
        return {"x": torch.tensor([item / PAIRS], dtype=torch.get_default_dtype())}

    def forward(self, batch):
        return self.net(batch["x"]).tanh()


class Exact(Tower):
    """A tower in whatever precision its encoder has."""

    def project(self, features_BE):
        return F.normalize(self.head(features_BE), dim=-1)


def in_the_precision_of_its_weights(embed: nn.Module, given: tuple) -> tuple:
    ((pixels, wavelengths),) = given
    return ((pixels, wavelengths.to(embed.fclayer.w1.weight.dtype)),)


def image(row: int) -> SensorImage:
    values = np.random.default_rng(row).uniform(0, 0.4, (5, 30, 30)).astype("f4")
    return SensorImage(values, BANDS)


def pairs() -> Pairs:
    names, labels = np.arange(PAIRS).astype(np.str_), np.arange(PAIRS)
    sides = [
        Items(modality=modality, load=load, place=names, key=np.char.add(f"maka-{modality}-", names))
        for modality, load in (("text", int), ("multispectral", image))
    ]
    return Pairs(*sides, "id", "made up for tests", labels, labels)


def training(folder: Path, world: World, micro_batch: int | None = None, **keys) -> StageTraining:
    plugins = get_plugins()
    torch.manual_seed(1)
    student = plugins.encoder(
        "multispectral",
        {"type": "dynamic_vit", "width": 64, "depth": 1, "heads": 2, "patch": 10, "image_size": 30},
    ).build()
    student.trunk.patch_embed.register_forward_pre_hook(in_the_precision_of_its_weights)
    towers = Exact(Words(), nn.Linear(4, DIM)), Exact(student, nn.Linear(64, DIM))
    settings = {"type": "maka", "teachers": TEACHERS, "weight": 0.7, **keys}
    config = Stage(
        name="s",
        modality="multispectral",
        train="both",
        encoder={},
        dataset={},
        loss=settings,
        augment=False,
        optim={"batch_size": PAIRS, "micro_batch": micro_batch, "precision": "fp32"},
    )
    run = Run.start(folder / f"runs{world.rank}", recipe="r", resolved={}, space=folder / "space", stages=["s"])
    loss = plugins.loss(settings).build()
    return StageTraining(config, towers, loss, FeatureCache(folder / "cache"), run, world, "cpu", DIM)


def gradients(folder: Path, world: World | None = None, **options) -> tuple[float, float, dict[str, torch.Tensor]]:
    """The whole loss, its terms of items, and the gradients of one batch of all pairs."""
    world = world or World()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        made = training(folder, world, **options)
        strand, precision = made.strand(pairs(), None)
        trainer = Trainer([strand], precision=precision, world=world, device="cpu", dim=DIM)
        drawn = next(trainer._drawn(lambda step, state: None))
        (value,) = trainer.gradients(drawn)
    finally:
        torch.set_default_dtype(before)
    named = {f"{name}.{key}": p for name, part in trainer.parts.items() for key, p in part.named_parameters()}
    of_items = trainer.sums[list(trainer.averaged).index("item_loss")].item()
    return value.item(), of_items, {name: p.grad.clone() for name, p in named.items() if p.grad is not None}


def main(folder: Path) -> None:
    """One of several processes."""
    torch.set_num_threads(1)
    world = World.join()
    torch.save([gradients(folder, world, micro_batch=size) for size in (None, 2)], folder / f"{world.rank}.pt")
    world.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

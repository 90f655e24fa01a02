"""Losses that distil: what a stage needs for them, the teachers' features, and how loss and student meet.

Shapes: N items, t places, d' features of each.
"""

from __future__ import annotations

import numpy as np
import torch

from geobind.bind.parallel.distributed import World
from geobind.config import STORED, Stage
from geobind.data.items import Items
from geobind.errors import RecipeError
from geobind.features.cache import FeatureCache
from geobind.features.dense import Dense, DenseFeatures, example
from geobind.loss import Loss
from geobind.space.embed import hash_seed
from geobind.space.heads import Tower


def check_teachable(config: Stage, loss: Loss, world: World) -> None:
    """A loss with teachers needs a student that learns, and that sees what they see.

    Raises:
        RecipeError: The stage says otherwise.
        WeightsError: A teacher's weights are missing.
    """
    if not loss.teachers:
        return
    where = f"stage {config.name!r}, loss {config.loss['type']!r}"
    if config.train.modality in STORED:
        raise RecipeError(
            f"its teachers teach the {config.modality} encoder, of which train.modality = "
            f"{config.train.modality!r} lets nothing learn",
            where=where,
            fix="Set train.modality to full, lora or last_N, or take a loss without teachers.",
        )
    if config.augment:
        raise RecipeError(
            "its teachers have seen the plain items, and the student would see augmented ones",
            where=where,
            fix="Set augment: false.",
        )
    if world.size > 1 and config.optim.parallel == "fsdp":
        raise RecipeError("teachers and parallel: fsdp do not go together yet", where=where, fix="Take parallel: ddp.")


def teach(loss: Loss, items: Items, cache: FeatureCache, world: World, device: str) -> dict[str, DenseFeatures]:
    """Each teacher's dense features of all items, computed once and stored; none for a loss without teachers.

    Raises:
        DataError: No item can be read.
        PluginError: A teacher has no dense features, or not equally many of each item.
    """
    taught = {}
    for name, teacher in loss.teachers.items():
        teacher.to(device)
        _, _, tokens = example(teacher, items)
        dense = Dense(teacher, (tokens.shape[1], tokens.shape[2]))
        features = cache.features(dense, items, rank=world.rank, world=world.size, barrier=world.barrier)
        taught[name] = DenseFeatures(features, dense.shape)
        teacher.cpu()
    return taught


def introduce(loss: Loss, student: Tower, items: Items, taught: dict[str, DenseFeatures], seed: int) -> None:
    """Let a loss meet its student over one item; what it draws at random follows from the seed.

    Raises:
        PluginError: The student has no dense features.
        RecipeError: Student and teachers do not fit each other.
    """
    row, batch, tokens = example(student.encoder, items)
    of_item = {name: features.gather(np.array([row])).to(tokens.device) for name, features in taught.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(hash_seed(seed, 1))
        loss.meet(tokens.float(), batch, of_item)
    loss.to(tokens.device)

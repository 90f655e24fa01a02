"""Batches come whole, in order, the same from threads and from processes, and from any one on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import geobind
from geobind.bind.feed.loader import Batches, load
from geobind.bind.feed.sides import ItemSide
from geobind.data.items import Items
from geobind.space.heads import Tower


class Noisy(geobind.Encoder):
    """Adds noise to numbers; those divisible by 7 cannot be read."""

    embed_dim = 1

    def preprocess(self, item, *, train, generator=None):
        if item % 7 == 0:
            raise geobind.DataError(f"{item} cannot be read")
        return {"x": torch.tensor([float(item)]) + torch.randn(1, generator=generator)}


@pytest.fixture
def batches():
    names = np.arange(40).astype(np.str_)
    items = Items(modality="n", load=int, place=names, key=names)
    sides = [ItemSide(Tower(Noisy(), torch.nn.Identity()), items, augment=True) for _ in range(2)]
    rows = np.random.default_rng(0).permutation(40).reshape(5, 8)
    return Batches((sides[0], sides[1]), [np.stack([r, r[::-1]], axis=1) for r in rows], 3, seed=4)


def content(prepared):
    return (
        prepared.rows.tolist(),
        [[side["x"].tolist() for side in chunk] for chunk in prepared.chunks],
        prepared.unreadable,
    )


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("first", [0, 3])
def test_any_workers_and_any_beginning_give_the_same(batches, workers, first):
    wanted = [content(batches[step]) for step in range(first, 5)]
    assert [content(prepared) for prepared in load(batches, first=first, workers=workers)] == wanted


def test_unreadable_items_are_left_out_with_their_partners(batches):
    for step in range(5):
        prepared = batches[step]
        assert not (prepared.rows % 7 == 0).any() and len(prepared.chunks) == 3
        lost = {int(row) for row in batches.rows[step].ravel() if row % 7 == 0}
        assert {row for _, row, _ in prepared.unreadable} == lost
        readable = (batches.rows[step] % 7 != 0).all(axis=1)
        assert prepared.rows.tolist() == batches.rows[step][readable].tolist()
        assert sum(len(a["x"]) for a, _ in prepared.chunks) == readable.sum()
        values = torch.cat([a["x"] for a, _ in prepared.chunks])[:, 0]
        assert (values - torch.from_numpy(prepared.rows[:, 0])).abs().max() < 5


def test_an_epoch_that_is_left_early_leaves_no_thread(batches):
    import threading

    ahead = load(batches)
    next(ahead)
    ahead.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prepare")]

"""Embedding many items: order, size sorting and augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import geobind
from geobind.errors import DataError
from geobind.space.embed import embed, hash_seed


class Lengths(geobind.Encoder):
    """Items of unequal length, padded when batched: the sum must not notice."""

    embed_dim, throughput_batch = 1, 3

    def preprocess(self, item, *, train, generator=None):
        x = torch.as_tensor(item, dtype=torch.float32)
        return {"x": x + torch.randn(x.shape, generator=generator) if train else x}

    def collate(self, samples):
        return {"x": torch.nn.utils.rnn.pad_sequence([s["x"] for s in samples], batch_first=True)}

    def forward(self, batch):
        return batch["x"].sum(dim=1, keepdim=True)


items = [np.full(n % 7 + 1, n) for n in range(100)]


def test_order_is_kept_whatever_the_sizes():
    out = embed(Lengths(), items, Lengths())
    np.testing.assert_allclose(out[:, 0], [item.sum() for item in items])


def test_augmentation_depends_on_seed_and_row_alone():
    encoder = Lengths()
    whole = embed(encoder, items, encoder, seed=1)
    assert np.array_equal(whole, embed(encoder, items, encoder, seed=1))
    assert np.array_equal(whole[:10], embed(encoder, items[:10], encoder, seed=1))
    assert not np.array_equal(whole, embed(encoder, items, encoder, seed=2))


def test_advance_counts_every_item():
    counts = []
    embed(Lengths(), items, Lengths(), advance=counts.append)
    assert sum(counts) == 100


def test_no_items_is_an_error():
    with pytest.raises(DataError, match="no items"):
        embed(Lengths(), [], Lengths())


def test_hash_seed_separates_its_parts():
    assert len({hash_seed(a, b) for a in range(20) for b in range(20)}) == 400
    assert hash_seed(1, 2) == hash_seed(1, 2) != hash_seed(2, 1)

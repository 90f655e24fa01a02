"""Embedding many items: order, size sorting and augmentation."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

import geobind
from geobind.errors import DataError
from geobind.space.embed import block_size, embed, embed_blocks, hash_seed


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


class Fussy(Lengths):
    """Refuses some items."""

    refused = (0, 5, 30, *range(48, 72))

    def preprocess(self, item, *, train, generator=None):
        if int(item[0]) in self.refused:
            raise DataError(f"item {int(item[0])} is bad")
        return super().preprocess(item, train=train, generator=generator)


def test_unreadable_items_are_reported_and_nan_and_the_others_as_ever():
    errors, counts = {}, []
    out = embed(Fussy(), items, Fussy(), on_error=lambda row, e: errors.update({row: e.what}), advance=counts.append)
    assert errors == {row: f"item {row} is bad" for row in Fussy.refused} and sum(counts) == 100
    expected = embed(Lengths(), items, Lengths())
    expected[list(Fussy.refused)] = np.nan
    np.testing.assert_array_equal(out, expected)


def test_without_a_listener_the_first_unreadable_item_ends_the_work():
    with pytest.raises(DataError, match="item 0 is bad"):
        embed(Fussy(), items, Fussy())


def test_only_unreadable_items_are_an_error():
    with pytest.raises(DataError, match="none of the 10 items can be read"):
        embed(Fussy(), items[50:60], Fussy(), on_error=lambda row, error: None)


def test_blocks_come_as_they_are_done_and_do_not_depend_on_each_other():
    encoder = Lengths()
    size = block_size(encoder)
    assert size == 24
    blocks = [np.arange(at, min(at + size, 100)) for at in range(0, 100, size)]
    seeds = {row: 7 * row for row in range(100)}.__getitem__
    done = list(embed_blocks(encoder, items, encoder, blocks, seeds=seeds))
    assert [rows.tolist() for rows, _ in done] == [block.tolist() for block in blocks]
    for rows, values in embed_blocks(encoder, items, encoder, reversed(blocks), seeds=seeds):
        assert np.array_equal(values, done[rows[0] // size][1])
        assert not torch.is_inference_mode_enabled()


def test_blocks_leave_out_what_cannot_be_read():
    done = list(embed_blocks(Fussy(), items, Fussy(), [[0, 1], [5, 30], [2]], on_error=lambda row, error: None))
    assert [rows.tolist() for rows, _ in done] == [[1], [2]]


def test_work_that_is_abandoned_prepares_nothing_more():
    prepared = []

    class Slow(Lengths):
        def preprocess(self, item, *, train, generator=None):
            prepared.append(time.sleep(0.005))
            return super().preprocess(item, train=train)

    blocks = embed_blocks(Slow(), items, Slow(), [[0], range(100), range(100)])
    next(blocks)
    blocks.close()
    assert len(prepared) < 50


def test_hash_seed_separates_its_parts():
    assert len({hash_seed(a, b) for a in range(20) for b in range(20)}) == 400
    assert hash_seed(1, 2) == hash_seed(1, 2) != hash_seed(2, 1)

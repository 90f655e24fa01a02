"""Items of unequal kinds never share a batch: not in training, and not where features or embeddings are computed."""

from __future__ import annotations

from functools import partial

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

import geobind
from geobind.bind.feed.sampling import _spread, batch_count, epoch_batches
from geobind.bind.feed.sides import ItemSide
from geobind.bind.learn.learning import Learning
from geobind.bind.losses import build_siglip
from geobind.bind.parallel.distributed import World
from geobind.bind.strand import Strand
from geobind.bind.training import small_work
from geobind.builtin import SigLIPConfig
from geobind.config import Stage
from geobind.data.items import Items
from geobind.data.pairs import Pairs
from geobind.errors import DataError
from geobind.features.cache import FeatureCache
from geobind.space.embed import embed
from geobind.space.heads import Tower


class AnyLength(geobind.Encoder):
    """Means of rows of any length; a batch has one length, and what it says of itself is refused in another."""

    embed_dim = 1
    throughput_batch = 4

    def preprocess(self, item, *, train, generator=None):
        return {"x": torch.full((item[1], 2), float(item[0]))}

    def batch_key(self, sample):
        return len(sample["x"])

    def forward(self, batch):
        return batch["x"].mean((1, 2))[:, None]


def read(lengths, row):
    return row, lengths[row]


def items_of(modality, kinds, lengths=None):
    names = np.arange(len(kinds)).astype(np.str_)
    kind = None if kinds[0] is None else np.asarray(kinds).astype(np.str_)
    load = int if lengths is None else partial(read, list(lengths))
    return Items(modality=modality, load=load, place=names, key=np.char.add(f"{modality}-{lengths}", names), kind=kind)


def pairs_of(kinds_a, kinds_b, labels_a=None, labels_b=None):
    a, b = items_of("a", kinds_a), items_of("b", kinds_b)
    labels = [
        np.arange(len(side)) if given is None else np.asarray(given) for side, given in ((a, labels_a), (b, labels_b))
    ]
    return Pairs(a, b, "id", "made up for tests", *labels)


kinds = st.lists(st.sampled_from("xyz"), min_size=2, max_size=60)


@pytest.mark.parametrize("sampling", ["spread", "shuffle"])
@pytest.mark.parametrize("one_kind", [False, True])
def test_without_kinds_or_with_one_nothing_changes(sampling, one_kind):
    pairs = pairs_of(["x" if one_kind else None] * 50, [None] * 50)
    rng = np.random.default_rng(3)
    drawn = pairs.draw(rng)
    if sampling == "spread":
        drawn = drawn[_spread(pairs, drawn, rng)]
    found = epoch_batches(pairs, 16, sampling, np.random.default_rng(3))
    assert batch_count(pairs, 16) == len(found) == 3
    assert all(np.array_equal(batch, drawn[i * 16 : (i + 1) * 16]) for i, batch in enumerate(found))


@settings(deadline=None, max_examples=50)
@given(kinds, kinds, st.integers(1, 9), st.integers(0, 3), st.sampled_from(["spread", "shuffle"]))
def test_a_batch_is_of_one_kind_and_a_small_kind_is_met(kinds_a, kinds_b, size, seed, sampling):
    n = min(len(kinds_a), len(kinds_b))
    pairs = pairs_of(kinds_a[:n], kinds_b[:n])
    batches = epoch_batches(pairs, size, sampling, np.random.default_rng(seed))
    assert len(batches) == batch_count(pairs, size)
    found = [{(kinds_a[i], kinds_b[j]) for i, j in rows.tolist()} for rows in batches]
    assert all(len(kind) == 1 for kind in found)
    rows = np.concatenate(batches)
    assert len(np.unique(rows, axis=0)) == len(rows)
    groups = [(kinds_a[i], kinds_b[i]) for i in range(n)]
    for group in set(groups):
        number = groups.count(group)
        assert [len(batch) for batch, kind in zip(batches, found, strict=True) if kind == {group}] == (
            [size] * (number // size) or [number]
        )


def test_the_kinds_of_batches_are_mixed():
    pairs = pairs_of(["x"] * 80 + ["y"] * 80, [None] * 160)
    orders = []
    for seed in range(3):
        batches = epoch_batches(pairs, 8, "spread", np.random.default_rng(seed))
        orders.append("".join("xy"[int(rows[0, 0] >= 80)] for rows in batches))
    assert len(set(orders)) == 3
    assert all(order.count("xy") + order.count("yx") > 3 for order in orders)


def test_an_epoch_has_as_many_batches_whatever_partners_are_drawn():
    """Three captions of each place, which has a picture of either kind: how many are drawn of each is chance."""
    places = np.arange(20)
    pairs = pairs_of(["x", "y"] * 20, [None] * 60, np.repeat(places, 2), np.repeat(places, 3))
    counts = {len(epoch_batches(pairs, 7, "spread", np.random.default_rng(seed))) for seed in range(30)}
    assert counts == {batch_count(pairs, 7)}


def test_features_are_computed_kind_by_kind_and_keep_their_order(tmp_path):
    lengths = [3, 1, 3, 2, 1, 1, 3, 2, 2, 1, 3]
    items = items_of("m", [None] * 11, lengths)
    wanted = np.arange(11, dtype=np.float32)
    found = embed(AnyLength(), items, AnyLength())
    np.testing.assert_array_equal(found[:, 0], wanted)
    stored = FeatureCache(tmp_path).features(AnyLength(), items).gather(np.arange(11))
    np.testing.assert_array_equal(stored[:, 0].numpy(), wanted)


def test_kept_items_are_embedded_kind_by_kind():
    class Signed(Tower):
        def project(self, features_BE):
            return features_BE

    lengths = [3, 1, 3, 2, 1, 1, 3]
    side = ItemSide(Signed(AnyLength(), nn.Identity()), items_of("m", [None] * 7, lengths), augment=False)
    found = side.embed_all(slice(1, None), lambda row, error: pytest.fail(str(error)))
    np.testing.assert_array_equal(found[:, 0], np.arange(1, 7, dtype=np.float32))


def test_a_dataset_that_mixes_kinds_is_told_so():
    side = ItemSide(Tower(AnyLength(), nn.Identity()), items_of("m", [None] * 3, [2, 3, 2]), augment=False)
    samples, _ = side.prepare(np.arange(3), 0)
    with pytest.raises(DataError, match="m items of unequal kinds, 2 and 3, fell into one batch.*Items.kind"):
        side.collate(samples, np.arange(3))
    assert side.collate(samples, np.array([0, 2]))["x"].shape == (2, 2, 2)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_strand_steps_over_batches_of_one_kind(workers):
    lengths = [2] * 20 + [3] * 13
    b = items_of("b", ["two"] * 20 + ["three"] * 13, lengths)
    pairs = Pairs(items_of("a", [None] * 33, [1] * 33), b, "id", "made up for tests", np.arange(33), np.arange(33))
    towers = [Tower(AnyLength(), nn.Linear(1, 4)) for _ in range(2)]
    sides = ItemSide(towers[0], pairs.a, augment=False), ItemSide(towers[1], pairs.b, augment=False)
    optim = {"batch_size": 8, "micro_batch": 3}
    config = Stage(
        name="s", modality="b", train="both", encoder={}, dataset={}, augment=False, optim=optim, workers=workers
    )
    learning = tuple(Learning(tower, "full", config.lora) for tower in towers)
    strand = Strand(config, pairs, sides, learning, build_siglip(SigLIPConfig()), None, world=World(), device="cpu")
    assert strand.batches_per_epoch == 2 + 1
    met = [{b["x"].shape[1] for _, b in prepared.chunks} for _, prepared in strand.batches(0, 6)]
    assert sorted(map(list, met)) == [[2], [2], [2], [2], [3], [3]]
    assert small_work(pairs, sides, learning)().isfinite()

"""Positives against dense masks: whatever the ids and edges are, the sparse answers are the dense ones."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geobind.loss import Positives

ids = st.lists(st.integers(0, 6), min_size=1, max_size=12)
edges = st.none() | st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)))


def make(a, b, listed) -> tuple[Positives, torch.Tensor]:
    """Positives, and their mask by the definition."""
    a_ids, b_ids = torch.tensor(a), torch.tensor(b)
    if listed is None:
        return Positives(a_ids, b_ids), torch.tensor([[x == y for y in b] for x in a])
    width = max((y for _, y in listed), default=0) + 1
    codes = torch.tensor(sorted(x * width + y for x, y in listed), dtype=torch.int64)
    return Positives(a_ids, b_ids, codes, width), torch.tensor([[(x, y) in listed for y in b] for x in a])


def dense_mean(mask, values):
    return mask.double() @ values / mask.sum(1, keepdim=True).clamp(min=1)


@given(ids, ids, edges)
@settings(max_examples=150, deadline=None)
def test_all_answers_are_those_of_the_mask(a, b, listed):
    positives, mask = make(a, b, listed)
    for seen, expected in ((positives, mask), (positives.flipped(), mask.T), (positives.flipped().flipped(), mask)):
        assert torch.equal(seen.mask(), expected)
        assert torch.equal(seen.block(slice(1, 4)), expected[1:4])
        assert torch.equal(seen.count(), expected.sum(1))
        values = torch.randn(len(seen.b), 3, dtype=torch.float64)
        torch.testing.assert_close(seen.mean_of(values), dense_mean(expected, values))


@given(ids, ids, edges)
@settings(max_examples=50, deadline=None)
def test_gradient_of_the_mean_is_that_of_the_masked_mean(a, b, listed):
    positives, mask = make(a, b, listed)
    values = torch.randn(len(b), 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(len(a), 3, dtype=torch.float64)
    (found,) = torch.autograd.grad((positives.mean_of(values) * weight).sum(), values)
    (expected,) = torch.autograd.grad((dense_mean(mask, values) * weight).sum(), values)
    torch.testing.assert_close(found, expected)


def test_an_id_beyond_the_listed_ones_belongs_to_nobody():
    # 5 is no id of the second side in the list; as a bare code, 0 * 2 + 5 would be the edge (2, 1).
    positives = Positives(torch.tensor([0, 2]), torch.tensor([5, 1]), torch.tensor([1, 5]), 2)
    assert positives.mask().tolist() == [[False, True], [False, True]]


def test_a_long_list_costs_nothing_but_the_batch():
    a = torch.arange(100_000).repeat_interleave(5)
    listed = Positives(torch.tensor([7, 99_999]), torch.tensor([3, 4, 0]), a * 5 + torch.arange(5).repeat(100_000), 5)
    assert listed.mask().all()
    assert len(listed.links.a) == 6


def test_moves_between_devices_with_all_it_knows():
    positives, mask = make([0, 1, 2], [2, 1], {(0, 2), (2, 1)})
    moved = positives.flipped().to("cpu")
    assert torch.equal(moved.mask(), mask.T)
    assert moved.to("meta").edges.device.type == "meta"

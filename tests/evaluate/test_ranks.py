"""Ranks and average precision against known answers, a brute-force oracle and torchmetrics."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torchmetrics.functional.retrieval import (
    retrieval_average_precision,
    retrieval_hit_rate,
    retrieval_reciprocal_rank,
)

from geobind.errors import DataError, GeobindError
from geobind.evaluate.scores import measured
from geobind.ranks import rank_both

RULES = ("optimistic", "mean", "pessimistic")
same_function = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)


def unit(rng, n, dim=8):
    vectors = rng.standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def circle(*degrees):
    """Points of the unit circle: cosines of differences of angles, ties where we want them."""
    angles = np.radians(np.array(degrees, dtype=np.float64))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def oracle(similarity, positive, ties):
    """Rank of the best positive and average precision of one query, by writing the order out."""
    order = np.lexsort((positive if ties == "pessimistic" else ~positive, -similarity))
    hits = np.flatnonzero(positive[order]) + 1
    return hits[0], np.mean(np.arange(1, len(hits) + 1) / hits)


def mask(pairs):
    if pairs.edges is None:
        return pairs.label_a[:, None] == pairs.label_b[None, :]
    found = np.zeros((len(pairs.a), len(pairs.b)), dtype=bool)
    found[tuple(pairs.edges.T)] = True
    return found


def test_known_answer(labelled):
    # Query 0 at 0°, query 1 at 90°; the gallery at 10°, 20°, 80°. Each query's own items carry its label.
    pairs = labelled([0, 1], [1, 0, 0])
    there, back = rank_both(circle(0, 90), circle(10, 20, 80), pairs)
    assert there.rank.tolist() == [2, 3]  # 0°: 10° first, then its 20°; 90°: 80°, 20°, then its 10°
    assert there.average_precision.tolist() == pytest.approx([(1 / 2 + 2 / 3) / 2, 1 / 3])
    assert back.rank.tolist() == [2, 1, 2]
    assert (there.gallery, back.gallery) == (3, 2)
    assert there.positives.tolist() == [2, 1]


def test_listed_pairs_known_answer(listed):
    pairs = listed([(0, 1), (0, 2), (1, 0)])
    there, back = rank_both(circle(0, 90), circle(10, 20, 80), pairs)
    assert there.rank.tolist() == [2, 3]
    assert back.rank.tolist() == [2, 1, 2]


@pytest.mark.parametrize("ties", ["optimistic", "pessimistic"])
@pytest.mark.parametrize("seed", range(5))
def test_equals_the_oracle_with_many_ties(labelled, listed, ties, seed):
    rng = np.random.default_rng(seed)
    a, b = (circle(*(30 * rng.integers(0, 12, n))) for n in (23, 31))
    edges = {(i, int(rng.integers(31))) for i in range(23)} | {(int(rng.integers(23)), j) for j in range(31)}
    labels = [np.concatenate([np.arange(4), rng.integers(0, 4, n - 4)]) for n in (23, 31)]
    for pairs in (labelled(*labels), listed(sorted(edges))):
        similarity, positive = np.round(a.astype(np.float64) @ b.T, 5), mask(pairs)
        there, back = rank_both(a, b, pairs, ties=ties)
        for ranking, s, p in ((there, similarity, positive), (back, similarity.T, positive.T)):
            expected = [oracle(s[i], p[i], ties) for i in range(len(s))]
            assert ranking.rank.tolist() == [rank for rank, _ in expected]
            assert ranking.average_precision == pytest.approx([precision for _, precision in expected])


@pytest.mark.parametrize("seed", range(5))
def test_equals_torchmetrics(labelled, seed):
    rng = np.random.default_rng(seed)
    labels = [np.concatenate([np.arange(5), rng.integers(0, 5, n - 5)]) for n in (17, 26)]
    pairs, a, b = labelled(*labels), unit(rng, 17), unit(rng, 26)
    there, back = rank_both(a, b, pairs)
    for ranking, s, p in ((there, a @ b.T, mask(pairs)), (back, b @ a.T, mask(pairs).T)):
        # torchmetrics leaves positives out whose score is not above 0: cosines are shifted.
        rows = [(torch.from_numpy(s[i] + 2), torch.from_numpy(p[i].copy())) for i in range(len(s))]
        assert ranking.average_precision == pytest.approx([float(retrieval_average_precision(*row)) for row in rows])
        assert 1 / ranking.rank == pytest.approx([float(retrieval_reciprocal_rank(*row)) for row in rows])
        recall = measured(ranking, (1, 3, 10)).recall
        for k, share in recall.items():
            assert share == pytest.approx(np.mean([float(retrieval_hit_rate(*row, top_k=k)) for row in rows]))


@pytest.mark.parametrize("positives,negatives", [(1, 3), (2, 2), (3, 2), (1, 0)])
def test_mean_is_the_expected_rank_of_a_random_order(labelled, positives, negatives):
    # One better negative, then all others alike.
    pairs = labelled([0, 1], [1, *[0] * positives, *[1] * negatives])
    gallery = circle(0, *[40] * (positives + negatives))
    there, _ = rank_both(circle(0, 180), gallery, pairs)
    orders = set(itertools.permutations([True] * positives + [False] * negatives))
    assert there.rank[0] == pytest.approx(1 + np.mean([order.index(True) + 1 for order in orders]))


def test_a_collapsed_space_has_the_mean_rank_of_chance(labelled):
    rng = np.random.default_rng(0)
    labels = [np.concatenate([np.arange(3), rng.integers(0, 3, n - 3)]) for n in (203, 317)]
    vectors = [np.repeat(unit(rng, 1, 512), n, axis=0) for n in (203, 317)]
    for ranking in rank_both(*vectors, labelled(*labels), chunk=50):
        assert ranking.rank == pytest.approx((ranking.gallery + 1) / (ranking.positives + 1))


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1000])
@pytest.mark.parametrize("ties", RULES)
def test_any_chunk_gives_the_same(labelled, listed, chunk, ties):
    rng = np.random.default_rng(1)
    # Half of the gallery twice: equal items must tie whatever the shape of the product they come from.
    a, b = unit(rng, 53, 512), np.repeat(unit(rng, 40, 512), 2, axis=0)
    edges = [(i, i) for i in range(53)] + [(i % 53, i) for i in range(53, 80)]
    for pairs in (labelled(np.arange(53) % 6, np.arange(80) % 6), listed(edges)):
        for whole, parts in zip(
            rank_both(a, b, pairs, ties=ties), rank_both(a, b, pairs, ties=ties, chunk=chunk), strict=True
        ):
            assert parts.rank.tolist() == whole.rank.tolist()
            assert parts.average_precision.tolist() == whole.average_precision.tolist()


@same_function
@given(st.data())
def test_properties(labelled, data):
    angles = st.integers(0, 11).map(lambda step: 30 * step)
    n_a, n_b, groups = data.draw(st.integers(3, 12)), data.draw(st.integers(3, 12)), data.draw(st.integers(1, 3))
    a, b = (circle(*data.draw(st.lists(angles, min_size=n, max_size=n))) for n in (n_a, n_b))
    labels = [np.arange(n) % groups for n in (n_a, n_b)]
    by_rule = {ties: rank_both(a, b, labelled(*labels), ties=ties)[0] for ties in RULES}

    # The tie rules bracket each other.
    low, middle, high = (by_rule[ties] for ties in RULES)
    assert (low.rank <= middle.rank).all() and (middle.rank <= high.rank).all()
    assert (low.average_precision >= middle.average_precision - 1e-12).all()
    assert (middle.average_precision >= high.average_precision - 1e-12).all()
    # A rank is at most the gallery less the other positives; the first positive bounds the precision from above.
    assert (high.rank <= n_b - high.positives + 1).all() and (low.rank >= 1).all()
    # R@k grows with k, up to 1.
    recall = list(measured(middle, range(1, n_b + 1)).recall.values())
    assert recall == sorted(recall) and recall[-1] == 1
    # The order of the gallery and of the queries is of no importance.
    rows, columns = (np.array(data.draw(st.permutations(range(n)))) for n in (n_a, n_b))
    for ties, ranking in by_rule.items():
        moved = rank_both(a[rows], b[columns], labelled(labels[0][rows], labels[1][columns]), ties=ties)[0]
        assert moved.rank.tolist() == ranking.rank[rows].tolist()
        assert moved.average_precision == pytest.approx(ranking.average_precision[rows])


def test_refusals(labelled):
    rng = np.random.default_rng(0)
    a, b = unit(rng, 3), unit(rng, 3)
    with pytest.raises(GeobindError, match=r"unknown tie rule 'average'.*mean"):
        rank_both(a, b, labelled([0, 1, 2], [0, 1, 2]), ties="average")
    with pytest.raises(DataError, match=r"1 of 3 a items have no positive \(place '9'\)"):
        rank_both(a, b, labelled([0, 9, 2], [0, 0, 2]))
    with pytest.raises(DataError, match=r"3 b items have embeddings of shape \(2, 8\)"):
        rank_both(a, b[:2], labelled([0, 1, 2], [0, 1, 2]))
    with pytest.raises(DataError, match="there are no a items"):
        rank_both(a[:0], b[:0], labelled([], []))
    b[1, 4] = np.nan
    with pytest.raises(DataError, match=r"1 of 3 b embeddings are not finite \(row 1\)"):
        rank_both(a, b, labelled([0, 1, 2], [0, 1, 2]))

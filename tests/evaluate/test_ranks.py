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
    retrieval_normalized_dcg,
    retrieval_reciprocal_rank,
)

from geobind.data.geo import great_circle_km
from geobind.data.pairs import Pairs
from geobind.errors import DataError, GeobindError
from geobind.evaluate.scores import chance, measured
from geobind.ranks import TIE_WIDTH, layers, rank_both, tiles

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


def everything(ranking):
    """All that a ranking holds, to be compared exactly."""
    return [
        ranking.rank.tolist(),
        ranking.average_precision.tolist(),
        *({k: values.tolist() for k, values in by_k.items()} for by_k in (ranking.precision_at, ranking.ndcg_at)),
        {k: np.nan_to_num(values, nan=-1).tolist() for k, values in ranking.nearest_km.items()},
    ]


@pytest.fixture
def several(labelled):
    """Queries of one to nine positives, half of the gallery twice, all with coordinates."""
    rng = np.random.default_rng(3)
    a, b = unit(rng, 110, 512), unit(rng, 90, 512)
    b[50:] = b[:40]
    labels = [np.concatenate([np.arange(30), rng.integers(0, 30, n - 30)]) for n in (110, 90)]
    pairs = labelled(*labels)
    places = [np.stack([rng.uniform(-90, 90, n), rng.uniform(-180, 180, n)], axis=1) for n in (110, 90)]
    pairs.a.__dict__["lat_lon"], pairs.b.__dict__["lat_lon"] = places
    return a, b, pairs


@pytest.mark.parametrize("ties", RULES)
def test_equals_float64(several, ties):
    a, b, pairs = several
    cosines = a.astype(np.float64) @ b.T.astype(np.float64)
    positive = mask(pairs)
    for ranking, s, p in zip(
        rank_both(a, b, pairs, ties=ties, ks=(1, 5)), (cosines, cosines.T), (positive, positive.T), strict=True
    ):
        for query in range(len(s)):
            ranks = ranks_of(s[query], p[query], ties)
            order = np.arange(1, len(ranks) + 1)
            assert ranking.rank[query] == ranks[0]
            assert ranking.average_precision[query] == pytest.approx(np.mean(order / ranks))
            for k in (1, 5):
                first, full = ranks <= k, min(len(ranks), k)
                assert ranking.precision_at[k][query] == pytest.approx(np.sum((order / ranks)[first]) / full)
                ideal = np.sum(1 / np.log2(1 + order[:full]))
                assert ranking.ndcg_at[k][query] == pytest.approx(np.sum(1 / np.log2(1 + ranks[first])) / ideal)


def ranks_of(cosines, positive, ties):
    """Ranks of all positives of one query, by the definition."""
    own, others = np.sort(cosines[positive])[::-1], cosines[~positive]
    ranks = []
    for j, value in enumerate(own, start=1):
        above, tied = np.sum(others > value + TIE_WIDTH), np.sum(np.abs(others - value) <= TIE_WIDTH)
        better, alike = np.sum(own > value + TIE_WIDTH), np.sum(np.abs(own - value) <= TIE_WIDTH)
        share = {"optimistic": 0, "mean": (j - better) / (alike + 1), "pessimistic": 1}[ties]
        ranks.append(j + above + tied * share)
    return np.array(ranks)


@pytest.mark.parametrize(
    "patch",
    [
        *((tiles, "WIDTH", width) for width in (8, 40)),
        *((tiles, "DENSE", share) for share in (0, 10**6)),
        *((tiles, name, 3) for name in ("LANES", "GATHER")),
        *((layers, "ROW_COST", cost) for cost in (0, 3, 10**6)),
    ],
    ids=lambda patch: f"{patch[1]}={patch[2]}",
)
def test_the_way_of_counting_changes_nothing(several, patch, monkeypatch):
    a, b, pairs = several
    before = [rank_both(a, b, pairs, ks=(1, 7), ties=ties) for ties in RULES]
    monkeypatch.setattr(*patch)
    for ties, rankings in zip(RULES, before, strict=True):
        for old, new in zip(rankings, rank_both(a, b, pairs, ks=(1, 7), ties=ties), strict=True):
            assert new.rank.tolist() == old.rank.tolist()
            assert new.average_precision == pytest.approx(old.average_precision)
            for k in (1, 7):
                assert new.precision_at[k] == pytest.approx(old.precision_at[k])
                assert new.ndcg_at[k] == pytest.approx(old.ndcg_at[k])


@settings(same_function, max_examples=25)
@given(chunk=st.integers(1, 120), width=st.integers(1, 12).map(lambda n: 8 * n), bulk=st.booleans())
def test_tiles_change_nothing(several, chunk, width, bulk):
    a, b, pairs = several
    if bulk:  # all alike but for a few digits: float64 decides on every pair
        a, b = (np.repeat(side[:1], len(side), axis=0) + 1e-6 * side for side in several[:2])
    expected = [everything(ranking) for ranking in rank_both(a, b, pairs, ks=(1, 7), distances=True)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "WIDTH", width)
        found = rank_both(a, b, pairs, ks=(1, 7), distances=True, chunk=chunk)
    assert [everything(ranking) for ranking in found] == expected


def test_only_the_best_rank_when_nothing_else_is_asked_for(several):
    a, b, pairs = several
    for whole, best in zip(rank_both(a, b, pairs), rank_both(a, b, pairs, average_precision=False), strict=True):
        assert best.rank.tolist() == whole.rank.tolist()
        assert np.isnan(best.average_precision).all()
        assert (best.precision_at, best.ndcg_at, best.nearest_km) == ({}, {}, {})


@settings(same_function, max_examples=15)
@given(st.data())
def test_the_order_of_the_gallery_changes_nothing(several, data):
    a, b, pairs = several
    order = np.array(data.draw(st.permutations(range(len(b)))))
    moved = Pairs(pairs.a, pairs.b.take(order), "group", "made up", pairs.label_a, pairs.label_b[order])
    for ties in RULES:
        ask = {"ties": ties, "ks": (1, 7), "distances": True}
        old, new = rank_both(a, b, pairs, **ask)[0], rank_both(a, b[order], moved, **ask)[0]
        assert new.rank.tolist() == old.rank.tolist()
        assert new.average_precision == pytest.approx(old.average_precision)
        for k in (1, 7):
            assert new.ndcg_at[k] == pytest.approx(old.ndcg_at[k])
            assert new.nearest_km[k] == pytest.approx(old.nearest_km[k])


@same_function
@given(copies=st.integers(1, 6), n=st.integers(2, 9))
def test_a_duplicated_gallery_under_each_tie_rule(labelled, copies, n):
    # Every item of the gallery ``copies`` times, of which one is the query's own: copies - 1 negatives are tied.
    vectors = circle(*np.linspace(0, 90, n))
    labels = np.concatenate([np.arange(n), np.repeat(np.arange(n) + n, copies - 1)])
    pairs = labelled(np.arange(2 * n), labels) if copies > 1 else labelled(np.arange(n), labels)
    gallery = np.concatenate([vectors, np.repeat(vectors, copies - 1, axis=0)])
    queries = np.concatenate([vectors, vectors]) if copies > 1 else vectors
    expected = {"optimistic": 1, "mean": 1 + (copies - 1) / 2, "pessimistic": copies}
    for ties, rank in expected.items():
        there, _ = rank_both(queries, gallery, pairs, ties=ties, ks=(1,))
        assert there.rank[:n].tolist() == [rank] * n
        assert there.average_precision[:n].tolist() == pytest.approx([1 / rank] * n)
        assert there.ndcg_at[1][:n].tolist() == [float(rank <= 1)] * n


@pytest.mark.parametrize("seed", range(3))
def test_random_embeddings_are_at_chance(labelled, seed):
    rng, n = np.random.default_rng(seed), 1200
    labels = [np.arange(n) // 3, np.arange(n) // 3]
    for ranking in rank_both(unit(rng, n, 32), unit(rng, n, 32), labelled(*labels), ks=(10,)):
        expected = chance(ranking.positives, ranking.gallery, ks=(10,))
        for values, at_random in (
            (ranking.rank <= 10, expected.recall[10]),
            (1 / ranking.rank, expected.reciprocal_rank),
            (ranking.average_precision, expected.mean_average_precision),
            (ranking.ndcg_at[10], expected.ndcg[10]),
        ):
            assert np.mean(values) == pytest.approx(at_random, abs=5 * np.std(values) / np.sqrt(n))
        assert measured(ranking, (n,)).recall[n] == 1


@pytest.mark.parametrize("seed", range(3))
def test_gain_equals_torchmetrics(labelled, seed):
    rng = np.random.default_rng(seed)
    labels = [np.concatenate([np.arange(5), rng.integers(0, 5, n - 5)]) for n in (17, 26)]
    pairs, a, b = labelled(*labels), unit(rng, 17), unit(rng, 26)
    there, _ = rank_both(a, b, pairs, ks=(1, 4, 30))
    for k, values in there.ndcg_at.items():
        rows = [(torch.from_numpy(s), torch.from_numpy(p.copy())) for s, p in zip(a @ b.T, mask(pairs), strict=True)]
        assert values == pytest.approx([float(retrieval_normalized_dcg(*row, top_k=k)) for row in rows], abs=1e-6)


# -- distances ------------------------------------------------------------------------------------


def placed(labelled, here, there):
    pairs = labelled(range(len(here)), np.arange(len(there)) % len(here))
    pairs.a.__dict__["lat_lon"], pairs.b.__dict__["lat_lon"] = (np.array(p, dtype=float) for p in (here, there))
    return pairs


def test_distance_to_the_first_k(labelled):
    # The query at 0° of the circle sees the gallery in its order, the one at 180° the other way round.
    pairs = placed(labelled, [(0, 0), (np.nan, 0)], [(0, 3), (0, -1), (np.nan, 5), (0, 0)])
    there, back = rank_both(circle(0, 180), circle(10, 20, 30, 40), pairs, ks=(1, 2, 3, 4, 9), distances=True)
    km = float(great_circle_km((0, 0), (0, 1)))
    found = {k: float(values[0]) for k, values in there.nearest_km.items()}
    assert found == pytest.approx({1: 3 * km, 2: km, 3: km, 4: 0, 9: 0})
    assert all(np.isnan(values[1]) for values in there.nearest_km.values())  # a query without coordinates
    assert back.nearest_km[1][[0, 1, 3]] == pytest.approx([3 * km, km, 0])
    assert np.isnan(back.nearest_km[1][2])


def test_an_item_without_coordinates_is_infinitely_far(labelled):
    pairs = placed(labelled, [(0, 0)], [(np.nan, 0), (0, 1)])
    there, _ = rank_both(circle(0), circle(10, 20), pairs, ks=(1, 2), distances=True)
    assert there.nearest_km[1].tolist() == [np.inf]
    assert there.nearest_km[2] == pytest.approx(great_circle_km([(0, 0)], (0, 1)))


def test_no_distances_without_coordinates(labelled):
    for here, there in (([(0, 0)], [(np.nan, 0), (np.nan, 1)]), ([(np.nan, 0)], [(0, 0), (0, 1)])):
        rankings = rank_both(circle(0), circle(10, 20), placed(labelled, here, there), ks=(1,), distances=True)
        assert [ranking.nearest_km for ranking in rankings] == [{}, {}]
    pairs = labelled([0], [0, 0])  # no coordinates at all
    assert rank_both(circle(0), circle(10, 20), pairs, ks=(1,), distances=True)[0].nearest_km == {}
    assert rank_both(circle(0), circle(10, 20), pairs, ks=(1,))[0].nearest_km == {}


@same_function
@given(before=st.integers(0, 3), tied=st.integers(1, 5), k=st.integers(1, 8), seed=st.integers(0, 99))
def test_tied_items_at_the_kth_place(labelled, before, tied, k, seed):
    rng = np.random.default_rng(seed)
    degrees = rng.uniform(0, 90, before + tied + 1)
    pairs = placed(labelled, [(0, 0)], [(0, lon) for lon in degrees])
    gallery = circle(*np.arange(before), *[30] * tied, 60)
    chosen = {  # the first k under every order of the tied items
        order: degrees[[*range(before), *order, before + tied]][:k].min()
        for order in itertools.permutations(range(before, before + tied))
    }
    expected = {"optimistic": min, "mean": lambda v: np.mean(list(v)), "pessimistic": max}
    for ties, rule in expected.items():
        there, _ = rank_both(circle(0), gallery, pairs, ties=ties, ks=(k,), distances=True)
        km = rule([great_circle_km((0, 0), (0, lon)) for lon in chosen.values()])
        assert there.nearest_km[k][0] == pytest.approx(km)


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
    with pytest.raises(DataError, match="a embeddings have 8 dimensions, b embeddings 5"):
        rank_both(a, b[:, :5], labelled([0, 1, 2], [0, 1, 2]))
    with pytest.raises(GeobindError, match="cannot be cut at k = 0"):
        rank_both(a, b, labelled([0, 1, 2], [0, 1, 2]), ks=(5, 0))
    b[1, 4] = np.nan
    with pytest.raises(DataError, match=r"1 of 3 b embeddings are not finite \(row 1\)"):
        rank_both(a, b, labelled([0, 1, 2], [0, 1, 2]))

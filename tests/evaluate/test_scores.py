"""Summaries, and chance levels against simulation."""

import numpy as np
import pytest

from geobind.errors import GeobindError
from geobind.evaluate.scores import Scores, chance, chance_distance, first_percent, measured
from geobind.ranks import Ranking


def test_measured_known_answer():
    ranking = Ranking(np.array([1, 2, 5.5, 10]), np.array([1, 0.5, 0.25, 0.1]), np.array([1, 1, 1, 1]), 12)
    scores = measured(ranking, (10, 1, 5))
    assert scores.recall == {1: 0.25, 5: 0.5, 10: 1.0}
    assert list(scores.recall) == [1, 5, 10]
    assert (scores.median_rank, scores.mean_rank) == (3.75, 4.625)
    assert scores.mean_average_precision == pytest.approx(0.4625)


@pytest.mark.parametrize("ks", [(), (0, 1), (-5,)])
def test_refuses_senseless_k(ks):
    with pytest.raises(GeobindError, match="at least 1"):
        chance(np.array([1]), 10, ks)


def test_chance_with_one_positive():
    scores = chance(np.ones(970, dtype=np.int64), 970, (1, 10, 970, 5000))
    assert scores.recall == pytest.approx({1: 1 / 970, 10: 10 / 970, 970: 1, 5000: 1})
    assert scores.median_rank == 485
    assert scores.mean_rank == 485.5
    assert scores.mean_average_precision == pytest.approx(np.mean(1 / np.arange(1, 971)))


def test_chance_when_everything_is_positive():
    scores = chance(np.array([7, 7]), 7, (1, 5))
    assert scores.recall == pytest.approx({1: 1, 5: 1})
    assert (scores.median_rank, scores.mean_rank) == (1, 1)
    assert scores.mean_average_precision == pytest.approx(1)


def test_a_gallery_of_one():
    assert set(chance(np.array([1]), 1, (1,)).named().values()) == {1.0}


def test_chance_equals_simulation():
    rng = np.random.default_rng(0)
    positives, gallery, draws = np.array([1, 2, 2, 5, 9]), 20, 20_000
    ranks, precisions, precisions_at_3, gains = [], [], [], []
    for count in positives:
        # A random order of the gallery: where its first `count` items end up.
        places = np.sort(rng.permuted(np.tile(np.arange(1, gallery + 1), (draws, 1)), axis=1)[:, :count], axis=1)
        ranks.append(places[:, 0])
        share = np.arange(1, count + 1) / places
        precisions.append(share.mean(axis=1))
        precisions_at_3.append((share * (places <= 3)).sum(axis=1) / min(count, 3))
        ideal = (1 / np.log2(1 + np.arange(1, min(count, 3) + 1))).sum()
        gains.append((np.where(places <= 3, 1 / np.log2(1 + places), 0)).sum(axis=1) / ideal)
    expected = chance(positives, gallery, (1, 3, 10))
    for k, share in expected.recall.items():
        assert share == pytest.approx(np.mean(np.array(ranks) <= k), abs=0.005)
    assert expected.mean_rank == pytest.approx(np.mean(ranks), abs=0.05)
    assert expected.median_rank == np.median(ranks)
    assert expected.mean_average_precision == pytest.approx(np.mean(precisions), abs=0.003)
    assert expected.reciprocal_rank == pytest.approx(np.mean(1 / np.array(ranks)), abs=0.003)
    assert expected.precision[3] == pytest.approx(np.mean(precisions_at_3), abs=0.003)
    assert expected.ndcg[3] == pytest.approx(np.mean(gains), abs=0.003)
    assert expected.recall_percent == pytest.approx({1.0: expected.recall[1], 10.0: reached_by_two(ranks)}, abs=0.005)


def reached_by_two(ranks):
    return np.mean(np.array(ranks) <= 2)  # 10 % of 20


def test_percentages_of_a_gallery_round_up():
    assert [first_percent(10, n) for n in (1, 9, 10, 11, 970, 1000)] == [1, 1, 1, 2, 97, 100]
    ranking = Ranking(np.array([1, 2, 3, 4]), np.ones(4), np.ones(4, dtype=np.int64), 11)
    assert measured(ranking, (1,)).recall_percent == {1.0: 0.25, 10.0: 0.5}


def test_distance_by_chance():
    # Half of the gallery is here, half is a quarter of the way round: the nearest of k is there with 2^-k.
    gallery = np.array([[0.0, 0.0], [0.0, 90.0]] * 50)
    found = chance_distance(np.array([[0.0, 90.0]] * 99 + [[np.nan, np.nan]]), gallery, (1, 10))
    assert found[10] == 0
    assert found[1] in (0.0, pytest.approx(10_007.5, abs=1))
    assert chance_distance(gallery, gallery, (1,)) == chance_distance(gallery, gallery, (1,))


def test_round_trip():
    scores = chance(np.array([1, 3]), 9, (1, 5))
    assert Scores.from_dict(scores.as_dict()) == scores

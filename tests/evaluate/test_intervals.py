"""Intervals: what is known of them by theory."""

import numpy as np
import pytest

from geobind.evaluate.intervals import RESAMPLES, intervals, resampled

RNG = np.random.default_rng(0)


def names(n):
    return np.arange(n).astype(str)


def test_every_resample_draws_as_many_places_as_there_are():
    counts = resampled(300)
    assert counts.shape == (RESAMPLES, 300)
    assert (counts.sum(axis=1) == 300).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(300), abs=0.15)
    assert counts is resampled(300)


def test_a_share_has_the_interval_of_a_binomial():
    values = (np.arange(1000) < 300).astype(float)
    low, high = intervals({"R@1": values}, names(1000))["R@1"]
    width = 1.96 * np.sqrt(0.3 * 0.7 / 1000)
    assert (low, high) == (pytest.approx(0.3 - width, abs=0.004), pytest.approx(0.3 + width, abs=0.004))


def test_what_does_not_vary_has_no_width():
    found = intervals({"R@1": np.ones(50), "median rank": np.full(50, 7.0)}, names(50))
    assert found == {"R@1": (1.0, 1.0), "median rank": (7.0, 7.0)}


def test_a_median_has_the_interval_of_its_order_statistics():
    ranks = RNG.permutation(np.arange(1.0, 1001))
    low, high = intervals({"median rank": ranks}, names(1000))["median rank"]
    # The binomial interval of one half of 1,000 is 469 … 531.
    assert (low, high) == (pytest.approx(469, abs=8), pytest.approx(531, abs=8))


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = 0
    for _ in range(200):
        low, high = intervals({"R@1": (RNG.random(200) < 0.4).astype(float)}, names(200))["R@1"]
        held += low <= 0.4 <= high
    assert 180 <= held <= 199


def test_queries_of_one_place_are_drawn_together():
    values = RNG.random(200) < 0.5
    alone = intervals({"R@1": values.astype(float)}, names(200))["R@1"]
    fivefold = intervals({"R@1": np.repeat(values, 5).astype(float)}, np.repeat(names(200), 5))["R@1"]
    assert fivefold == pytest.approx(alone)
    loose = intervals({"R@1": np.repeat(values, 5).astype(float)}, names(1000))["R@1"]
    assert loose[1] - loose[0] < 0.6 * (alone[1] - alone[0])


def test_the_order_of_queries_does_not_matter():
    values, place, order = RNG.random(40), names(40), RNG.permutation(40)
    assert intervals({"mAP": values}, place)["mAP"] == pytest.approx(
        intervals({"mAP": values[order]}, place[order])["mAP"]
    )


def test_unknown_values_are_left_out():
    values = np.array([1.0, 1.0, np.nan, 1.0])
    found = intervals({"D@1 km": values, "mAP": np.full(4, np.nan)}, names(4))
    assert found == {"D@1 km": (1.0, 1.0)}

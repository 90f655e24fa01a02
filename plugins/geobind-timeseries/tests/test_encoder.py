"""The encoder series_cnn: what a missing day, padding and the season mean to it."""

from pathlib import Path
from typing import Any

import geobind
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from geobind_timeseries import SeriesCNNConfig
from geobind_timeseries.encoder import SeriesCNN, read


@pytest.fixture(scope="module")
def encoder() -> SeriesCNN:
    torch.manual_seed(0)
    return SeriesCNN(SeriesCNNConfig(width=32, mean=10, std=14)).eval()


def embed(encoder: SeriesCNN, *items: Any) -> torch.Tensor:
    with torch.no_grad():
        features: torch.Tensor = encoder(encoder.collate([encoder.preprocess(item, train=False) for item in items]))
        return features


def year(warmest: int) -> NDArray[np.float32]:
    return (10 + 8 * np.cos(2 * np.pi * (np.arange(364) - warmest) / 364)).astype(np.float32)[:, None]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (np.full((9, 1), np.nan), "nothing but NaN"),
        (np.array([[1.0], [np.inf]]), "infinity"),
        (np.zeros((0, 1)), r"shape is \(0, 1\)"),
        (np.array([[1.0], [-np.inf], [np.nan]]), "infinity"),
        (np.zeros(9), r"shape is \(9,\)"),
        (np.zeros((9, 2)), r"shape is \(9, 2\).*\[days, 1\]"),
        ("absent.npy", "absent.npy"),
        ([["warm"]], "no array of numbers"),
    ],
)
def test_what_is_no_series_is_refused_with_a_remedy(item: Any, said: str) -> None:
    with pytest.raises(geobind.DataError, match=said) as error:
        read(item, 1)
    assert error.value.fix


def test_a_file_is_read_as_the_array_it_holds(tmp_path: Path) -> None:
    series = np.array([[1.0], [np.nan], [-3.5]], dtype=np.float32)
    np.save(tmp_path / "zurich.npy", series)
    np.testing.assert_array_equal(read(tmp_path / "zurich.npy", 1), series)


def test_padding_changes_nothing(encoder: SeriesCNN) -> None:
    short = year(200)[:45]
    torch.testing.assert_close(embed(encoder, short, year(200))[:1], embed(encoder, short))


def test_missing_days_at_the_end_are_as_no_days(encoder: SeriesCNN) -> None:
    short = year(200)[:45]
    gone = np.concatenate([short, np.full((100, 1), np.nan, dtype=np.float32)])
    torch.testing.assert_close(embed(encoder, gone), embed(encoder, short))


def test_a_missing_day_is_not_a_day_at_the_mean(encoder: SeriesCNN) -> None:
    gap, mean = year(200), year(200)
    gap[50], mean[50] = np.nan, encoder.config.mean
    assert not torch.allclose(embed(encoder, gap), embed(encoder, mean))


def test_a_day_that_is_missing_leaves_no_trace_of_its_phase(encoder: SeriesCNN) -> None:
    days = encoder.preprocess(np.array([[np.nan], [1.0]]), train=False)["days"]
    assert days.shape == (7, 4) and not days[[0, 2, 3, 4, 5, 6]].any()
    assert days[1, 1] == 1 and days[1, 2:].norm() == pytest.approx(1)


def test_the_season_matters(encoder: SeriesCNN) -> None:
    """The same days half a year later, by whole weeks; without the phase only the edges would tell them apart."""
    years = np.tile(year(200), (5, 1))
    samples = [encoder.preprocess(np.roll(years, shift, axis=0), train=False) for shift in (0, 182)]
    blind = [{"days": sample["days"].clone()} for sample in samples]
    for sample in blind:
        sample["days"][:, -2:] = 0
    with torch.no_grad():
        seen, unseen = (torch.dist(*encoder(encoder.collate(pair))) for pair in (samples, blind))
    assert seen > 3 * unseen, (seen, unseen)


def test_one_day_more_is_a_day_more(encoder: SeriesCNN) -> None:
    """A last week of a single day counts for a seventh of a week."""
    constant = np.full((365, 1), 30.0)
    assert torch.dist(*embed(encoder, constant, constant[:-1])) < 0.01 * embed(encoder, constant).norm()


def test_channels_have_flags_of_their_own() -> None:
    two = SeriesCNN(SeriesCNNConfig(channels=2, mean=1, std=2))
    days = two.preprocess(np.array([[3.0, np.nan]]), train=False)["days"]
    assert days.shape == (7, 6)
    assert days[0].tolist() == [1, 0, 1, 0, 0, 1] and not days[1:].any()

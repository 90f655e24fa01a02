"""The encoder template_cnn: what it reads, what it refuses, and what its network sees."""

from pathlib import Path
from typing import Any

import geobind
import numpy as np
import pytest
import torch

from geobind_template import CNNConfig
from geobind_template.encoder import CNN, SIDE, read


def test_a_file_is_read_as_the_array_it_holds(tmp_path: Path) -> None:
    array = np.arange(SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    np.save(tmp_path / "zurich.npy", array)
    np.testing.assert_array_equal(read(tmp_path / "zurich.npy"), array)
    np.testing.assert_array_equal(read(array.astype(np.int64)), array)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (np.full((SIDE, SIDE), np.nan), "NaN"),
        (np.zeros((SIDE, 3)), r"shape is \(16, 3\)"),
        ("absent.npy", "absent.npy"),
        ([["a"]], "no array of numbers"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_item_is_refused(item: Any, said: str) -> None:
    with pytest.raises(geobind.DataError, match=said):
        read(item)


def test_the_network_sees_mean_0_and_deviation_1() -> None:
    encoder = CNN(CNNConfig(mean=280.0, std=20.0))
    array = encoder.preprocess(np.full((SIDE, SIDE), 300.0), train=False)["array"]
    torch.testing.assert_close(array, torch.ones(1, SIDE, SIDE))


def test_noise_comes_from_the_generator_alone() -> None:
    encoder, item = CNN(CNNConfig()), np.zeros((SIDE, SIDE))
    first, same, other = (
        encoder.preprocess(item, train=True, generator=torch.Generator().manual_seed(seed))["array"]
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, same) and not torch.equal(first, other)

"""The data set timeseries: every place has its satellite tile and its timeseries item."""

import numpy as np
import pytest
from geobind_world import WorldConfig

from geobind_timeseries.dataset import Places, at


@pytest.fixture(scope="module")
def places() -> Places:
    return Places(WorldConfig(n=60))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_each_item_is_that_of_its_tile_s_place(places: Places, split: str) -> None:
    items, tiles = places.items("timeseries", split), places.items("satellite", split)
    assert items.modality == "timeseries" and len(items) > 0
    assert items.place.tolist() == tiles.place.tolist()
    assert tiles.lat_lon is not None
    np.testing.assert_array_equal(items[0], at(*tiles.lat_lon[0]))


def test_what_is_made_up_is_said_to_be(places: Places) -> None:
    assert "synthesised" in places.origin("satellite", "timeseries")
    assert "synthesised" not in places.origin("satellite", "text")

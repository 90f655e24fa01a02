"""The data set timeseries, and a user's own series beside it."""

from pathlib import Path

import geobind
import numpy as np
from geobind_world import WorldConfig

from geobind_timeseries.dataset import Places, synthesised
from geobind_timeseries.encoder import read


def test_each_tile_is_paired_with_its_latitude_s_year() -> None:
    places = Places(WorldConfig(n=40))
    items, tiles = places.items("timeseries", "train"), places.items("satellite", "train")
    assert items.place.tolist() == tiles.place.tolist() and tiles.lat_lon is not None
    np.testing.assert_array_equal(items[3], synthesised(str(tiles.place[3]), tiles.lat_lon[3, 0]))
    assert places.origin("satellite", "timeseries") == "synthesised from latitude"
    assert "synthesised" not in places.origin("satellite", "text")


def test_synthesised_seasons_are_opposite_in_the_south_and_stronger_towards_the_poles() -> None:
    years = [synthesised("here", lat) for lat in (-60, 0, 30, 60)]
    assert years[0].shape == (365, 1) and years[0].dtype == np.float32
    rise = [float(year[181:212].mean() - year[:31].mean()) for year in years]
    assert rise[0] < -20 and abs(rise[1]) < 5 and 10 < rise[2] < rise[3] - 5


def test_own_series_come_in_through_a_manifest(tmp_path: Path) -> None:
    """As the README says: a path per place."""
    series = np.array([[1.0, 0.5], [np.nan, 2.0]], dtype=np.float32)
    np.save(tmp_path / "zrh.npy", series)
    (tmp_path / "pairs.csv").write_text("series,lat,lon,split\nzrh.npy,47.4,8.6,train\n")
    keys = {"type": "manifest", "path": str(tmp_path / "pairs.csv"), "lat": "lat", "lon": "lon", "split": "split"}
    items = geobind.build_dataset({**keys, "origin": "made up", "items": {"timeseries": {"column": "series"}}})
    np.testing.assert_array_equal(read(items.items("timeseries", "train")[0], 2), series)

"""The data set timeseries: a user's table at the places of another data set, and the demonstration."""

from pathlib import Path
from typing import Any

import geobind
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from geobind_timeseries import TimeseriesConfig
from geobind_timeseries.dataset import Series, synthesised
from geobind_timeseries.examples import data_set
from geobind_timeseries.table import read_table

TABLE = "place,date,t,rain\nb,2020-03-01,3,\na,2019-12-31,1,0.5\na,2020-01-02,,\na,2020-01-01,2,0\n"


def test_a_table_is_laid_out_from_1_january_on(tmp_path: Path) -> None:
    (tmp_path / "days.csv").write_text(TABLE)
    series = read_table(tmp_path / "days.csv")
    assert {name: days.shape for name, days in series.items()} == {"a": (367, 2), "b": (61, 2)}
    nan = np.nan
    np.testing.assert_array_equal(series["a"][-4:], [[nan, nan], [1, 0.5], [2, 0], [nan, nan]])
    np.testing.assert_array_equal(series["b"][-2:], [[nan, nan], [3, nan]])


def test_parquet_is_read_as_csv(tmp_path: Path) -> None:
    (tmp_path / "days.csv").write_text(TABLE)
    columns = {"place": ["b", "a"], "date": ["2020-03-01", "2019-12-31"], "t": [3, 1], "rain": [None, 0.5]}
    parquet.write_table(pa.table(columns), tmp_path / "days.parquet")
    same = read_table(tmp_path / "days.parquet")["b"], read_table(tmp_path / "days.csv")["b"]
    np.testing.assert_array_equal(*same)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a,2020-01-03,warm,", r"'warm' .*days\.csv:6\)"),
        ("a,2020-01,1,", r"'2020-01' .*days\.csv:6\)"),
        ("a,2020-01-03,1", r"Expected 4 columns, got 3.*days\.csv:6\)"),
        ("a,2020-01-03,inf,", r"infinity.*days\.csv:6\)"),
        (",2020-01-03,1,", r"no place.*days\.csv:6\)"),
        ("a,2020-01-01,7,", r"repeats a day: place 'a', 2020-01-01 .*days\.csv:6\)"),
    ],
)
def test_a_broken_row_is_named_with_file_and_line(tmp_path: Path, row: str, said: str) -> None:
    (tmp_path / "days.csv").write_text(TABLE + row + "\n")
    with pytest.raises(geobind.DataError, match=said):
        read_table(tmp_path / "days.csv")


@pytest.mark.parametrize("text", ["", "place,date\n", "id,date,t\n", "place,date,t,t\n"])
def test_other_columns_are_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "days.csv").write_text(text)
    with pytest.raises(geobind.DataError, match="the columns are"):
        read_table(tmp_path / "days.csv")


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Any]:
    return data_set(tmp_path)


def test_a_series_is_joined_to_the_tile_of_its_place(keys: dict[str, Any]) -> None:
    series = Series(TimeseriesConfig(**keys))
    items = series.items("timeseries", "test")
    assert sorted(items.place) == sorted(series.items("satellite", "test").place) == ["p10", "p11", "p9"]
    table = read_table(Path(keys["table"]))
    for row, place in enumerate(items.place):
        np.testing.assert_array_equal(items[row], table[str(place)])
    assert series.origin("satellite", "timeseries") == "made up"


def test_series_without_a_place_or_a_value_are_left_out_and_listed(keys: dict[str, Any]) -> None:
    with Path(keys["table"]).open("a") as file:
        file.write("atlantis,2020-01-01,3\n")
    series = Series(TimeseriesConfig(**keys))
    assert [line.split(":")[0] for line in series.skipped()] == ["series 'atlantis'"]
    Path(keys["table"]).write_text("place,date,temperature\natlantis,2020-01-01,3\np0,2020-01-01,\n")
    with pytest.raises(geobind.DataError, match="no series is at a known place.*p0, p1"):
        Series(TimeseriesConfig(**keys))


def test_the_demonstration_pairs_each_tile_with_its_latitude_s_year() -> None:
    world = Series(TimeseriesConfig(places={"type": "world", "n": 40}))
    items, tiles = world.items("timeseries", "train"), world.items("satellite", "train")
    assert items.place.tolist() == tiles.place.tolist() and tiles.lat_lon is not None
    np.testing.assert_array_equal(items[3], synthesised(str(tiles.place[3]), tiles.lat_lon[3, 0]))
    assert world.origin("satellite", "timeseries") == "synthesised from latitude"
    assert "synthesised" not in world.origin("satellite", "text")


def test_synthesised_seasons_are_opposite_in_the_south_and_stronger_towards_the_poles() -> None:
    july, january = slice(181, 212), slice(0, 31)
    rise = [
        float(np.nanmean(year[july]) - np.nanmean(year[january]))
        for year in (synthesised("here", lat) for lat in (-60, 0, 30, 60))
    ]
    assert rise[0] < -20 and abs(rise[1]) < 5 and 10 < rise[2] < rise[3] - 5

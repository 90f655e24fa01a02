"""The data set maptags: true tags of GeoNames, or those of a file, around the places of world."""

import json
from pathlib import Path
from typing import Any

import geobind
import numpy as np
import pytest

from geobind_maptags import MapTagsConfig
from geobind_maptags.dataset import Places, geonames, read_lines

GENOA = {"id": 1, "lat": 44.4, "lon": 8.9, "tags": {"place=city": 1, "harbour=yes": 3}}
PISA = {"id": "n2", "lat": 43.7, "lon": 10.4, "tags": {"place=city": 1}}


def write(folder: Path, *lines: Any) -> Path:
    path = folder / "map.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def test_geonames_are_all_there_with_true_tags() -> None:
    lines = geonames()
    assert len(lines) == 144_563
    tags = {"place=populated": 1.0, "country=AD": 1.0, "admin1=AD/Canillo": 1.0}
    assert (lines[0].lat, lines[0].lon, lines[0].tags) == (42.57952, 1.65362, tags)


def test_tags_of_a_file_within_the_radius_are_added_up(tmp_path: Path) -> None:
    tiles = geobind.build_dataset({"type": "world", "n": 60}).items("satellite", "train")
    assert tiles.lat_lon is not None
    lat, lon = tiles.lat_lon[0]
    near, far = (float(np.clip(lat + km / 111.2, -90, 90)) for km in (90, 110))
    lines = [{"id": i, "lat": at, "lon": lon, "tags": {"place=city": i}} for i, at in enumerate((lat, near, far), 1)]
    items = Places(MapTagsConfig(n=60, path=write(tmp_path, *lines), radius_km=100)).items("maptags", "train")
    assert items.place.tolist() == [tiles.place[0]]
    assert items[0] == {"place=city": 1 + 2}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": 2, "lat": 43.7, "lo', "EOF"),
        (PISA | {"lat": 143.7}, "lat: .*less than or equal to 90"),
        (PISA | {"tags": {}}, "tags: .*at least 1"),
        (PISA | {"tags": {"place=city": -1}}, "tags: place=city: .*greater than 0"),
        ({"id": 2, "tags": {"place=city": 1}}, "lat: Field required"),
        (GENOA, "id 1 comes twice"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: Any, said: str) -> None:
    path = write(tmp_path, GENOA, line)
    with pytest.raises(geobind.DataError, match=said) as told:
        read_lines(path)
    assert told.value.where == f"{path}:2" and told.value.fix


def test_it_says_how_pairs_came_about(tmp_path: Path) -> None:
    places = Places(MapTagsConfig(n=60, path=write(tmp_path, GENOA)))
    assert places.origin("satellite", "maptags") == "true location"
    assert places.origin("maptags", "text") == places.origin("satellite", "text")
    assert "synthesised" in places.origin("ground", "maptags")

"""Manifests: wide and long tables, what a row may lack, and how each mistake is told."""

from __future__ import annotations

import gc
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from geobind.builtin import ManifestConfig, ManifestItems, ManifestPairs
from geobind.data.manifest import ManifestDataset, read_table
from geobind.data.pairs import match
from geobind.data.repeats import first_equal_rows
from geobind.errors import DataError


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b", "c", "d"):
        Image.new("RGB", (8, 8), (ord(name), 0, 0)).save(tmp_path / f"{name}.png")
    return tmp_path


def wide(folder, text, **options):
    path = folder / "m.csv"
    path.write_text(text)
    values = {
        "path": path,
        "items": {
            "satellite": ManifestItems(column="satellite"),
            "text": ManifestItems(column="caption", text=True),
            "location": ManifestItems(lat="lat", lon="lon"),
        },
        "lat": "lat",
        "lon": "lon",
        "split": "split",
        "origin": "true location",
    }
    return ManifestDataset(ManifestConfig(**{**values, **options}))


WIDE = """satellite,caption,lat,lon,split
a.png,a field,47.1,8.5,train
b.png,"[""a lake"", ""water""]",46.0,7.0,train
c.png,,10.0,20.0,train
,a lonely text,1.0,2.0,train
d.png,a town,5.0,6.0,test
"""


def test_texts_that_look_like_numbers_are_texts(folder):
    table = "satellite,caption,lat,lon,split\na.png,007,47.1,8.5,train\nb.png,,46,7,train\nc.png,12.50,9,9,train\n"
    assert list(wide(folder, table).items("text", "train")) == ["007", "12.50"]
    numbers = pa.table({"id": ["a", "b"], "caption": [7, None], "split": ["train", "train"]})
    pa.parquet.write_table(numbers, folder / "m.parquet")
    items = {"text": ManifestItems(column="caption", text=True)}
    config = ManifestConfig(path=folder / "m.parquet", id="id", split="split", items=items, origin="made up")
    assert list(ManifestDataset(config).items("text", "train")) == ["7"]


def test_wide_manifest_with_missing_cells(folder):
    data = wide(folder, WIDE)
    assert [len(data.items(m, "train")) for m in ("satellite", "text", "location")] == [3, 4, 4]
    texts = data.items("text", "train")
    assert list(texts) == ["a field", "a lake", "water", "a lonely text"]
    assert texts.place.tolist() == ["0", "1", "1", "3"]
    assert data.items("location", "test")[0] == (5.0, 6.0)
    pairs = match(data, "satellite", "text", "train")
    assert (pairs.rule, len(pairs.a), len(pairs.b), len(pairs)) == ("id", 2, 3, 3)
    assert not data.skipped()


def test_parquet_equals_csv(folder):
    csv = wide(folder, WIDE)
    rows = csv.table.to_pylist()
    path = folder / "m.parquet"
    pa.parquet.write_table(pa.Table.from_pylist(rows), path)
    parquet = ManifestDataset(csv.config.model_copy(update={"path": path}))
    for modality in csv.modalities:
        assert csv.items(modality, "train").key.tolist() == parquet.items(modality, "train").key.tolist()


def test_bad_rows_stop_or_are_skipped_counted_and_listed(folder):
    text = WIDE + "gone.png,a ghost,95,0,train\n"
    data = wide(folder, text, strict=False)
    assert len(data.items("satellite", "train")) == 3 and len(data.items("location", "train")) == 4
    assert any("gone.png' does not exist" in line and "m.csv:7" in line for line in data.skipped())
    assert any("latitude 95" in line and "id '5'" in line for line in data.skipped())
    strict = wide(folder, text)
    with pytest.raises(DataError, match=r"gone.png' does not exist \(.*m.csv:7, id '5'\)"):
        strict.items("satellite", "train")
    with pytest.raises(DataError, match="latitude 95"):
        strict.items("location", "train")


def test_a_row_that_repeats_another_stops_or_is_skipped(folder):
    text = WIDE + "c.png,,10.0,20.0,train\nc.png,,10.0,20.5,train\n" + WIDE.splitlines()[2] + "\n"
    with pytest.raises(DataError, match=r"row 7 repeats row 4: .*m.csv:7\)\. Drop one"):
        wide(folder, text)
    data = wide(folder, text, strict=False)
    assert [data.skipped()[n].split(":")[0] for n in (0, 1)] == ["row 7 repeats row 4", "row 9 repeats row 3"]
    assert data.items("satellite", "train").place.tolist() == ["0", "1", "2", "6"]
    assert len(data.items("text", "train")) == len(wide(folder, WIDE).items("text", "train"))
    assert len(data.skipped()) == 2


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"a": [1, 1, 1, 2, 1], "b": ["x", "y", "x", None, "x"]}, [0, 1, 0, 3, 0]),
        ({"a": [None, None, "x"]}, [0, 0, 2]),
        ({"a": [float("nan"), float("nan"), 0.0]}, [0, 0, 2]),
        ({"a": [["x"], ["x", "y"], ["x"]], "b": [{"k": 1}] * 3}, [0, 1, 0]),
        ({"a": pa.array(["x", "y", "x"]).dictionary_encode()}, [0, 1, 0]),
        ({"a": [None, None]}, [0, 0]),
        ({"a": ["x", "y", "x"], "b": [1, 1, 2]}, [0, 1, 2]),
        ({"a": []}, []),
    ],
)
def test_first_equal_rows(columns, expected):
    assert first_equal_rows(pa.table(columns)).tolist() == expected


def test_block_split_where_there_is_no_split_column(folder):
    rows = "".join(f"a.png,x,{lat},{lon},\n" for lat in range(-80, 80, 4) for lon in range(-170, 170, 17))
    data = wide(folder, "satellite,caption,lat,lon,split\n" + rows, split=None, block_deg=8.0)
    sizes = [len(data.items("satellite", split)) for split in ("train", "val", "test")]
    assert sum(sizes) == 800 and min(sizes) > 50
    nowhere = wide(folder, WIDE, split=None, lat=None, lon=None)
    with pytest.raises(DataError, match="neither a split column nor coordinates"):
        nowhere.items("satellite", "train")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"split": "spilt"}, "no column 'spilt'.*Did you mean 'split'"),
        ({"items": {"satellite": ManifestItems(column="x")}}, "no column 'x'"),
        ({"items": {"satellite": ManifestItems(where={"kind": "s"})}}, "no column 'kind'"),
    ],
)
def test_missing_columns_are_named(folder, options, match):
    with pytest.raises(DataError, match=match):
        wide(folder, WIDE, **options).items("satellite", "train")


def test_a_coordinate_that_is_no_number_is_told(folder):
    with pytest.raises(DataError, match=r"'north' is not a number of degrees .*m.csv:3, column 'lat'"):
        wide(folder, WIDE.replace("46.0,7.0", "north,7.0")).items("satellite", "train")


def test_missing_and_broken_files_are_told(folder):
    with pytest.raises(DataError, match="does not exist"):
        ManifestDataset(ManifestConfig(path=folder / "no.csv", items={}, origin="x"))
    (folder / "x.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match="cannot be read"):
        ManifestDataset(ManifestConfig(path=folder / "x.parquet", items={}, origin="x"))


def test_no_pairs_for_the_split_says_what_there_is(folder):
    data = wide(folder, WIDE.replace("d.png,a town", ",a town"))
    with pytest.raises(DataError, match="no pairs .* in the split 'test': it holds 0 satellite and 1 text"):
        match(data, "satellite", "text", "test")


def test_long_manifest_with_pair_file_and_groups(folder):
    rows = [
        {"id": "s1", "modality": "satellite", "path": "a.png", "scene": "lake", "split": "train"},
        {"id": "s2", "modality": "satellite", "path": "b.png", "scene": "town", "split": "train"},
        {"id": "g1", "modality": "ground", "path": "c.png", "scene": "lake", "split": "train"},
        {"id": "g2", "modality": "ground", "path": "d.png", "scene": "sea", "split": "train"},
    ]
    for row in rows:
        row["captions"] = json.dumps([f"a {row['scene']}"])
    pa.parquet.write_table(pa.Table.from_pylist(rows), folder / "long.parquet")
    items = {
        "satellite": ManifestItems(column="path", where={"modality": "satellite"}),
        "ground": ManifestItems(column="path", where={"modality": "ground"}),
        "text": ManifestItems(column="captions", where={"modality": "satellite"}, text=True),
    }
    config = ManifestConfig(
        path=folder / "long.parquet",
        items=items,
        id="id",
        split="split",
        group="scene",
        origin="true location",
        origins={"ground": "scene class"},
    )
    data = ManifestDataset(config)
    pairs = match(data, "satellite", "ground", "train")
    assert (pairs.rule, pairs.origin) == ("group", "scene class")
    assert pairs.a.place.tolist() == ["s1"] and pairs.b.place.tolist() == ["g1"]
    assert match(data, "satellite", "text", "train").rule == "id"
    assert match(data, "ground", "text", "train").rule == "group"
    (folder / "near.csv").write_text("ground_id,satellite_id,km\ng2,s2,0.4\ng9,s2,0.1\n")
    near = ManifestPairs(
        path="near.csv", columns={"satellite": "satellite_id", "ground": "ground_id"}, origin="within 2 km"
    )
    listed = ManifestDataset(config.model_copy(update={"pairs": (near,)}))
    pairs = match(listed, "satellite", "ground", "train")
    assert (pairs.rule, pairs.origin, len(pairs)) == ("listed", "within 2 km", 1)
    assert listed.fingerprint != data.fingerprint


def test_items_travel_to_worker_processes(folder):
    import pickle

    items = wide(folder, WIDE).items("satellite", "train")
    assert pickle.loads(pickle.dumps(items))[1] == items[1]


def test_real_tiny_manifest(shared):
    config = ManifestConfig(
        path=shared / "data/tiny/manifest.parquet",
        id="id",
        split="split",
        group="scene",
        lat="lat",
        lon="lon",
        tags=("source",),
        origin="true location",
        items={
            "satellite": ManifestItems(column="path", where={"modality": "satellite"}),
            "location": ManifestItems(lat="lat", lon="lon", where={"modality": "satellite"}),
            "text": ManifestItems(column="captions", where={"modality": "satellite"}, text=True),
        },
    )
    data = ManifestDataset(config)
    assert not data.skipped()
    pairs = match(data, "satellite", "location", "train")
    assert set(pairs.a.tags["source"]) == {"EuroSAT"}  # RSICD has no coordinates
    assert np.array_equal(pairs.a.lat_lon, np.array(list(pairs.b)))


def test_a_forked_worker_shares_the_manifest(tmp_path):
    """Reading every item in a child process copies next to nothing of 10 MB of captions."""
    texts = [f"{i} " + "words " * 15 for i in range(100_000)]
    table = pa.table({"id": list(map(str, range(len(texts)))), "caption": texts, "split": ["train"] * len(texts)})
    pyarrow.parquet.write_table(table, tmp_path / "big.parquet")
    settings = {"path": tmp_path / "big.parquet", "id": "id", "split": "split", "origin": "test"}
    items = ManifestDataset(ManifestConfig(**settings, items={"text": {"column": "caption", "text": True}}))
    items = items.items("text", "train")
    del texts, table
    gc.collect()

    def private_kb() -> int:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))

    read, write = os.pipe()
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 does not like forks beside threads
    if (child := os.fork()) == 0:
        gc.freeze()
        before = private_kb()
        for row in range(len(items)):
            items[row]
        os.write(write, str(private_kb() - before).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(read, 64)) < 5_000


def test_a_table_with_another_delimiter_is_read_and_one_that_is_no_table_is_told(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("id;text\n1;a, b\n")
    assert read_table(path, ";").to_pylist() == [{"id": 1, "text": "a, b"}]
    with pytest.raises(DataError, match="cannot be read: Expecting an ASCII character"):
        read_table(path, "·")
    path.write_bytes("id,text\n1,höhe\n".encode("latin-1"))
    with pytest.raises(DataError, match="'text' is not UTF-8"):
        read_table(path)
    path.write_bytes("id,höhe\n1,2\n".encode("latin-1"))
    with pytest.raises(DataError, match="cannot be read|not UTF-8"):
        read_table(path).to_pylist()
    path.write_text("id,id\n1,2\n")
    with pytest.raises(DataError, match="column 'id' stands twice"):
        read_table(path)

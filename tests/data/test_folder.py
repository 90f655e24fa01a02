"""The folder dataset: what patterns match, what a place is told by, and how each mistake is told."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
from PIL import Image

from geobind.builtin import FolderConfig
from geobind.data.folder import FolderDataset, example
from geobind.data.pairs import match
from geobind.data.patterns import matches
from geobind.data.splits import split_by_blocks
from geobind.errors import DataError, RecipeError
from geobind.plugins import get_plugins

SPLITS = ("train", "val", "test")


@pytest.fixture
def lay(tmp_path):
    """Write files: path → text, or a picture where there is none."""

    def write(*pictures, **texts):
        for path in pictures:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (len(path), 0, 0)).save(tmp_path / path)
        for name, text in texts.items():
            path = tmp_path / "captions" / f"{name}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def folder(root, **options):
    values = {"root": root, "items": {"satellite": "images/{split}/{id}.png"}, "origin": "made up", **options}
    return FolderDataset(FolderConfig(**values))


@pytest.mark.parametrize(
    ("pattern", "path", "fields"),
    [
        ("{id}.png", "a.png", {"id": "a"}),
        ("{id}.*", "a.b.png", {"id": "a.b"}),
        ("{id}_*.png", "lake_2_3.png", {"id": "lake_2"}),
        ("im[a]ges/{split}/x{id}.png", "im[a]ges/val/x7.png", {"split": "val", "id": "7"}),
        ("{group}/{group}_{id}.png", "Forest/Forest_12.png", {"group": "Forest", "id": "12"}),
        ("*/{id}/*.png", "any/7/view.png", {"id": "7"}),
    ],
)
def test_what_a_pattern_reads_off_a_path(lay, pattern, path, fields):
    assert matches(lay(path), pattern) == [(path, fields)]


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("{id}.png", "a/b.png"),
        ("{id}.png", ".hidden.png"),
        ("{group}/{group}_{id}.png", "Forest/River_12.png"),
        ("x{id}.png", "x.png"),
    ],
)
def test_what_a_pattern_does_not_match(lay, pattern, path):
    with pytest.raises(DataError, match="no file matches the pattern"):
        matches(lay(path), pattern)


def test_places_splits_and_several_items(lay):
    root = lay(
        *("images/train/b.png", "images/train/a.png", "images/test/c.png"),
        *("ground/a_2.png", "ground/a_1.png", "ground/c_1.png"),
        a="a field\n\n  a wood \n",
        c="a town\n",
    )
    items = {"satellite": "images/{split}/{id}.png", "ground": "ground/{id}_*.png", "text": "captions/{id}.txt"}
    data = folder(root, items=items)
    assert data.modalities == ("satellite", "ground", "text")
    assert data.items("satellite", "train").place.tolist() == ["a", "b"]
    ground = data.items("ground", "train")
    assert list(ground) == [root / "ground/a_1.png", root / "ground/a_2.png"] and ground.files
    text = data.items("text", "train")
    assert (list(text), text.place.tolist(), text.files) == (["a field", "a wood"], ["a", "a"], False)
    assert list(data.items("text", "test")) == ["a town"]
    assert [len(data.items(m, "val")) for m in data.modalities] == [0, 0, 0]
    pairs = match(data, "satellite", "text", "train")
    assert (pairs.rule, pairs.origin, len(pairs.a), len(pairs.b)) == ("id", "made up", 1, 2)
    assert list(pickle.loads(pickle.dumps(ground))) == list(ground)


def test_groups_hold_for_all_files_of_a_place(lay):
    root = lay("images/train/lake/a.png", "images/train/wood/b.png", "ground/train/lake/x.png", a="water")
    items = {"satellite": "images/{split}/{group}/{id}.png", "ground": "ground/{split}/{group}/{id}.png"}
    data = folder(root, items=items | {"text": "captions/{id}.txt"}, origins={"ground": "scene class"})
    pairs = match(data, "satellite", "ground", "train")
    assert (pairs.rule, pairs.origin, pairs.a.place.tolist()) == ("group", "scene class", ["a"])
    assert data.items("text", "train").group.tolist() == ["lake"]
    assert match(data, "ground", "text", "train").rule == "group"


def test_coordinates_split_by_blocks_and_are_items(lay):
    points = {f"{lat}_{lon}": (float(lat), float(lon)) for lat in range(-60, 60, 15) for lon in range(-170, 170, 17)}
    root = lay(*(f"images/{place}.png" for place in points), "images/nowhere.png")
    rows = "".join(f"{place},{lat},{lon},x\n" for place, (lat, lon) in points.items())
    (root / "places.csv").write_text("id,lat,lon,more\n" + rows + "unseen,1,2,x\n")
    data = folder(root, items={"satellite": "images/{id}.png"}, places="places.csv", block_deg=8.0)
    expected = split_by_blocks(np.array(list(points.values())), degrees=8.0)
    assert data.modalities == ("satellite", "location")
    for split in SPLITS:
        location = data.items("location", split)
        assert set(location.place) == {p for p, own in zip(points, expected, strict=True) if own == split}
        assert [points[place] for place in location.place] == list(location)
        assert np.array_equal(location.lat_lon, np.array(list(location)))
        assert set(location.place) == set(data.items("satellite", split).place) - {"nowhere"}
    train = data.items("satellite", "train")
    assert np.isnan(train.lat_lon[train.place == "nowhere"]).all() and "nowhere" in train.place


def test_ids_stay_strings(lay):
    root = lay("images/train/007.png")
    (root / "places.csv").write_text("id,lat,lon\n007,1.5,2\n")
    data = folder(root, places="places.csv")
    assert list(data.items("location", "train")) == [(1.5, 2.0)]


def test_files_without_split_or_text_are_left_out_and_listed(lay):
    root = lay("images/train/a.png", "images/train/b.png", a="a field", b=" \n", c="a ghost")
    data = folder(root, items={"satellite": "images/{split}/{id}.png", "text": "captions/{id}.txt"})
    assert list(data.items("text", "train")) == ["a field"]
    assert data.skipped() == [
        "captions/b.txt: holds no text",
        "captions/c.txt: no path with a split has the id 'c'",
    ]


def test_other_modalities_may_be_texts_and_text_may_be_files(lay):
    root = lay("images/train/a.png", a="one\ntwo\n")
    items = {"satellite": "images/{split}/{id}.png", "tags": "captions/{id}.txt", "text": "captions/{id}.txt"}
    data = folder(root, items=items, texts=("tags",))
    assert list(data.items("tags", "train")) == ["one", "two"]
    assert list(data.items("text", "train")) == [root / "captions/a.txt"]


def test_the_fingerprint_follows_files_and_config_but_not_the_root(lay, tmp_path):
    root = lay("images/train/a.png", "images/train/b.png", "images/train/other.txt.png")
    first = folder(root).fingerprint
    assert folder(root).fingerprint == first
    assert folder(root, origin="another").fingerprint != first
    picture = root / "images/train/a.png"
    os.utime(picture, ns=(0, 0))
    second = folder(root).fingerprint
    assert second != first
    picture.rename(root / "images/train/c.png")
    assert folder(root).fingerprint not in (first, second)
    (root / "images/train/c.png").rename(picture)
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    root.rename(moved)
    assert folder(moved).fingerprint == second
    (moved / "places.csv").write_text("id,lat,lon\na,1,2\n")
    located = folder(moved, places="places.csv").fingerprint
    (moved / "places.csv").write_text("id,lat,lon\na,1,2.5\n")
    assert folder(moved, places="places.csv").fingerprint != located


def test_an_empty_or_removed_file_is_told_when_loaded(lay):
    root = lay("images/train/a.png", "images/train/b.png")
    items = folder(root).items("satellite", "train")
    (root / "images/train/a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"a.png' is empty. Replace it"):
        items[0]
    assert items[1] == root / "images/train/b.png"
    (root / "images/train/b.png").unlink()
    assert not items[1].exists()  # for the encoder to tell, as of any path


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"root": "nowhere"}, "the folder 'nowhere' does not exist"),
        (
            {"items": {"satellite": "images/{split}/{id}.jpg"}},
            r"no file matches.*example, 'images/t(est/b|rain/a).png'",
        ),
        ({"items": {"satellite": "{split}/{id}.png"}}, "no file matches"),
        ({"items": {"satellite": "*/*/{id}.png"}}, "no pattern has `{split}`, and there are no coordinates"),
        ({"places": "here.csv"}, r"table of places '.*here.csv' cannot be read: .*No such file"),
    ],
)
def test_mistakes_of_a_config_are_told(lay, options, told):
    root = lay("images/train/a.png", "images/test/b.png")
    with pytest.raises(DataError, match=told):
        folder(**{"root": root, **options})


def test_a_place_in_two_splits_is_told(lay):
    root = lay("images/train/a.png", "images/test/a.png")
    with pytest.raises(DataError, match=r"'a' has two splits, 'test' and 'train' \(images/test/a.png and images/"):
        folder(root)


def test_a_folder_that_is_no_split_is_told(lay):
    with pytest.raises(DataError, match=r"'valid' is no split \(.*images/valid/a.png\). Did you mean 'val'"):
        folder(lay("images/train/b.png", "images/valid/a.png"))


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(DataError, match="The folder is empty"):
        folder(tmp_path)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("id,lat,lng\na,1,2\n", "no column 'lon' .*Did you mean 'lng'"),
        ("id,lat,lon\na,95,2\n", r"latitude 95 is outside.*places.csv:2"),
        ("id,lat,lon\na,north,2\n", "coordinates 'north', '2' are not numbers"),
        ("id,lat,lon\na,1\n", "are not numbers"),
        ("id,lat,lon\na,1,2\na,1,3\n", r"place 'a' lies at two points \(.*places.csv:3"),
        ("id,lat,lon\nA,1,2\n", "none of the 1 ids is that of a file, such as 'a'"),
        ("", "no column 'id'"),
    ],
)
def test_mistakes_of_the_table_of_places_are_told(lay, table, told):
    root = lay("images/train/a.png")
    (root / "places.csv").write_text(table)
    with pytest.raises(DataError, match=told):
        folder(root, places="places.csv")


def test_what_is_not_utf8_is_told(lay):
    root = lay("images/train/a.png", a="x")
    (root / "captions/a.txt").write_bytes("Genève".encode("latin-1"))
    with pytest.raises(DataError, match=r"text is not UTF-8.*captions/a.txt"):
        folder(root, items={"satellite": "images/{split}/{id}.png", "text": "captions/{id}.txt"})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"items": {"satellite": "{spilt}/{id}.png"}}, "unknown field {spilt}. Did you mean 'split'"),
        ({"items": {"satellite": "images/{split}/*.png"}}, "lacks {id}, which names the place"),
        ({"items": {"satellite": "../{id}.png"}}, "'../{id}.png' leads out of the root"),
        ({"items": {"satellite": "/data/{id}.png"}}, "leads out of the root"),
        ({"items": {"satellite": "{id}.png"}, "places": "../p.csv"}, "'../p.csv' leads out of the root"),
        ({"items": {"satellite": "**/{id}.png"}}, r"has `\*\*`; write one `\*/` for every folder"),
        ({"items": {"satellite": "{id}.png"}, "texts": ["txet"]}, r"texts names \['txet'\]"),
        ({"items": {}}, "at least 1 item"),
    ],
)
def test_mistakes_of_patterns_are_told_before_anything_is_read(options, told):
    with pytest.raises(RecipeError, match=told):
        get_plugins().dataset({"type": "folder", "root": "no/folder", "origin": "x", **options})


def test_the_example_holds_what_it_says(tmp_path):
    data = FolderDataset(FolderConfig(**example(tmp_path)))
    assert data.modalities == ("satellite", "ground", "text", "location")
    sizes = {m: [len(data.items(m, split)) for split in SPLITS] for m in data.modalities}
    assert sizes == {"satellite": [8, 4, 4], "ground": [16, 8, 8], "text": [16, 8, 8], "location": [8, 4, 4]}
    assert data.skipped() == []
    assert match(data, "satellite", "ground", "test").rule == "id"

"""What a target is: its kind, its join to the items, and what is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from geobind.builtin import ManifestConfig, ManifestItems
from geobind.data.items import SPLITS
from geobind.data.manifest import ManifestDataset
from geobind.errors import DataError
from geobind.evaluate.probe import Targets


@pytest.fixture
def table(tmp_path):
    def write(**columns):
        path = tmp_path / "table.parquet"
        pyarrow.parquet.write_table(pa.table(columns), path)
        return path

    return write


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["Cfb", "Dfb", None], "classification"),
        ([True, False, None], "classification"),
        (pa.array(["a", "b", "a"]).dictionary_encode(), "classification"),
        ([1.0, 2.0, None], "regression"),
        (pa.array([1, 2, 3], pa.float32()), "regression"),
    ],
)
def test_the_kind_follows_from_the_type(table, values, kind):
    assert Targets.read(table(id=["p", "q", "r"], value=values), "value", "id").kind == kind


def test_whole_numbers_are_a_quantity_only_when_they_are_many(table):
    many = table(id=[str(i) for i in range(101)], value=list(range(101)))
    assert Targets.read(many, "value", "id").kind == "regression"
    few = table(id=["p", "q", "r"], value=[1, 2, None])
    with pytest.raises(DataError, match=r"2 distinct values, which may be classes or a quantity.*Say `kind`"):
        Targets.read(few, "value", "id")
    assert Targets.read(few, "value", "id", kind="classification").kind == "classification"


def test_rows_join_by_place_whatever_the_order(table, items):
    target = Targets.read(table(id=["r", "p", "q"], value=[3.0, 1.0, None]), "value", "id")
    kind, (first, second) = target.of([items("a", ["p", "q", "x"]), items("a", ["r"])])
    assert kind == "regression"
    np.testing.assert_array_equal(first.y, [1.0, np.nan, np.nan])
    assert first.joined.tolist() == [True, True, False]
    assert first.known.tolist() == [True, False, False]
    assert second.y.tolist() == [3.0]


def test_rows_join_by_the_end_of_a_file_in_whole_parts(table, items):
    target = Targets.read(table(file=["b/1.jpg", "2.jpg", "far/b/3.jpg"], value=["u", "v", "w"]), "value", "file")
    files = items("a", ["p", "q", "r", "s"], key=["/x/b/1.jpg", "/x/b/2.jpg", "/x/b/3.jpg", "/x/b/12.jpg"], files=True)
    _, (values,) = target.of([files])
    assert values.y.tolist() == ["u", "v", "", ""]
    assert values.joined.tolist() == [True, True, False, False]


def test_the_place_comes_before_the_file(table, items):
    target = Targets.read(table(key=["p", "1.jpg"], value=["by place", "by file"]), "value", "key")
    _, (values,) = target.of([items("a", ["p", "q"], key=["/x/1.jpg", "/y/1.jpg"], files=True)])
    assert values.y.tolist() == ["by place", "by file"]


def test_a_key_that_ends_two_files_is_refused_over_all_splits(table, items):
    target = Targets.read(table(file=["1.jpg"], value=["u"]), "value", "file")
    one, other = (items("a", [place], key=[f"/{place}/1.jpg"], files=True) for place in "pq")
    with pytest.raises(DataError, match=r"'1.jpg' is the ending of two files, '/p/1.jpg' and '/q/1.jpg'"):
        target.of([one, other])


def test_nothing_joins(table, items):
    target = Targets.read(table(id=["7", "8"], value=["u", "v"]), "value", "id")
    with pytest.raises(DataError, match=r"no row joins any of the 3 a items: a key is '7', an item's place 'p'"):
        target.of([items("a", ["p", "q"]), items("a", ["r"])])


def test_whole_number_ids_join_as_text(table, items):
    target = Targets.read(table(id=[0, 1], value=["u", "v"]), "value", "id")
    _, (values,) = target.of([items("a", [1, 0])])
    assert values.y.tolist() == ["v", "u"]


def test_csv_and_missing_cells(tmp_path, items):
    path = tmp_path / "table.csv"
    path.write_text("id,ndvi,class\np,0.5,\nq,,water\nr,nan,wood\n")
    _, (numbers,) = Targets.read(path, "ndvi", "id").of([items("a", list("pqr"))])
    assert numbers.known.tolist() == [True, False, False]
    _, (classes,) = Targets.read(path, "class", "id").of([items("a", list("pqr"))])
    assert classes.y.tolist() == ["", "water", "wood"]
    assert classes.known.tolist() == [False, True, True]


def test_one_key_with_two_values(table):
    with pytest.raises(DataError, match=r"id 'p' has two values of 'value': 1.0 and 2.0"):
        Targets.read(table(id=["p", "p"], value=[1.0, 2.0]), "value", "id")
    same = Targets.read(table(id=["p", "p"], value=[1.0, 1.0]), "value", "id")
    assert same.table == {"p": 1.0}


def test_columns_that_cannot_be_used(table):
    path = table(id=["p"], elevation_m=[1.0], none=pa.array([None], pa.float64()), list=[[1.0]])
    with pytest.raises(DataError, match=r"no column 'elevation'.*Did you mean 'elevation_m'"):
        Targets.read(path, "elevation", "id")
    with pytest.raises(DataError, match=r"no column 'idd'.*Did you mean 'id'"):
        Targets.read(path, "elevation_m", "idd")
    with pytest.raises(DataError, match="column 'none' has no values"):
        Targets.read(path, "none", "id")
    with pytest.raises(DataError, match="can be neither classes nor a quantity"):
        Targets.read(path, "list", "id")
    with pytest.raises(DataError, match="does not exist"):
        Targets.read(path.with_name("absent.csv"), "a", "b")


def test_text_cannot_be_a_quantity(table, items):
    target = Targets.read(table(id=["p"], value=["deep"]), "value", "id", kind="regression")
    with pytest.raises(DataError, match="'value' cannot be predicted as a quantity"):
        target.of([items("a", ["p"])])


@pytest.mark.parametrize(
    ("values", "kind"),
    [(["DE", "", "FR"], "classification"), (["1.5", "", "2.0"], "regression"), (["1", "x"], "classification")],
)
def test_tags_are_texts_of_something(items, values, kind):
    found, (values_of,) = Targets.tag("tag").of([items("a", range(len(values)), tags={"tag": values})])
    assert found == kind
    assert values_of.known.tolist() == [value != "" for value in values]
    assert values_of.joined.all()


def test_a_tag_of_few_whole_numbers_or_none(items):
    tagged = [items("a", ["p", "q"], tags={"zone": ["1", "2"]})]
    with pytest.raises(DataError, match="may be classes or a quantity"):
        Targets.tag("zone").of(tagged)
    assert Targets.tag("zone", kind="regression").of(tagged)[1][0].y.tolist() == [1.0, 2.0]
    with pytest.raises(DataError, match=r"a items have no tag 'zones'.*Did you mean 'zone'"):
        Targets.tag("zones").of(tagged)


@pytest.mark.shared
def test_the_corpus_joins_by_file_and_agrees_with_its_own_tags(shared):
    config = ManifestConfig(
        path=shared / "data/mini/manifest.parquet",
        items={"satellite": ManifestItems(column="path", where={"modality": "satellite"})},
        id="id",
        split="split",
        tags=("source", "koppen", "source_label"),
        origin="true location",
    )
    dataset = ManifestDataset(config)
    tables = [dataset.items("satellite", split) for split in SPLITS]
    for column, tag in (("koppen", "koppen"), ("label", "source_label")):
        target = Targets.read(shared / "data/mini/geo/eurosat_geo.parquet", column, "eurosat_file")
        _, found = target.of(tables)
        assert [int(values.joined.sum()) for values in found] == [4541, 970, 970]
        for items, values in zip(tables, found, strict=True):
            assert (values.joined == (items.tags["source"] == "EuroSAT")).all()
            assert (values.y[values.joined] == items.tags[tag][values.joined]).all()

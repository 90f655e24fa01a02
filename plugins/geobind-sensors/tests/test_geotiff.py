import csv
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from geobind_sensors.image import SensorImage
from geobind_sensors.readers import GeoTiffConfig
from geobind_sensors.readers.fake import BANDS, write_geotiff_example, write_raster
from geobind_sensors.readers.geotiff import build
from geobind_sensors.readers.raster import opened
from pydantic import ValidationError

from geobind.data.pairs import match
from geobind.errors import DataError

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not beside this checkout")
UTM = "EPSG:32632"
NINE = (500_000.0, 5_000_000.0)
"""A point on the central meridian of UTM zone 32, which is 9° east."""


@pytest.fixture
def places(tmp_path):
    """Write a table of places; returns a function that reads images beside it, all of them in train."""

    def write(rows: list[dict], images: dict, **keys):
        path = tmp_path / "places.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, dict.fromkeys(["id", "lat", "lon", "split", *rows[0]]))
            writer.writeheader()
            writer.writerows({"id": f"p{n}", "split": "train", **row} for n, row in enumerate(rows))
        keys = {"id": "id", "split": "split", "lat": "lat", "lon": "lon", "origin": "made up", **keys}
        return build(GeoTiffConfig(path=path, images=images, **keys))

    return write


def test_the_example_reads_as_it_was_written(tmp_path):
    dataset = build(GeoTiffConfig(**write_geotiff_example(tmp_path)))
    assert dataset.modalities == ("sentinel2", "multispectral", "elevation", "classmap", "text")
    image = dataset.items("sentinel2", "train")[0]
    with opened(tmp_path / "s2/p0.tif") as raster:
        raw = raster.read()
    assert image.names == BANDS
    assert image.valid is None
    assert np.allclose(image.values, raw * 1e-4)
    assert image.wavelengths()[3] == 0.6646
    assert image.where == f"{tmp_path}/s2/p0.tif, {tmp_path}/places.csv:2, id 'p0'"
    heights = dataset.items("elevation", "train")
    assert {item.values.shape for item in heights} == {(1, 16, 16)}
    assert heights[0].wavelengths() == (100,)
    assert match(dataset, "text", "multispectral", "val").rule == "id"


# -- bands and values ------------------------------------------------------------------------------


def test_bands_are_named_selected_and_ordered(tmp_path, places):
    raw = np.arange(4, dtype=np.uint16)[:, None, None] * 1000 + np.ones((4, 5, 6), dtype=np.uint16)
    write_raster(tmp_path / "a.tif", raw)
    how = {"file": "a.tif", "sensor": "sentinel2", "bands": ["B02", "B03", "angles", "B8A"]}
    image = places([{}], {"rgb": {**how, "select": ["nir08", "blue"]}}).items("rgb", "train")[0]
    assert image.names == ("B8A", "B02")
    assert np.allclose(image.values[:, 0, 0], [0.3001, 0.0001])
    with pytest.raises(DataError, match="no band 'angles'"):
        places([{}], {"rgb": how}).items("rgb", "train")
    with pytest.raises(DataError, match=r"no band 'B04' in the files of 'rgb'\. Did you mean 'B0"):
        places([{}], {"rgb": {**how, "select": ["B04"]}}).items("rgb", "train")


def test_layers_that_nobody_names_are_no_bands(tmp_path, places):
    write_raster(tmp_path / "a.tif", np.ones((2, 4, 4), np.uint16), bands=["stack-1", "stack-2"])
    dataset = places([{}], {"sentinel2": {"file": "a.tif"}})
    told = (
        r"it describes them as 'stack-1', 'stack-2' \(.*a\.tif, .*places\.csv:2, id 'p0'.*Name them with `bands`.*B8A"
    )
    with pytest.raises(DataError, match=told):
        dataset.items("sentinel2", "train")


def test_descriptions_name_bands_of_all_files_alike(tmp_path, places):
    for name, bands in {"a": ["B04", "B03"], "b": ["B03", "B04"]}.items():
        write_raster(tmp_path / f"{name}.tif", np.ones((2, 4, 4), np.uint16), bands=bands)
    items = places([{"fn": "a"}, {"fn": "b"}], {"sentinel2": {"file": "{fn}.tif"}}).items("sentinel2", "train")
    assert items.kind.tolist() == ["sentinel2: B04 B03"] * 2
    with pytest.raises(DataError, match=r"layer 1 is described as 'B03', and that of other files as 'B04'.*b\.tif"):
        items[1]


def test_a_file_with_other_layers_than_named_is_refused(tmp_path, places):
    for name, count in {"a": 3, "b": 2}.items():
        write_raster(tmp_path / f"{name}.tif", np.ones((count, 4, 4), np.uint8))
    how = {"file": "{fn}.tif", "sensor": "rgb", "bands": ["red", "green", "blue"]}
    items = places([{"fn": "a"}, {"fn": "b"}], {"rgb": how}).items("rgb", "train")
    assert items[0].names == ("red", "green", "blue")
    with pytest.raises(DataError, match=r"the file has 2 layers, and 3 bands are named \(.*b\.tif, .*:3, id 'p1'"):
        items[1]
    with pytest.raises(DataError, match=r"the file has 2 layers, and 3 bands are named \(.*b\.tif, .*:2, id 'p0'"):
        places([{"fn": "b"}], {"rgb": how}).items("rgb", "train")


@pytest.mark.parametrize(
    ("keys", "value"),
    [({}, 0.02), ({"scale": 0.01}, 2.0), ({"scale": 0.01, "offset": -1.0}, 1.0), ({"offset": 5.0}, 5.02)],
)
def test_scale_and_offset_are_the_configs_before_the_sensors(tmp_path, places, keys, value):
    write_raster(tmp_path / "a.tif", np.full((1, 4, 4), 200, np.uint16))
    how = {"file": "a.tif", "bands": ["B04"], **keys}
    image = places([{}], {"sentinel2": how}).items("sentinel2", "train")[0]
    assert np.allclose(image.values, value)


def test_a_files_own_scale_comes_before_the_sensors(tmp_path, places):
    write_raster(tmp_path / "a.tif", np.full((2, 4, 4), 200, np.uint16))
    with rasterio.open(tmp_path / "a.tif", "r+") as raster:
        raster.scales, raster.offsets = (1e-4, 1e-4), (-0.1, 0.0)
    image = places([{}], {"sentinel2": {"file": "a.tif", "bands": ["B04", "B03"]}}).items("sentinel2", "train")[0]
    assert np.allclose(image.values[:, 0, 0], [-0.08, 0.02])


def test_pixels_without_data_are_masked_and_take_the_mean(tmp_path, places):
    raw = np.array([[[1.0, 2.0, np.nan], [3.0, -9.0, np.inf]]], np.float32)
    write_raster(tmp_path / "a.tif", raw, nodata=-9)
    image = places([{}], {"elevation": {"file": "a.tif"}}).items("elevation", "train")[0]
    assert image.valid.tolist() == [[True, True, False], [True, False, False]]
    assert np.array_equal(image.values, [[[1, 2, 2], [3, 2, 2]]])
    more = places([{}], {"elevation": {"file": "a.tif", "nodata": 3}}).items("elevation", "train")[0]
    assert more.valid.sum() == 2, "the number of the config counts beside the file's own"


def test_a_pixel_is_valid_where_all_bands_are(tmp_path, places):
    raw = np.array([[[0, 5]], [[5, 5]]], np.uint16)
    write_raster(tmp_path / "a.tif", raw)
    image = places([{}], {"sentinel2": {"file": "a.tif", "bands": ["B04", "B03"]}}).items("sentinel2", "train")[0]
    assert image.valid.tolist() == [[False, True]], "0 is no data for Sentinel-2"


def test_the_mask_beside_a_file_counts(tmp_path, places):
    write_raster(tmp_path / "a.tif", np.arange(4, dtype=np.uint8).reshape(1, 2, 2))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "a.tif", "r+") as raster:
        raster.write_mask(np.array([[False, True], [True, True]]))
    image = places([{}], {"elevation": {"file": "a.tif"}}).items("elevation", "train")[0]
    assert image.valid.tolist() == [[False, True], [True, True]]
    assert image.values[0, 0, 0] == 2


def test_an_image_without_any_data_is_refused(tmp_path, places):
    write_raster(tmp_path / "a.tif", np.full((1, 4, 4), -9, np.int16), nodata=-9)
    with pytest.raises(DataError, match=r"no data in band height \(.*a\.tif, .*places\.csv:2, id 'p0'"):
        places([{}], {"elevation": {"file": "a.tif"}}).items("elevation", "train")[0]


def test_files_of_another_grid_are_resampled_to_the_first(tmp_path, places):
    ramp = np.broadcast_to(np.arange(8, dtype=np.uint8)[:, None], (8, 8))
    write_raster(tmp_path / "rgb.tif", np.stack([ramp] * 3))
    near = np.broadcast_to(np.arange(0.5, 8, 2, dtype=np.float32)[:, None], (4, 4)).copy()
    near[0, 0] = np.nan
    write_raster(tmp_path / "nir.tif", near[None])
    files = [{"file": "rgb.tif", "bands": ["red", "green", "blue"]}, {"file": "nir.tif", "bands": ["nir"]}]
    items = places([{}], {"multispectral": {"sensor": "rgbn", "files": files}}).items("multispectral", "train")
    image = items[0]
    assert image.values.shape == (4, 8, 8)
    assert np.allclose(image.values[3, 1:-1, 4:], image.values[0, 1:-1, 4:]), "a ramp stays one"
    assert not image.valid[:3, :3].any()
    assert image.valid[:, 4:].all()


# -- windows -----------------------------------------------------------------------------------------


@pytest.fixture
def numbered(tmp_path):
    """A raster of 10 m pixels north-east of (45.1537° N, 9° E), whose numbers are row * 100 + column."""
    values = np.add.outer(np.arange(60) * 100, np.arange(80)).astype(np.int32)
    write_raster(tmp_path / "dem.tif", values[None], crs=UTM, origin=NINE, pixel=10)
    return values


def at(row, column, pixel=10.0):
    """Latitude and longitude of a point of the raster, in pixels from its upper left corner."""
    xs, ys = rasterio.warp.transform(UTM, "EPSG:4326", [NINE[0] + column * pixel], [NINE[1] - row * pixel])[:2]
    return {"lat": ys[0], "lon": xs[0]}


def test_a_window_lies_around_its_point(numbered, places):
    items = places([at(20.5, 30.5), at(20.1, 30.2)], {"elevation": {"file": "dem.tif", "window": 5}})
    for image in items.items("elevation", "train"):
        assert np.array_equal(image.values[0], numbered[18:23, 28:33])
        assert image.valid is None


def test_a_window_beyond_the_edge_is_masked_there(numbered, places):
    image = places([at(1, 79)], {"elevation": {"file": "dem.tif", "window": 6}}).items("elevation", "train")[0]
    assert np.array_equal(image.valid, np.pad(np.ones((4, 4), bool), ((2, 0), (0, 2))))
    assert np.array_equal(image.values[0, 2:, :4], numbered[0:4, 76:80])
    assert np.allclose(image.values[0, :2], numbered[0:4, 76:80].mean())


def test_a_window_outside_is_refused_with_its_row_and_file(numbered, places):
    rows, how = [at(20, 30), at(-40, 30)], {"elevation": {"file": "dem.tif", "window": 6}}
    with pytest.raises(DataError, match=r"lies outside of the raster \(.*dem\.tif, .*places\.csv:3, id 'p1'\)"):
        places(rows, how).items("elevation", "train")
    lenient = places(rows, how, strict=False)
    assert lenient.items("elevation", "train").place.tolist() == ["p0"]
    assert [line.split(" (")[0][-11:] for line in lenient.skipped()] == ["the raster"[-11:].rjust(11)]


def test_a_place_without_coordinates_has_no_window(numbered, places):
    items = places([at(20, 30), {"lat": "", "lon": ""}], {"elevation": {"file": "dem.tif", "window": 6}})
    assert items.items("elevation", "train").place.tolist() == ["p0"]


def test_metres_make_windows_of_equal_ground(tmp_path, numbered, places):
    coarse = np.zeros((1, 200, 200), np.int16)
    write_raster(tmp_path / "degrees.tif", coarse, crs="EPSG:4326", origin=(8.9, 45.25), pixel=1 / 1000)
    images = {
        "elevation": {"file": "dem.tif", "metres": 200},
        "infrared": {"file": "degrees.tif", "metres": 2000, "sensor": "elevation"},
    }
    dataset = places([at(30, 40)], images)
    assert dataset.items("elevation", "train")[0].values.shape == (1, 20, 20)
    # 2 km are 17.99 thousandths of a degree of latitude, and more of longitude by 1 / cos 45.15°
    assert dataset.items("infrared", "train")[0].values.shape == (1, 18, 26)


def test_windows_of_several_files_show_the_same_ground(tmp_path, places):
    fine = np.add.outer(np.arange(60.0), np.zeros(60)).astype(np.float32)
    coarse = fine.reshape(20, 3, 20, 3).mean(axis=(1, 3))
    write_raster(tmp_path / "b4.tif", fine[None], crs=UTM, origin=NINE, pixel=10)
    write_raster(tmp_path / "b5.tif", coarse[None], crs=UTM, origin=NINE, pixel=30)
    files = [{"file": "b4.tif", "bands": ["B04"]}, {"file": "b5.tif", "bands": ["B05"]}]
    how = {"files": files, "window": 24, "nodata": -1, "scale": 1}
    image = places([at(30, 30)], {"sentinel2": how}).items("sentinel2", "train")[0]
    assert np.allclose(image.values[0, 3:-3], image.values[1, 3:-3], atol=1e-4)


def test_a_picture_without_coordinates_has_no_window(tmp_path, places):
    write_raster(tmp_path / "a.tif", np.ones((1, 8, 8), np.uint8))
    with pytest.raises(DataError, match=r"coordinate system: the raster has none \(.*a\.tif"):
        places([{"lat": 1, "lon": 2}], {"elevation": {"file": "a.tif", "window": 4}}).items("elevation", "train")


def test_a_window_reads_no_more_than_its_blocks(tmp_path, places):
    path, keys = tmp_path / "dem.tif", {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    values = np.random.default_rng(0).integers(0, 9000, (1, 512, 512), dtype=np.int16)
    profile = {"driver": "GTiff", "count": 1, "height": 512, "width": 512, "dtype": "int16"}
    with rasterio.open(
        path, "w", crs=UTM, transform=rasterio.Affine(10, 0, NINE[0], 0, -10, NINE[1]), **profile, **keys
    ) as file:
        file.write(values)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    dataset = places(
        [at(32, 32)],
        {"elevation": {"file": "dem.tif", "window": 64}, "infrared": {"file": "dem.tif", "sensor": "elevation"}},
    )
    assert np.array_equal(dataset.items("elevation", "train")[0].values[0], values[0, :64, :64])
    with pytest.raises(DataError, match=r"raster '.*dem\.tif' cannot be read: "):
        dataset.items("infrared", "train")[0]


# -- chips -------------------------------------------------------------------------------------------


def test_chips_tile_every_modality_alike(tmp_path, places):
    fine = np.arange(1, 12 * 17 + 1, dtype=np.uint16).reshape(1, 12, 17)
    coarse = np.arange(6 * 8, dtype=np.uint8).reshape(1, 6, 8)
    write_raster(tmp_path / "p0.tif", fine)
    write_raster(tmp_path / "p0_cover.tif", coarse)
    write_raster(tmp_path / "p1.tif", fine)
    write_raster(tmp_path / "p1_cover.tif", coarse)
    images = {"sentinel2": {"file": "{id}.tif", "bands": ["B04"]}, "classmap": {"file": "{id}_cover.tif"}}
    rows = [{"caption": "a field"}, {"caption": "a lake", "split": "val"}]
    dataset = places(rows, images, chips=4, items={"text": {"column": "caption", "text": True}}, tags=["caption"])
    items, cover, texts = (dataset.items(name, "train") for name in ("sentinel2", "classmap", "text"))
    names = [f"p0/{row}/{column}" for row in range(3) for column in range(4)]
    assert items.place.tolist() == cover.place.tolist() == texts.place.tolist() == names
    assert dataset.items("sentinel2", "val").place[0] == "p1/0/0"
    assert set(texts) == {"a field"}
    assert set(items.tags["caption"]) == {"a field"}
    chips = np.array([item.values[0] for item in items]).reshape(3, 4, 4, 4)
    assert np.allclose(chips.transpose(0, 2, 1, 3).reshape(12, 16), fine[0, :, :16] * 1e-4)
    # 17 columns are 8 there: chips begin at 0, 1.88, 3.76, 5.65 and the last one ends at 7.53
    assert [item.shape for item in cover][:4] == [(2, 2)] * 4
    assert np.array_equal(np.vstack([cover[0], cover[4], cover[8]]), coarse[0, :, :2])
    assert len(set(items.key)) == len(items)


def test_an_image_smaller_than_a_chip_is_told(tmp_path, places):
    write_raster(tmp_path / "a.tif", np.ones((1, 8, 9), np.uint8))
    with pytest.raises(DataError, match="the image has 8 × 9 pixels, and a chip 16 × 16"):
        places([{}], {"elevation": {"file": "a.tif"}}, chips=16).items("elevation", "train")


# -- maps of classes -----------------------------------------------------------------------------------


def test_codes_are_taken_as_they_are(tmp_path, places):
    codes = np.array([[[0, 7], [255, 3]]], np.uint8)
    write_raster(tmp_path / "a.tif", codes)
    write_raster(tmp_path / "b.tif", codes, nodata=255)
    write_raster(tmp_path / "c.tif", codes.astype(np.float32) + 0.5)
    rows = [{"fn": name} for name in "abc"]
    items = places(rows, {"classmap": {"file": "{fn}.tif"}}).items("classmap", "train")
    assert np.array_equal(items[0], codes[0])
    assert np.array_equal(items[1], codes[0]), "the file's own code for no data stays"
    assert items[0].dtype == np.int32
    with pytest.raises(DataError, match="the map of classes holds float32 values"):
        items[2]


# -- files ---------------------------------------------------------------------------------------------


def test_patterns_find_files_in_nested_folders(tmp_path, places):
    for folder in ("fr/00/19", "us/93/01"):
        write_raster(tmp_path / folder / f"{folder[-2:]}_dem.tif", np.ones((1, 4, 4), np.uint8))
    rows, how = [{"n": "01"}, {"n": ""}], {"elevation": {"file": "*/*/*/{n}_dem.tif"}}
    items = places(rows, how).items("elevation", "train")
    assert items.place.tolist() == ["p0"], "a row without a name has no image"
    assert items.key[0].startswith(f"{tmp_path}/us/93/01/01_dem.tif #"), "01 is no number"
    write_raster(tmp_path / "fr/00/01/01_dem.tif", np.ones((1, 4, 4), np.uint8))
    with pytest.raises(DataError, match="means both 'fr/00/01/01_dem.tif' and 'us/93/01/01_dem.tif'"):
        places(rows, how).items("elevation", "train")
    with pytest.raises(DataError, match=r"means no file \(.*places\.csv:3"):
        places([{"n": "19"}, {"n": "02"}], how).items("elevation", "train")


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.csv", ";"), ("a.tsv", "\t")])
def test_images_and_what_the_table_holds_are_of_one_group(tmp_path, name, delimiter):
    """``007`` names a file as it stands there, and is the number 7 wherever a manifest takes it for one."""
    write_raster(tmp_path / "007.tif", np.ones((1, 4, 4), np.uint8))
    lines = ("fn,site,split,caption", "007,01,train,a field")
    (tmp_path / name).write_text("\n".join(lines).replace(",", delimiter) + "\n")
    keys = {"delimiter": delimiter, "split": "split", "group": "site", "tags": ("site",), "origin": "made up"}
    items = {"text": {"column": "caption", "text": True}}
    images = {"elevation": {"file": "{fn}.tif"}}
    dataset = build(GeoTiffConfig(path=tmp_path / name, items=items, images=images, **keys))
    found = [dataset.items(modality, "train") for modality in ("elevation", "text")]
    assert [each.group.tolist() for each in found] == [each.tags["site"].tolist() for each in found] == [["1"]] * 2


def test_missing_files_are_told_or_skipped(tmp_path, places):
    write_raster(tmp_path / "a.tif", np.ones((1, 4, 4), np.uint8))
    rows, how = [{"fn": "b"}, {"fn": "a"}], {"elevation": {"file": "{fn}.tif"}}
    with pytest.raises(DataError, match=r"file '.*/b\.tif' does not exist \(.*places\.csv:2, id 'p0'\)"):
        places(rows, how).items("elevation", "train")
    lenient = places(rows, how, strict=False)
    assert lenient.items("elevation", "train").place.tolist() == ["p1"]
    assert len(lenient.skipped()) == 1
    assert lenient.fingerprint
    assert len(lenient.skipped()) == 1, "each row is told once"


def test_keys_change_with_all_that_decides_an_item(tmp_path, places):
    def write(value):
        write_raster(tmp_path / "a.tif", np.full((1, 9, 9), value, np.uint8), crs=UTM, origin=NINE, pixel=10)

    def key(**keys):
        dataset = places([at(4, 4)], {"elevation": {"file": "a.tif", **keys}})
        return dataset.items("elevation", "train").key[0], dataset.fingerprint

    write(1)
    stat = (tmp_path / "a.tif").stat()
    one, prints = zip(*[key(), key(scale=2), key(window=3), key(window=4), key(convention="geobind")], strict=True)
    assert len(set(one)) == len(set(prints)) == 5
    assert (key(), key(window=3)) == ((one[0], prints[0]), (one[2], prints[2]))
    write(2)
    os.utime(tmp_path / "a.tif", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert key()[0] != one[0], "same path, size and mtime"


def test_items_are_read_alike_in_threads_and_after_pickling(tmp_path):
    dataset = build(GeoTiffConfig(**write_geotiff_example(tmp_path)))
    for modality in ("multispectral", "elevation"):
        items = dataset.items(modality, "train")
        alone = [item.values for item in items]
        with ThreadPoolExecutor(4) as pool:
            rows = list(range(len(items))) * 4
            together = list(pool.map(pickle.loads(pickle.dumps(items)).__getitem__, rows))
        assert all(np.array_equal(item.values, alone[row]) for item, row in zip(together, rows, strict=True))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"file": "a.tif", "files": [{"file": "b.tif"}]}, "give either `file` or `files`"),
        ({}, "give either `file` or `files`"),
        ({"file": "a.tif", "window": 3, "metres": 3}, "give `window`"),
        ({"files": [{"file": "a.tif"}], "bands": ["B04"]}, "`bands` belongs to each of `files`"),
    ],
)
def test_configs_that_make_no_sense_are_refused(change, told):
    with pytest.raises(ValidationError, match=told):
        GeoTiffConfig(path="a.csv", origin="", lat="a", lon="b", images={"rgb": change})


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"images": {"rgb": {"file": "a.tif", "window": 3}}}, "name the columns `lat` and `lon`"),
        ({"images": {"rgb": {"file": "a", "window": 3}}, "lat": "a", "lon": "b", "chips": 3}, "choose one"),
        ({"images": {"classmap": {"file": "a.tif", "sensor": "rgb"}}}, "no `sensor`"),
        ({"images": {"text": {"file": "a.tif"}}, "items": {"text": {"text": True}}}, "both in"),
        ({"images": {}}, "at least 1"),
    ],
)
def test_datasets_that_make_no_sense_are_refused(keys, told):
    with pytest.raises(ValidationError, match=told):
        GeoTiffConfig(path="a.csv", origin="", **keys)


def test_unknown_names_are_told_with_the_nearest(tmp_path, places):
    write_raster(tmp_path / "a.tif", np.ones((1, 4, 4), np.uint8))
    with pytest.raises(DataError, match="no column 'fm'.*Did you mean 'fn'"):
        places([{"fn": "a"}], {"rgb": {"file": "{fm}.tif"}})
    with pytest.raises(DataError, match="unknown sensor 'sentinel3'.*Did you mean 'sentinel"):
        places([{}], {"rgb": {"file": "a.tif", "sensor": "sentinel3"}}).items("rgb", "train")
    with pytest.raises(DataError, match="holds no 'rbg'.*Did you mean 'rgb'"):
        places([{}], {"rgb": {"file": "a.tif"}}).items("rbg", "train")


# -- real data ---------------------------------------------------------------------------------------


@pytest.mark.shared
@needs_shared
def test_real_sentinel2_patches_are_read_in_place():
    how = {"file": "images/{fn}", "bands": BANDS}
    folder = SHARED / "sentinel2_sample"
    keys = {"id": "fn", "lat": "lat", "lon": "lon", "origin": "true location", "chips": 64}
    dataset = build(GeoTiffConfig(path=folder / "index.csv", images={"sentinel2": how}, **keys))
    items = {split: dataset.items("sentinel2", split) for split in ("train", "val", "test")}
    assert sum(map(len, items.values())) == 20 * 16, "rows of the table"
    image = items["train"][0]
    with rasterio.open(folder / "images" / items["train"].place[0].split("/")[0]) as raster:
        raw = raster.read(window=((0, 64), (0, 64)))
    assert np.allclose(image.values, raw * 1e-4)
    assert image.values.shape == (12, 64, 64)
    # Water vapour absorbs at 0.945 µm in no band but B09; all of them are reflectances.
    assert -0.1 < image.values.min() <= image.values.max() < 2


@pytest.mark.shared
@needs_shared
def test_real_places_of_geolifeclef_are_read_in_place(tmp_path):
    folder = SHARED / "glc22_sample"
    found = sorted(path.name.split("_")[0] for path in folder.glob("patches-fr/*/*/*_rgb.jpg"))
    table = tmp_path / "places.csv"
    table.write_text("id,split\n" + "".join(f"{name},train\n" for name in found))
    files = [
        {"file": "patches-fr/*/*/{id}_rgb.jpg", "bands": ["red", "green", "blue"]},
        {"file": "patches-fr/*/*/{id}_near_ir.jpg", "bands": ["nir"]},
    ]
    images = {
        "multispectral": {"files": files, "sensor": "rgbn"},
        "elevation": {"file": "patches-fr/*/*/{id}_altitude.tif"},
        "classmap": {"file": "patches-fr/*/*/{id}_landcover.tif"},
    }
    dataset = build(
        GeoTiffConfig(path=table, root=folder, id="id", split="split", images=images, origin="true location")
    )
    image = dataset.items("multispectral", "train")[0]
    assert isinstance(image, SensorImage)
    assert (image.names, image.values.shape) == (("red", "green", "blue", "nir"), (4, 256, 256))
    heights = dataset.items("elevation", "train")
    assert heights.place.tolist() == found
    assert heights[0].values.shape == (1, 256, 256)
    with pytest.raises(DataError, match=r"band height without a wavelength.*geobind"):
        heights[0].wavelengths()
    codes = dataset.items("classmap", "train")[0]
    assert set(np.unique(codes).tolist()) <= set(range(34))

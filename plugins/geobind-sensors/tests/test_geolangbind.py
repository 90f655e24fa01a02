import io
import math
import pickle
import tarfile

import numpy as np
import pytest
from geobind_sensors.readers import GeoLangBindConfig
from geobind_sensors.readers.fake import write_geolangbind_example
from geobind_sensors.readers.geolangbind import build
from geobind_sensors.readers.members import located, wavelengths
from geobind_sensors.readers.shards import scan, write_shard
from pydantic import ValidationError

from geobind.data.items import SPLITS
from geobind.data.pairs import match
from geobind.errors import DataError

RGB = "[0.665, 0.56, 0.49]"


def npy(values) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def sample(image=None, waves=RGB, text="a field", **more) -> dict[str, bytes]:
    image = np.zeros((2, 3, 3), np.uint8) if image is None else image
    image = image if isinstance(image, bytes) else npy(image)
    return {"image": image, "text": text.encode(), "wavelength": waves.encode(), **more}


@pytest.fixture
def shard(tmp_path):
    """Write samples into one shard; returns a function that reads it, all of it in train."""

    def write(samples, name="fake_train-000000-train.tar", **keys):
        write_shard(tmp_path / name, samples)
        keys = {"parts": {"rgb": "*_train-*-train.tar"}, "fractions": (1, 0, 0), **keys}
        return build(GeoLangBindConfig(root=tmp_path, **keys))

    return write


def every(dataset, modality):
    return [item for split in SPLITS for item in dataset.items(modality, split)]


def test_samples_read_as_they_were_written(shard):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (4, 5, 3), dtype=np.uint8) for _ in range(6)]
    samples = {f"{n:03}": sample(image, text=f"text {n} äöü\n") for n, image in enumerate(images)}
    dataset = shard(samples)
    assert dataset.modalities == ("rgb", "text")
    items, texts = dataset.items("rgb", "train"), dataset.items("text", "train")
    assert items.place.tolist() == texts.place.tolist() == [f"fake_train-000000-train/{n:03}" for n in range(6)]
    assert list(texts) == [f"text {n} äöü" for n in range(6)]
    for image, item in zip(images, pickle.loads(pickle.dumps(items)), strict=True):
        assert np.array_equal(item.values, image.transpose(2, 0, 1))
        assert item.wavelengths() == (0.665, 0.56, 0.49)
        assert {(band.mean, band.std, band.units) for band in item.bands} == {(127.5, 127.5, "0 … 255")}
        assert item.valid is None
    assert np.isnan(items.lat_lon).all()
    assert set(items.tags["source"]) == {"fake"}
    assert match(dataset, "text", "rgb", "train").rule == "id"
    assert len(set(items.key)) == 6


def test_the_example_has_an_image_of_every_kind(tmp_path):
    dataset = build(GeoLangBindConfig(**write_geolangbind_example(tmp_path)))
    assert dataset.modalities == ("rgb", "sar", "hyperspectral", "elevation", "text")
    assert {item.values.shape for item in every(dataset, "hyperspectral")} == {(12, 16, 16)}
    assert {item.wavelengths() for item in every(dataset, "elevation")} == {(0.665, 0.56, 0.49)}
    assert sum(len(dataset.items("text", split)) for split in SPLITS) == 4 * 8
    kinds = [dataset.items(modality, "train").kind for modality in ("rgb", "sar", "hyperspectral")]
    assert [len(set(kind)) for kind in kinds] == [1, 1, 1]
    assert len({kind[0] for kind in kinds}) == 3


@pytest.mark.parametrize(
    ("shape", "waves", "layers"),
    [
        ((4, 5), RGB, [0, 0, 0]),
        ((4, 5, 1), RGB, [0, 0, 0]),
        ((4, 5, 4), RGB, [0, 1, 2]),
        ((4, 5, 4), "[0.5, 0.6, 0.7, 0.8]", [0, 1, 2, 3]),
        ((4, 5), "[10.9]", [0]),
        ((4, 5, 2), "(3.75, 3.75)", [0, 1]),
    ],
)
def test_grey_and_opaque_pictures_are_taken_as_published(shard, shape, waves, layers):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    item = shard({"a": sample(image, waves)}).items("rgb", "train")[0]
    assert np.array_equal(item.values, np.atleast_3d(image).transpose(2, 0, 1)[layers])


def test_elevation_needs_a_convention(shard):
    samples = {"a": sample(np.full((4, 5), 7, np.uint8), "[0, 0, 0]")}
    with pytest.raises(DataError, match=r"all wavelengths are 0.*sample 'a'.*convention: geolangbind.*never guessed"):
        shard(samples).items("rgb", "train")
    item = shard(samples, convention="geolangbind").items("rgb", "train")[0]
    assert item.wavelengths() == (0.665, 0.56, 0.49)
    assert (item.values == 7).all()


def test_the_order_of_degrees_is_never_guessed(shard):
    samples = {"a": sample(geoloc=b"[12.5, 34.0]"), "b": sample(geoloc=b"[]"), "c": sample()}
    assert np.isnan(shard(samples).items("rgb", "train").lat_lon).all()
    for order, first in {"lat_lon": [12.5, 34.0], "lon_lat": [34.0, 12.5]}.items():
        lat_lon = shard(samples, geoloc=order).items("rgb", "train").lat_lon
        assert lat_lon[0].tolist() == first
        assert np.isnan(lat_lon[1:]).all()
    with pytest.raises(DataError, match="latitude 134.* read as lat_lon"):
        located(b"(134.0, 1)", "lat_lon", "here")


# -- trust -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch ran')",
        "[__import__('os').system('touch ran')]",
        "[" * 5000,
        "[1, 'a']",
        "[True, 1]",
        "{'a': 1}",
        "0.5 0.6",
        "",
        "[]",
        "[0.5, 0]",
        "[-1]",
        "[NaN]",
        "[Infinity]",
        "[1" + ", 1" * 40_000 + "]",
    ],
)
def test_lists_are_parsed_and_never_run(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="wavelengths.*here"):
        wavelengths(text.encode(), "geolangbind", "here")
    assert not list(tmp_path.iterdir())


def test_geoloc_may_be_empty():
    for text in (b"", b"[]", b"None", b"[NaN, NaN]"):
        assert all(map(math.isnan, located(text, "lat_lon", "")))
    with pytest.raises(DataError, match="geoloc has 4 numbers"):
        located(b"[1, 2, 3, 4]", "lat_lon", "")


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (b"", "is no npy file"),
        (b"\x93NUMPY", "is no npy file"),
        (npy(np.zeros((2, 3, 3), np.uint8))[:-1], "is no npy file"),
        (npy(np.array([{"a": 1}], dtype=object)), "is no npy file: Object arrays cannot be loaded"),
        (np.zeros((2, 3, 3), np.float32), r"shape \[2, 3, 3\] and the type float32"),
        (np.zeros((1, 2, 3, 3), np.uint8), r"shape \[1, 2, 3, 3\]"),
        (np.zeros((0, 3, 3), np.uint8), r"shape \[0, 3, 3\]"),
        (np.zeros((2, 3, 5), np.uint8), "the image has 5 layers, and 3 wavelengths"),
    ],
)
def test_images_that_are_none_are_told(shard, image, told):
    items = shard({"a": sample(), "b": sample(image)}).items("rgb", "train")
    assert items[0].values.shape == (3, 2, 3)
    with pytest.raises(DataError, match=rf"{told}.*fake_train-000000-train\.tar, sample .*/b'") as error:
        items[1]
    assert error.value.fix


def test_names_of_members_are_only_names(tmp_path, shard):
    keys = ["../../outside", "/abs/olute", "dir.with.dots/a", "ümlaut", "x" * 300]
    dataset = shard({key: sample(text=key) for key in keys})
    assert list(dataset.items("text", "train")) == keys
    assert len(dataset.items("rgb", "train")) == len(list(dataset.items("rgb", "train"))) == len(keys)
    assert [path.name for path in tmp_path.iterdir()] == ["fake_train-000000-train.tar"]


# -- damage ----------------------------------------------------------------------------------------


def test_a_shard_cut_anywhere_is_told(tmp_path, shard):
    shard({f"{n}": sample(text=f"text {n}") for n in range(3)})
    path = tmp_path / "fake_train-000000-train.tar"
    content = path.read_bytes()
    end = len(content.rstrip(b"\0"))
    for length in [0, *range(256, end, 256)]:
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"fake_train-000000-train\.tar.*bring it again"):
            scan(path)


def test_a_damaged_header_is_not_the_end(tmp_path, shard):
    shard({f"{n}": sample(text=f"text {n}") for n in range(3)})
    path = tmp_path / "fake_train-000000-train.tar"
    with tarfile.open(path) as tar:
        header = tar.getmember("1.text").offset
    content = bytearray(path.read_bytes())
    content[header : header + 8] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"has no end mark after byte {header}"):
        scan(path)


def test_a_compressed_shard_is_told(tmp_path):
    path = tmp_path / "fake_train-0-train.tar"
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a.text"), io.BytesIO())
    with pytest.raises(DataError, match="cannot be read"):
        scan(path)


def test_a_shard_that_became_shorter_is_told(tmp_path, shard):
    items = shard({"a": sample(), "b": sample()}).items("rgb", "train")
    path = tmp_path / "fake_train-000000-train.tar"
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(DataError, match="the shard ends after"):
        items[1]
    path.unlink()
    with pytest.raises(DataError, match="cannot be read: No such file"):
        items[1]


def test_members_that_are_missing_or_twice_are_told(tmp_path, shard):
    for ending in ("image", "text", "wavelength"):
        members = {name: content for name, content in sample().items() if name != ending}
        with pytest.raises(DataError, match=rf"the sample has no \.{ending} \(.*fake_train.*'b'"):
            shard({"a": sample(), "b": members}).items("rgb", "train")
    with tarfile.open(tmp_path / "fake_train-000000-train.tar", "a") as tar:
        tar.addfile(tarfile.TarInfo("a.text"), io.BytesIO())
    with pytest.raises(DataError, match=r"holds 'a\.text' twice"):
        scan(tmp_path / "fake_train-000000-train.tar")
    with pytest.raises(DataError, match="holds no sample"):
        shard({"a": {"jpg": b"", "txt": b""}}).items("rgb", "train")


def test_samples_that_make_no_sense_can_be_skipped(shard):
    samples = {"a": sample(), "b": sample(text=" "), "c": sample(waves="[]"), "d": {"text": b"\xff"}, "e": sample()}
    dataset = shard(samples, strict=False)
    assert [place[-1] for place in dataset.items("rgb", "train").place] == ["a", "e"]
    assert [line.split(" (")[0] for line in dataset.skipped()] == [
        "the text is empty",
        "the wavelengths are []",
        "the sample has no .image",
    ]


# -- splits and identity ---------------------------------------------------------------------------


def test_equal_texts_share_a_split_that_later_shards_do_not_move(shard):
    texts = [f"text {n % 50}" for n in range(200)]
    keys = {"fractions": (0.6, 0.2, 0.2)}
    dataset = shard({f"{n}": sample(text=text) for n, text in enumerate(texts)}, **keys)
    before = {split: dict.fromkeys(dataset.items("text", split)) for split in SPLITS}
    assert sum(map(len, before.values())) == 50
    assert 20 <= len(before["train"]) <= 40
    more = {f"{n}": sample(text=f"text {n}") for n in range(80)}
    dataset = shard(more, name="another_train-000000-train.tar", **keys)
    for split in SPLITS:
        assert set(before[split]) <= set(dataset.items("text", split))
    other = shard(more, name="another_train-000000-train.tar", seed=1, **keys)
    assert set(other.items("text", "val")) != set(dataset.items("text", "val"))


def test_keys_and_fingerprint_change_with_the_shard_and_the_convention(shard):
    one = shard({"a": sample(), "b": sample()})
    again = shard({"a": sample(), "b": sample(np.ones((2, 3, 3), np.uint8))})
    keys = [dataset.items("rgb", "train").key[0] for dataset in (one, again)]
    assert keys[0] == one.items("rgb", "train").key[0]
    assert one.items("text", "train").key[0] == one.items("text", "train").key[1], "equal texts are equal items"
    elevation = shard({"a": sample(waves="[0, 0, 0]")}, convention="geolangbind")
    assert elevation.fingerprint not in (one.fingerprint, again.fingerprint)
    assert [key.split(" #")[0] for key in keys] == ["fake_train-000000-train/a"] * 2


def test_parts_that_make_no_sense_are_told(tmp_path, shard):
    with pytest.raises(DataError, match="no file matches the pattern 'fke_.*There is, for example, 'fake_"):
        shard({"a": sample()}, parts={"rgb": "fke_train-*-train.tar"})
    with pytest.raises(DataError, match="is a shard of both 'rgb' and 'sar'"):
        shard({"a": sample()}, parts={"rgb": "*.tar", "sar": ["fake_*.tar"]})
    with pytest.raises(ValidationError, match="the texts of all of them"):
        GeoLangBindConfig(parts={"text": "*.tar"})
    with pytest.raises(DataError, match="hold no 'rbg'.*Did you mean 'rgb'"):
        shard({"a": sample()}).items("rbg", "train")
    with pytest.raises(DataError, match="folder 'nowhere' does not exist"):
        build(GeoLangBindConfig(root="nowhere", parts={"rgb": "*.tar"}))

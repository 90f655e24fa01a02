"""What an item is in 16 bytes: files by their bytes, read once; others by their key."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobind.builtin import ManifestConfig, ManifestItems
from geobind.data import content
from geobind.data.content import FileDigests, Lookup, digests, first_rows
from geobind.data.items import Items
from geobind.data.manifest import ManifestDataset
from geobind.weights import file_sha256

few = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40)


def table(values):
    return np.array(values, dtype=np.uint64).reshape(-1, 2)


def items(keys, files):
    keys = np.array(keys, dtype=np.str_)
    return Items("toy", str, keys, keys, files=files)


@given(few, few)
def test_lookup_finds_the_first_row_of_each_digest_even_where_first_words_are_shared(held, wanted):
    found = Lookup(table(held)).find(table(wanted))
    assert found.tolist() == [held.index(value) if value in held else -1 for value in wanted]


@given(few)
def test_first_rows_are_the_first_occurrences_in_order(values):
    assert first_rows(table(values)).tolist() == [i for i, v in enumerate(values) if v not in values[:i]]


@pytest.fixture
def reads(monkeypatch):
    """Files that were read, in no order; and every file counts as having come to rest."""
    seen = []
    monkeypatch.setattr(content, "SETTLED_NS", -(10**12))
    monkeypatch.setattr(content, "file_sha256", lambda path: seen.append(path.name) or file_sha256(path))
    return seen


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{name}.txt" for name in "abc"]
    for path in paths:
        path.write_text(f"this is {path.stem}")
    return np.array([str(path) for path in paths])


def test_a_file_is_the_sha256_of_its_bytes_wherever_it_lies(files, tmp_path):
    (tmp_path / "copy.png").write_text("this is a")
    out = FileDigests(tmp_path / "memo")(np.append(files, str(tmp_path / "copy.png")))
    for path, digest in zip(files, out, strict=False):
        assert digest.tobytes() == hashlib.sha256(Path(path).read_bytes()).digest()[:16]
    assert np.array_equal(out[0], out[3])


def test_a_key_is_no_file_of_the_same_bytes(tmp_path):
    (tmp_path / "a").write_text("a lake")
    memo = FileDigests(tmp_path / "memo")
    text, same, other = digests(items(["a lake", "a lake", "a town"], False), memo)
    assert np.array_equal(text, same) and not np.array_equal(text, other)
    assert not np.array_equal(text, digests(items([str(tmp_path / "a")], True), memo)[0])


def test_keys_of_any_length_and_letters():
    keys = ["", "ä", "\udcff", "x" * 10_000, "no end"]
    assert len(first_rows(digests(items(keys, False), None))) == 5


def test_a_file_is_read_once_by_one_and_never_by_the_next(files, tmp_path, reads):
    memo = FileDigests(tmp_path / "memo")
    out = memo(np.concatenate([files, files[:2]]))
    assert sorted(reads) == ["a.txt", "b.txt", "c.txt"] and np.array_equal(out[:2], out[3:])
    assert np.array_equal(memo(files), out[:3])
    assert np.array_equal(FileDigests(tmp_path / "memo")(files), out[:3])
    assert len(reads) == 3


def test_a_change_of_content_is_seen_though_size_and_mtime_are_set_back(files, tmp_path, reads):
    memo = FileDigests(tmp_path / "memo")
    before = memo(files)
    file = Path(files[1])
    stat = file.stat()
    file.write_text("this is B")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    del reads[:]
    after = memo(files)
    assert reads == ["b.txt"] and (after != before).any(axis=1).tolist() == [False, True, False]


def test_a_file_that_changed_just_now_is_read_again(files, tmp_path, reads, monkeypatch):
    monkeypatch.setattr(content, "SETTLED_NS", 2_000_000_000)
    memo = FileDigests(tmp_path / "memo")
    memo(files)
    memo(files)
    assert len(reads) == 6 and not (tmp_path / "memo").exists()


def test_what_cannot_be_read_has_no_content(files, tmp_path, reads):
    paths = np.array([str(tmp_path / "gone"), files[0], str(tmp_path), "nul\0l"])
    out = FileDigests(tmp_path / "memo")(paths)
    assert out.any(axis=1).tolist() == [False, True, False, False]


def test_processes_take_over_from_each_other_and_lose_nothing(files, tmp_path, reads):
    folder = tmp_path / "memo"
    one, two = FileDigests(folder), FileDigests(folder)
    one(files[:1])
    two(files[1:2])  # takes over what the first has written
    one(files[2:])
    assert sorted(reads) == ["a.txt", "b.txt", "c.txt"]
    FileDigests(folder)(files)
    assert len(reads) == 3
    assert len(list(folder.iterdir())) == 1


def test_a_lost_memo_costs_time_alone(files, tmp_path, reads):
    folder = tmp_path / "memo"
    before = FileDigests(folder)(files)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:50])  # one whole entry and a torn one
    assert np.array_equal(FileDigests(folder)(files), before) and len(reads) == 5
    (tmp_path / "file").touch()  # no folder can be made there
    assert np.array_equal(FileDigests(tmp_path / "file" / "memo")(files), before)


def test_progress_names_the_files_that_are_read(files, tmp_path, reads, capsys):
    memo = FileDigests(tmp_path / "memo")
    memo(files, "content of toy")
    memo(files, "content of toy")
    assert capsys.readouterr().err.count("content of toy: 3 files") == 1


def test_a_manifest_says_which_items_are_files(files, tmp_path):
    (tmp_path / "m.csv").write_text("path,caption,lat,lon,split\na.txt,a lake,1,2,train\nb.txt,,3,4,train\n")
    config = ManifestConfig(
        path=tmp_path / "m.csv",
        split="split",
        origin="true location",
        items={
            "satellite": ManifestItems(column="path"),
            "text": ManifestItems(column="caption", text=True),
            "location": ManifestItems(lat="lat", lon="lon"),
        },
    )
    data = ManifestDataset(config)
    found = {modality: data.items(modality, "train") for modality in data.modalities}
    assert {modality: table.files for modality, table in found.items()} == {
        "satellite": True,
        "text": False,
        "location": False,
    }
    assert found["satellite"].key.tolist() == [str((tmp_path / name).resolve()) for name in ("a.txt", "b.txt")]
    assert found["satellite"].take(np.array([1])).files
    memo = FileDigests(tmp_path / "memo")
    assert np.array_equal(digests(found["satellite"], memo), memo(files[:2]))

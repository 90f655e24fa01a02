"""Segments on disk: what was written is read, and nothing else, whatever lies at the end of a file."""

from __future__ import annotations

import errno
import os
import shutil

import numpy as np
import pytest

from geobind.data.content import Digests
from geobind.features.store import Meta, Store, default_folder, listed, write_error

META = Meta(encoder="x.Y", modality="toy", view=0, width=3, geobind="0", created="2026-01-01")
BLOCKS = [4, 1, 3]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "toy-store", META)


def rows(first, n) -> tuple[Digests, np.ndarray]:
    """Digests that scatter, and features that tell their row."""
    at = np.arange(first, first + n, dtype=np.uint64)
    return np.stack([at * np.uint64(0x9E3779B97F4A7C15), at], axis=1), np.repeat(at[:, None], 3, axis=1).astype("f4")


def fill(store, first=0, blocks=BLOCKS):
    with store.writer() as writer:
        for n in blocks:
            writer.append(*rows(first, n))
            first += n


def content(stored):
    """The rows that a store gives for all digests that were ever written."""
    at = stored.find(rows(0, 30)[0])
    held = np.flatnonzero(at >= 0)
    np.testing.assert_array_equal(stored.gather(at[held]), rows(0, 30)[1][held])
    assert len(held) == len(stored)
    return held.tolist()


def test_what_is_written_is_read_over_all_segments(store):
    assert content(store.read()) == []
    fill(store)
    fill(store, first=10)
    stored = store.read()
    assert content(stored) == [*range(8), *range(10, 18)] and stored.width == 3
    some = stored.find(rows(0, 30)[0][[17, 3, 3, 10, 0]])
    out = stored.gather(some)
    assert out[:, 0].tolist() == [17, 3, 3, 10, 0] and out.dtype == np.float32 and out.flags.writeable
    assert stored.gather(some[:0]).shape == (0, 3)


def test_of_equal_digests_the_oldest_is_taken(store):
    fill(store)
    with store.writer() as writer:
        writer.append(rows(0, 4)[0], rows(20, 4)[1])
    stored = store.read()
    assert len(stored) == 12 and stored.gather(stored.find(rows(2, 1)[0]))[0, 0] == 2


def test_a_reader_sees_what_was_there_and_keeps_it(store):
    fill(store)
    stored = store.read()
    fill(store, first=10)
    shutil.rmtree(store.path)
    assert content(stored) == [*range(8)] and content(store.read()) == []


@pytest.mark.parametrize("kind", ["features", "index"])
def test_a_torn_tail_costs_whole_blocks_and_nothing_else(store, kind):
    fill(store)
    (path,) = store.path.glob(f"*.{kind}")
    whole = path.read_bytes()
    head, row = (16, 16) if kind == "index" else (0, 12)
    ends = np.cumsum([head + n * row for n in BLOCKS])
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        assert content(store.read()) == [*range(sum(np.array(BLOCKS)[ends <= size]))]


@pytest.mark.parametrize("tail", [bytes(48), b"\xff" * 48, bytes(5), b"\x01" + bytes(31)])
def test_garbage_at_the_end_is_not_looked_at(store, tail):
    fill(store)
    for path in store.path.glob("0*"):
        with path.open("ab") as file:
            file.write(tail)
    assert content(store.read()) == [*range(8)]


def test_a_damaged_digest_ends_what_is_trusted(store):
    fill(store)
    (path,) = store.path.glob("*.index")
    data = bytearray(path.read_bytes())
    data[16 + 4 * 16 + 16 + 3] ^= 1  # in the second block
    path.write_bytes(data)
    assert content(store.read()) == [*range(4)]


def test_index_without_features_is_nothing(store):
    fill(store)
    next(store.path.glob("*.features")).unlink()
    assert content(store.read()) == []


def test_a_block_is_on_disk_before_its_index_is(store, monkeypatch):
    """The order that makes a power cut harmless: features, sync, index, sync."""
    done = []
    write, sync = os.write, os.fsync

    def kind(file):
        inode = os.fstat(file).st_ino
        return next(path.suffix for path in store.path.iterdir() if path.stat().st_ino == inode)

    with store.writer() as writer:
        writer.append(*rows(0, 2))
        monkeypatch.setattr(os, "write", lambda file, data: done.append(("write", kind(file))) or write(file, data[:7]))
        monkeypatch.setattr(os, "fsync", lambda file: done.append(("sync", kind(file))) or sync(file))
        writer.append(*rows(2, 2))
        monkeypatch.undo()
    assert list(dict.fromkeys(done)) == [(a, b) for b in (".features", ".index") for a in ("write", "sync")]
    assert content(store.read()) == [*range(4)]  # though it was written seven bytes at a time


def test_nothing_is_made_before_there_is_something_to_keep(store):
    with store.writer():
        pass
    assert not store.path.exists()


def test_listing_shows_stores_and_no_strangers(store, tmp_path):
    fill(store)
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger" / "meta.json").write_text('{"a": 1}')
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "meta.json").write_text("{")
    os.utime(store.path / "meta.json", (1000, 1000))
    (found,) = listed(tmp_path)
    size = sum(path.stat().st_size for path in store.path.iterdir())
    assert (found.meta, found.items, found.bytes, found.used) == (META, 8, size, 1000)
    store.read()
    assert listed(tmp_path)[0].used > 1000  # reading is using
    found.remove()
    assert not store.path.exists() and (tmp_path / "stranger").exists()


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GEOBIND_CACHE", str(tmp_path / "a"))
    assert default_folder() == tmp_path / "a"
    monkeypatch.delenv("GEOBIND_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert default_folder() == tmp_path / "b/geobind/features"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache/geobind/features"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_with_the_bytes_wanted(number, tmp_path):
    text = str(write_error(OSError(number, "full"), tmp_path, 12_345_678))
    assert "12.3 MB are still to be written" in text and str(tmp_path) in text
    assert "GEOBIND_CACHE" in text and "geobind cache clear" in text


def test_any_other_trouble_is_told_by_its_name(tmp_path):
    assert "Permission denied" in str(write_error(PermissionError(errno.EACCES, "Permission denied"), tmp_path, 1))

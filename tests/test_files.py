"""Atomic writing."""

import pytest

from geobind.files import write_atomic


def test_writes_text_and_bytes_and_replaces(tmp_path):
    path = tmp_path / "new" / "file.txt"
    assert write_atomic(path, "grüße\n") == path
    assert path.read_bytes() == "grüße\n".encode()
    write_atomic(path, b"\x00\r\n")
    assert path.read_bytes() == b"\x00\r\n"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_is_as_readable_as_any_file(tmp_path):
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert write_atomic(tmp_path / "atomic", "x").stat().st_mode == ordinary.stat().st_mode


def test_failure_leaves_the_old_content_and_no_stray_file(tmp_path, monkeypatch):
    path = write_atomic(tmp_path / "file", "old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]

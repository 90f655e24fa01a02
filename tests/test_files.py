"""Atomic writing, and what is said when there is no room."""

import os
import resource
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobind.errors import GeobindError
from geobind.files import FULL, append_line, atomic_file, remove_parts, write_atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_text_and_bytes_and_replaces(tmp_path):
    path = tmp_path / "new" / "file.txt"
    assert write_atomic(path, "grüße\n") == path
    assert path.read_bytes() == "grüße\n".encode()
    write_atomic(path, b"\x00\r\n")
    assert path.read_bytes() == b"\x00\r\n"
    assert names(path.parent) == ["file.txt"]


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_a_file_written_piece_by_piece(tmp_path_factory, pieces):
    path = tmp_path_factory.getbasetemp() / "pieces" / "file"
    with atomic_file(path) as file:
        for piece in pieces:
            file.write(piece)
    assert path.read_bytes() == b"".join(pieces) and names(path.parent) == ["file"]


def test_the_old_content_is_there_until_the_block_ends(tmp_path):
    path = write_atomic(tmp_path / "file", "old")
    with atomic_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
        (part,) = tmp_path.glob(".*.part")
        assert part.read_text() == "new"
    assert path.read_text() == "new"


def test_is_as_readable_as_any_file(tmp_path):
    before = os.umask(0o027)
    try:
        ordinary = tmp_path / "ordinary"
        ordinary.touch()
        assert write_atomic(tmp_path / "atomic", "x").stat().st_mode == ordinary.stat().st_mode
    finally:
        os.umask(before)


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), OSError(5, "Input/output error")])
def test_failure_leaves_the_old_content_and_no_stray_file(tmp_path, error):
    path = write_atomic(tmp_path / "file", "old")
    with pytest.raises(type(error)), atomic_file(path) as file:
        file.write(b"half")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["file"]


@pytest.mark.parametrize("number", sorted(FULL))
def test_no_room_is_told_with_the_path(tmp_path, monkeypatch, number):
    path = write_atomic(tmp_path / "file", "old")

    def full(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", full)
    for write in (write_atomic, append_line):
        with pytest.raises(GeobindError, match=f"{path}' cannot be written: {os.strerror(number)}.*Make room"):
            write(path, "new")
    monkeypatch.undo()
    assert names(tmp_path) == ["file"]


def test_no_room_in_earnest(tmp_path):
    """A limit of the system on the size of files, met by torch.save as by plain writing."""
    write_atomic(tmp_path / "file", "old")
    script = (
        "import resource, sys, torch\n"
        "from geobind.errors import GeobindError\n"
        "from geobind.files import atomic_file, write_atomic\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, {resource.RLIM_INFINITY}))\n"
        "for write in (lambda f: torch.save({'x': torch.zeros(50_000)}, f), lambda f: f.write(bytes(200_000))):\n"
        "    try:\n"
        "        with atomic_file('file') as file: write(file)\n"
        "    except GeobindError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.count("'file' cannot be written: File too large") == 2
    assert (tmp_path / "file").read_text() == "old" and names(tmp_path) == ["file"]


def test_lines_are_added(tmp_path):
    path = tmp_path / "folder" / "lines"
    append_line(path, "ä")
    append_line(path, "b")
    assert path.read_text() == "ä\nb\n"


def test_parts_of_killed_writers_are_removed(tmp_path):
    script = (
        "import os\nfrom geobind.files import atomic_file\n"
        "with atomic_file('file') as file:\n    file.write(b'x')\n    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=tmp_path).returncode == -9
    write_atomic(tmp_path / "other.part", "not a stray")
    assert len(names(tmp_path)) == 2 and not (tmp_path / "file").exists()
    remove_parts(tmp_path)
    assert names(tmp_path) == ["other.part"]

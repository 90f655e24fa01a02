"""Write files so that a reader meets the old content or the new, never a half."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from geobind.errors import GeobindError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a system says when there is no room: the disk is full, a quota is used up, a file may not grow so large."""


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of ``path`` when the block ends: written beside it, synced, then renamed.

    Missing parent folders are made. A failure leaves what was there before and no stray file; only a process that is
    killed leaves its part behind, for :func:`remove_parts`.

    Raises:
        GeobindError: There is no room for it.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with told_when_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    _sync_folder(path.parent)


def write_atomic(path: str | os.PathLike[str], data: bytes | str) -> Path:
    """Write ``data`` (text as UTF-8) to ``path`` as :func:`atomic_file` does.

    Returns:
        The path written.

    Raises:
        GeobindError: There is no room for it.
    """
    with atomic_file(path) as file:
        file.write(data.encode("utf-8") if isinstance(data, str) else data)
    return Path(path)


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file and sync it to disk; whoever is killed meanwhile leaves half a line at the end.

    Raises:
        GeobindError: There is no room for it.
    """
    with told_when_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(line.encode("utf-8") + b"\n")
            file.flush()
            os.fsync(file.fileno())


def remove_parts(folder: Path) -> None:
    """Remove what killed writers left in a folder (not in those below it); nobody may be writing there."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


@contextmanager
def told_when_full(path: Path) -> Iterator[None]:
    """Turn the system's error about a lack of room into a sentence that names ``path``.

    It is looked for among the causes too, because torch.save hides it behind an error of its own.
    """
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not (isinstance(cause, OSError) and cause.errno in FULL):
            cause = cause.__context__
        if cause is None or isinstance(error, GeobindError):
            raise
        raise GeobindError(
            f"{str(path)!r} cannot be written: {cause.strerror}",
            fix="What was there before is untouched. Make room (`df -h`, `quota`, `ulimit -f` tell what is short), "
            "or name another folder, and run the command again.",
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut; the renaming itself is done, and not every file system can do this."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

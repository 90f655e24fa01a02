"""Shards of the WebDataset kind: plain tar files whose members ``KEY.image``, ``KEY.text``, … make up samples.

A shard is walked through once, header by header; after that any member is one seek away. Names of members are only
names: nothing is ever unpacked. N samples of a shard.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geobind.errors import DataError
from geobind.files import atomic_file

FIELDS = ("image", "text", "wavelength", "geoloc")
"""What a sample of GeoLangBind has; members with other endings are passed over."""
DAMAGED_TAR = (tarfile.TarError, OSError, ValueError, OverflowError)
"""What tarfile raises for an archive that is none."""
AGAIN = "The shard is damaged or cut short: bring it again."


@dataclass(frozen=True, eq=False)
class Index:
    """Where everything is in a shard; 64 bytes a sample and its key."""

    path: Path
    keys: NDArray[np.str_] = field(repr=False)
    """``[N]`` in the order of the shard."""
    at: NDArray[np.int64] = field(repr=False)
    """``[N, 4, 2]`` offset and size in bytes of each of :data:`FIELDS`; an offset of -1 where there is none."""


def scan(path: Path) -> Index:
    """Find every sample of a shard.

    Raises:
        DataError: It is no plain tar file, ends too early, holds no sample, or one of its members twice.
    """
    found: dict[str, list[list[int]]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # or every header stays in memory
                key, _, ending = _split(member.name)
                if not member.isreg() or ending not in FIELDS:
                    continue
                where = found.setdefault(key, [[-1, 0] for _ in FIELDS])[FIELDS.index(ending)]
                if where[0] >= 0:
                    raise DataError(
                        f"the shard holds {member.name!r} twice", where=str(path), fix="Keys of samples are unique."
                    )
                where[:] = member.offset_data, member.size
            end = tar.offset
        with path.open("rb") as file:  # tarfile takes a damaged header for the end
            file.seek(end)
            whole = file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)
    except DAMAGED_TAR as error:
        raise DataError(f"shard {str(path)!r} cannot be read: {error}", fix=AGAIN) from error
    if not whole:
        raise DataError(f"shard {str(path)!r} has no end mark after byte {end}", fix=AGAIN)
    if not found:
        fix = f"Members are called KEY.{', KEY.'.join(FIELDS)}; mend the pattern of the shards."
        raise DataError(f"shard {str(path)!r} holds no sample", fix=fix)
    return Index(path, np.array(list(found), dtype=np.str_), np.array(list(found.values()), dtype=np.int64))


def read_member(path: Path, at: tuple[int, int], where: str) -> bytes:
    """The bytes of a member.

    Args:
        path: The shard.
        at: Offset and size in bytes.
        where: Sample, for messages.

    Raises:
        DataError: The shard is gone, or has become shorter.
    """
    offset, size = at
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
    except OSError as error:
        raise DataError(f"shard {str(path)!r} cannot be read: {error.strerror}", where=where, fix=AGAIN) from error
    if len(data) != size:
        raise DataError(f"the shard ends after {len(data)} of {size} bytes", where=where, fix=AGAIN)
    return data


def write_shard(path: Path, samples: Mapping[str, Mapping[str, bytes]]) -> None:
    """Write a shard: key → ending → content, for example ``{"000": {"text": b"a field", …}}``.

    Bytes that depend on the samples alone: no times, no owners.
    """
    with atomic_file(path) as file, tarfile.open(fileobj=file, mode="w") as tar:
        for key, members in samples.items():
            for ending, content in members.items():
                member = tarfile.TarInfo(f"{key}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def _split(name: str) -> tuple[str, str, str]:
    """Key, dot and ending: a name is cut at the first dot of its last part, as WebDataset does."""
    folder, slash, last = name.rpartition("/")
    stem, dot, ending = last.partition(".")
    return folder + slash + stem, dot, ending.lower()

"""Open audio items and decode only the windows that are asked for, as mono at the wanted rate."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import geobind

with geobind.needs("soundfile", "pip install soundfile"):
    import soundfile  # type: ignore[import-untyped]
with geobind.needs("soxr", "pip install soxr"):
    import soxr  # type: ignore[import-untyped]

Samples = NDArray[np.float32]

LOUDEST = 32.0
"""30 dB over full scale. Float files do exceed 1; beyond this the samples are surely integers in disguise."""
SLOWEST, FASTEST = 1.0, 1e7
"""Hz: no sound is sampled at another rate, and resampling from one would fill the memory."""
STREAMED = 2**31 - 4096
"""WAV data sizes from here on are placeholders of programs that wrote to a pipe (FFmpeg, SoX), not sizes."""
OGG_PAGE = 65_307
"""Largest Ogg page in bytes (RFC 3533)."""
MP3_PREROLL = 32 * 1152
"""Samples decoded before an MP3 window and dropped: a frame borrows up to 511 bytes from frames before it, which is
up to 28 small ones, and a decoder that starts in their midst answers with silence."""
END_OF_STREAM = 4
"""Bit of an Ogg page's flags, set on the last page."""


@dataclass(frozen=True)
class Recording:
    """An opened audio item. Its samples are decoded by :meth:`window`, not before."""

    name: str
    """What error messages call it."""
    rate: float
    """Samples per second, Hz."""
    frames: int
    """Samples per channel; at least 1."""
    read: Callable[[int, int], Samples]
    """``(start, frames) -> [frames, channels]`` at :attr:`rate`."""

    def window(self, start: int, frames: int, rate: int) -> Samples:
        """Decode ``frames`` frames from ``start`` on, average the channels and resample to ``rate`` Hz: ``[n]``.

        A window that reaches over the end of the recording holds what there is.

        Raises:
            DataError: The file is cut off or damaged there, or holds values that are no sound.
        """
        frames = min(frames, self.frames - start)
        try:
            samples = self.read(start, frames)
        except soundfile.SoundFileError as error:
            raise self._damaged(start, str(error)) from error
        if len(samples) < frames:
            raise self._damaged(start, f"{len(samples)} of {frames} samples are there")
        if not np.isfinite(samples).all():
            raise geobind.DataError(f"audio {self.name} holds NaN or infinite samples", fix="Replace or drop it.")
        peak = float(np.abs(samples).max())
        if peak > LOUDEST:
            raise geobind.DataError(
                f"audio {self.name} has samples up to {peak:g}; full scale is 1",
                fix="Divide integer samples by their full scale, for example 32768.",
            )
        channel = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
        mono = soxr.resample(channel, self.rate, rate)
        if not len(mono):
            raise geobind.DataError(
                f"audio {self.name} has {self.frames} samples at {self.rate:g} Hz, less than one at {rate} Hz",
                fix="Drop it.",
            )
        return np.asarray(mono, dtype=np.float32)

    def _damaged(self, start: int, reason: str) -> geobind.DataError:
        return geobind.DataError(
            f"audio {self.name} cannot be decoded at {start / self.rate:.2f} s: {reason}",
            fix="It is truncated or damaged: replace or drop it.",
        )


@contextmanager
def open_recording(item: Any) -> Iterator[Recording]:
    """Open an audio item.

    Args:
        item: Path of a file that libsndfile reads (WAV, FLAC, OGG, MP3), or ``(samples, rate)`` with float samples
            ``[n]`` or ``[n, channels]`` in [-1, 1] and the rate in Hz.

    Raises:
        DataError: No such file, empty, truncated, not audio, or samples that make no sense.
    """
    if isinstance(item, (str, Path)):
        path = Path(item)
        with _open_file(path) as file:
            yield Recording(repr(str(path)), file.samplerate, file.frames, lambda *span: _read_file(file, *span))
    else:
        yield _array_recording(item)


def _open_file(path: Path) -> soundfile.SoundFile:
    try:
        there = path.is_file()
    except OSError:  # a name that no file can have
        there = False
    if not there:
        raise geobind.DataError(f"audio file {str(path)!r} does not exist", fix="Check the path in the manifest.")
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: headerless .raw
        reason = "is empty" if path.stat().st_size == 0 else "is not audio that libsndfile can read"
        raise geobind.DataError(f"audio file {str(path)!r} {reason}", fix="Convert, replace or drop it.") from error
    problem = "is truncated" if _is_cut_off(path, file) else "holds no samples" if file.frames == 0 else ""
    if problem:
        file.close()
        raise geobind.DataError(f"audio file {str(path)!r} {problem}", fix="Replace or drop it.")
    return file


def _is_cut_off(path: Path, file: soundfile.SoundFile) -> bool:
    """Whether a WAV or Ogg ends early; libsndfile reads what is left of these without a word.

    The other formats give themselves away when their end is read.
    """
    if file.format == "OGG":
        with path.open("rb") as raw:
            raw.seek(max(0, path.stat().st_size - OGG_PAGE))
            tail = raw.read()
        start = tail.rfind(b"OggS")
        page = tail[start:] if start >= 0 else b""
        if len(page) < 27 or not page[5] & END_OF_STREAM:
            return True
        segments = page[26]
        return len(page) < 27 + segments + sum(page[27 : 27 + segments])
    # libsndfile's log of a WAV header whose data chunk claims more bytes than the file has.
    claim = re.search(r"^data : (\d+) \(should be \d+\)", file.extra_info, re.MULTILINE)
    return claim is not None and int(claim[1]) < STREAMED


def _read_file(file: soundfile.SoundFile, start: int, frames: int) -> Samples:
    early = min(start, MP3_PREROLL) if file.format == "MP3" else 0
    file.seek(start - early)
    samples: Samples = file.read(early + frames, dtype="float32", always_2d=True)
    return samples[early:]


def _array_recording(item: Any) -> Recording:
    try:
        samples, rate = item
        samples, rate = np.asarray(samples), float(rate)
    except (TypeError, ValueError):
        raise geobind.DataError(
            f"{type(item).__name__} is not an audio item", fix="Give a path, or (samples, rate in Hz)."
        ) from None
    name = f"array of shape {samples.shape} and dtype {samples.dtype}"
    if samples.dtype.kind != "f" or samples.ndim not in (1, 2):
        raise geobind.DataError(f"audio {name} is not sound", fix="Give floats in [-1, 1], [n] or [n, channels].")
    if not SLOWEST <= rate <= FASTEST:
        raise geobind.DataError(f"audio {name} has rate {rate:g} Hz", fix="Give the sampling rate in Hz.")
    if not samples.size:
        raise geobind.DataError(f"audio {name} holds no samples", fix="Drop it.")
    frames = samples.reshape(len(samples), -1)
    if frames.shape[1] > max(len(frames), 8):
        raise geobind.DataError(f"audio {name} has more channels than samples", fix="Transpose it to [n, channels].")

    def read(start: int, count: int) -> Samples:
        with np.errstate(over="ignore"):  # what no float32 holds becomes infinite, and is refused
            return frames[start : start + count].astype(np.float32)

    return Recording(name, rate, len(frames), read)

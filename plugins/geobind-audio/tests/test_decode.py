"""Decoding: the right samples of the right window, and a sentence for everything that is not sound."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from geobind_audio.decode import open_recording

from geobind import DataError

RATE = 44_100
FORMATS = ["wav", "flac", "ogg", "mp3"]


def chirp(seconds: float = 6.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * 440 * t * (1 + t / 10))).astype(np.float32)


def whole(item: Any, rate: int = 16_000) -> np.ndarray:
    with open_recording(item) as recording:
        return recording.window(0, recording.frames, rate)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_window_is_that_part_of_the_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"chirp.{suffix}"
    soundfile.write(path, chirp(), RATE)
    everything = whole(path, RATE)
    assert np.corrcoef(everything, chirp())[0, 1] > 0.999
    with open_recording(path) as recording:
        assert (recording.rate, recording.frames) == (RATE, 6 * RATE)
        window = recording.window(100_000, 5_000, RATE)
    np.testing.assert_allclose(window, everything[100_000:105_000], atol=1e-6)


def test_only_the_window_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "chirp.wav"
    soundfile.write(path, chirp(), RATE)
    decoded: list[int] = []
    read = soundfile.SoundFile.read

    def counting(file: soundfile.SoundFile, frames: int, **options: Any) -> np.ndarray:
        decoded.append(frames)
        return read(file, frames, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    with open_recording(path) as recording:
        recording.window(RATE, RATE // 2, 16_000)
    assert decoded == [RATE // 2]


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_resampling_keeps_length_pitch_and_level(rate: int) -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(2 * rate) / rate).astype(np.float32)
    samples = whole((tone, rate))
    assert len(samples) == 32_000
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert spectrum.argmax() / 2 == 1_000  # bins are 0.5 Hz apart
    assert np.std(samples[1_000:-1_000]) == pytest.approx(math.sqrt(0.5), rel=1e-3)


def test_channels_are_averaged_alike_in_files_and_arrays(tmp_path: Path) -> None:
    left, right = chirp(1), np.roll(chirp(1), 77)
    stereo = np.stack([left, right], axis=1)
    path = tmp_path / "stereo.wav"
    soundfile.write(path, stereo, RATE, subtype="FLOAT")
    np.testing.assert_array_equal(whole(path), whole((stereo, RATE)))
    np.testing.assert_allclose(whole((stereo, RATE), RATE), (left + right) / 2, atol=1e-7)
    np.testing.assert_array_equal(whole((left[:, None], RATE)), whole((left, RATE)))


@pytest.mark.parametrize("kept", [0.5, 0.98])
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut.{suffix}"
    soundfile.write(path, chirp(), RATE)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match=rf"cut\.{suffix}'.*truncated"):
        whole(path)


def test_a_streamed_wav_without_a_size_is_read(tmp_path: Path) -> None:
    """FFmpeg and SoX leave a placeholder in the header when they write to a pipe."""
    path = tmp_path / "piped.wav"
    soundfile.write(path, chirp(1), RATE)
    content = bytearray(path.read_bytes())
    size = content.index(b"data") + 4
    content[size : size + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(whole(path)) == 16_000


def test_files_that_hold_no_sound_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.wav' does not exist"):
        whole(tmp_path / "nowhere.wav")
    with pytest.raises(DataError, match="does not exist"):
        whole(tmp_path)
    (tmp_path / "empty.mp3").touch()
    with pytest.raises(DataError, match=r"empty\.mp3' is empty"):
        whole(tmp_path / "empty.mp3")
    for name in ("page.flac", "page.raw"):
        (tmp_path / name).write_text("<html>404</html>")
        with pytest.raises(DataError, match=f"{name}' is not audio"):
            whole(str(tmp_path / name))
    soundfile.write(tmp_path / "zero.wav", np.zeros(0, np.float32), RATE)
    with pytest.raises(DataError, match=r"zero\.wav' holds no samples"):
        whole(tmp_path / "zero.wav")
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan, np.float32), RATE, subtype="FLOAT")
    with pytest.raises(DataError, match=r"nan\.wav' holds NaN"):
        whole(tmp_path / "nan.wav")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ((np.zeros(9, np.int16), RATE), "dtype int16 is not sound"),
        ((np.full(9, 9_000.0), RATE), "samples up to 9000; full scale is 1"),
        ((np.array([0, math.inf, 0.0]), RATE), "holds NaN or infinite"),
        ((np.zeros((2, 4, 3)), RATE), r"shape \(2, 4, 3\).* is not sound"),
        ((np.zeros((2, 4_000)), RATE), "more channels than samples"),
        ((np.zeros(0), RATE), "holds no samples"),
        ((np.zeros(9), 0), "has rate 0 Hz"),
        ((np.zeros(9), math.nan), "has rate nan Hz"),
        ((np.zeros(9), 1e12), "has rate 1e\\+12 Hz"),
        ((np.full(9, 1e300), RATE), "holds NaN or infinite"),
        ("a" * 5_000, "does not exist"),
        ((np.zeros(1), RATE), "less than one at 16000 Hz"),
        (np.zeros(9), "ndarray is not an audio item"),
        (7, "int is not an audio item"),
        (("a.wav", "b.wav"), "tuple is not an audio item"),
    ],
)
def test_arrays_that_are_no_sound_are_refused(item: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        whole(item)

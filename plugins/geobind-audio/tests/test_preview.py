"""What a report plays of a sound; test_windows.py looks at what it shows."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from geobind_audio.preview import SOUND_RATE, preview, sound

from geobind import DataError
from geobind.modality import load_object
from geobind.plugins import get_plugins


def tone(seconds: float, rate: int = 44_100, level: float = 0.5, hertz: float = 1_000) -> tuple[np.ndarray, int]:
    t = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hertz * t)).astype(np.float32), rate


def played(item: object) -> tuple[np.ndarray, soundfile.SoundFile]:
    with soundfile.SoundFile(io.BytesIO(sound(item))) as file:
        return file.read(), file


def test_the_modality_names_both() -> None:
    spec = get_plugins().modality("audio")
    assert load_object(spec.preview) is preview
    assert load_object(spec.sound) is sound


def test_the_sound_is_a_small_mono_mp3_of_the_first_ten_seconds() -> None:
    long, rate = tone(14)
    samples, file = played((np.stack([long, long], axis=1), rate))
    assert (file.format, file.channels, file.samplerate) == ("MP3", 1, SOUND_RATE)
    assert len(samples) / SOUND_RATE == pytest.approx(10, abs=0.1)
    assert len(sound((long, rate))) < 120_000


def test_the_sound_keeps_pitch_and_level() -> None:
    samples, _ = played(tone(2))
    middle = samples[SOUND_RATE // 2 : SOUND_RATE // 2 + SOUND_RATE]  # 1 s: bins are 1 Hz apart
    assert np.abs(np.fft.rfft(middle)).argmax() == 1_000
    assert np.std(middle) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_what_is_over_full_scale_is_turned_down_rather_than_clipped() -> None:
    samples, _ = played(tone(2, level=4))
    middle = samples[SOUND_RATE // 2 : SOUND_RATE // 2 + SOUND_RATE]
    spectrum = np.abs(np.fft.rfft(middle))
    assert spectrum[2_990:3_010].max() < 0.01 * spectrum[1_000]  # a clipped tone has a strong third harmonic


def test_silence_is_played_as_silence() -> None:
    assert not played((np.zeros(16_000, dtype=np.float32), 16_000))[0].any()


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        sound(tmp_path / "nowhere.wav")

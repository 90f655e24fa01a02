"""The window policy and the spectrogram: known answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from geobind_audio import MelCnnConfig
from geobind_audio.mel import LogMel, mel_filters
from geobind_audio.mel_cnn import MelCnn
from geobind_audio.preview import preview
from geobind_audio.windows import repeat_pad, window_starts
from hypothesis import given
from hypothesis import strategies as st

from geobind import RecipeError
from geobind.plugins import get_plugins


@given(frames=st.integers(1, 10**6), window=st.integers(1, 10**5), limit=st.integers(1, 12))
def test_windows_are_evenly_spaced_from_end_to_end(frames: int, window: int, limit: int) -> None:
    starts = window_starts(frames, window, limit)
    assert len(starts) == min(limit, -(-frames // window))
    if frames <= window:
        assert starts == [0]
    elif len(starts) == 1:
        assert starts == [(frames - window) // 2]
    else:
        assert (starts[0], starts[-1]) == (0, frames - window)
        assert np.ptp(np.diff(starts)) <= 1
        if len(starts) == -(-frames // window):
            assert max(np.diff(starts)) <= window, "a part of the clip is never heard"


def test_repeat_pad_repeats_whole_clips_only() -> None:
    samples = np.array([1, 2, 3], np.float32)
    assert repeat_pad(samples, 8).tolist() == [1, 2, 3, 1, 2, 3, 0, 0]
    assert repeat_pad(samples, 3).tolist() == [1, 2, 3]


def test_a_long_clip_is_the_mean_of_its_windows() -> None:
    encoder = MelCnn(MelCnnConfig(seconds=1, windows=2)).eval()
    rng = np.random.default_rng(0)
    clip = rng.uniform(-0.1, 0.1, 40_000).astype(np.float32)

    def embed(samples: np.ndarray) -> torch.Tensor:
        with torch.no_grad():
            return encoder(encoder.collate([encoder.preprocess((samples, 16_000), train=False)]))

    halves = (embed(clip[:16_000]) + embed(clip[-16_000:])) / 2
    torch.testing.assert_close(embed(clip), halves, atol=1e-6, rtol=1e-5)


def test_training_hears_one_random_window_of_the_generator(noise: Callable[..., tuple[np.ndarray, int]]) -> None:
    encoder = MelCnn(MelCnnConfig(seconds=1))
    state = torch.get_rng_state()

    def draw(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return encoder.preprocess(noise(5), train=True, generator=generator)["inputs"]

    assert draw(0).shape == (1, 98, 64)
    assert torch.equal(draw(0), draw(0)) and not torch.equal(draw(0), draw(1))
    assert torch.equal(torch.get_rng_state(), state), "a draw came from the global generator"
    exact = encoder.preprocess(noise(5), train=False)["inputs"]
    assert exact.shape == (4, 98, 64) and torch.equal(exact, encoder.preprocess(noise(5), train=False)["inputs"])


def test_a_tone_lights_its_own_band() -> None:
    log_mel = LogMel(16_000, 64, 125, 7_500)
    centres = 700 * np.expm1(np.linspace(*(1127 * np.log1p(np.array([125, 7_500]) / 700)), 66)[1:-1] / 1127)
    for band in (10, 30, 60):
        tone = np.sin(2 * np.pi * centres[band] * np.arange(16_000) / 16_000).astype(np.float32)
        assert log_mel(tone).argmax(dim=1).unique().tolist() == [band]


def test_the_policy_is_described() -> None:
    policy = MelCnn(MelCnnConfig(seconds=2)).describe_preprocessing()
    assert (policy["window_seconds"], policy["max_windows"], policy["sample_rate"]) == (2, 4, 16_000)
    assert "evenly spaced" in policy["longer_clips"] and "repeated" in policy["shorter_clips"]


def test_recipes_reach_the_encoders() -> None:
    choice = get_plugins().encoder("audio", {"type": "mel_cnn", "width": 4, "embed_dim": 7})
    assert choice.build().embed_dim == 7


def test_silence_and_less_than_a_frame() -> None:
    log_mel = LogMel(16_000, 64, 125, 7_500)
    assert torch.equal(log_mel(np.zeros(16_000, np.float32)), torch.full((98, 64), 0.001).log())
    assert log_mel(np.ones(5, np.float32)).shape == (1, 64)


def test_filters_are_yamnets(shared: Path) -> None:
    with np.load(shared / "weights/yamnet/yamnet_dequantised_fp16.npz", allow_pickle=False) as arrays:
        theirs = arrays["mel"].astype(float)
    # The file's copy went through 8 bits of 0.00784 a step, then through half precision.
    np.testing.assert_allclose(mel_filters(16_000, 512, 64, 125, 7_500), theirs, atol=0.00784 / 2 + 2**-11)


def test_bands_too_narrow_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"of 256 mel bands between 50 and 8000 Hz lie between two frequencies"):
        MelCnn(MelCnnConfig(mels=256))


def test_preview_shows_low_below_high(noise: Callable[..., tuple[np.ndarray, int]]) -> None:
    low = np.sin(2 * np.pi * 150 * np.arange(32_000) / 16_000).astype(np.float32)
    picture = preview((low, 16_000))
    assert (picture.mode, picture.size) == ("L", (198, 64))
    rows = np.asarray(picture).mean(axis=1)
    assert rows[-8:].max() == rows.max() and rows[-8:].mean() > rows[:32].mean() + 50
    assert preview(noise(30)).size == (998, 64)
    assert np.asarray(preview((np.zeros(100), 16_000))).max() == 0

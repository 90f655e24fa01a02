"""Log-mel spectrograms, shared by YAMNet, ``mel_cnn`` and the preview.

Why not a library: torchaudio is in maintenance, and librosa and torchlibrosa bring numba and draw their triangles
in Hz. YAMNet's filters are TensorFlow's, straight in mel; no light package has them.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geobind.errors import RecipeError

FRAME_S, HOP_S = 0.025, 0.010
"""Length of an STFT frame and distance between frames, seconds."""
FLOOR = 0.001
"""Added to mel magnitudes before the logarithm (YAMNet's ``log_offset``)."""


class LogMel:
    """Samples ``[n]`` → ``log(mel magnitude + 0.001)``, ``[frames, mels]``: 25 ms Hann frames every 10 ms.

    As in YAMNet (github.com/tensorflow/models, research/audioset/yamnet/features.py). It has no parameters and is
    no module: encoders call it in ``preprocess``, where worker processes share the work, and what they hand over is
    smaller than the waveforms.

    Args:
        rate: Samples per second, Hz.
        mels: Number of bands.
        low_hz: Lower edge of the lowest band.
        high_hz: Upper edge of the highest band.

    Raises:
        RecipeError: The bands are narrower than the frequency resolution, so that some would hold nothing.
    """

    def __init__(self, rate: int, mels: int, low_hz: float, high_hz: float) -> None:
        self.frame, self.hop = round(FRAME_S * rate), round(HOP_S * rate)
        self.bins = 2 ** math.ceil(math.log2(self.frame))
        filters = mel_filters(rate, self.bins, mels, low_hz, high_hz)
        if empty := int((filters.sum(axis=0) == 0).sum()):
            raise RecipeError(
                f"{empty} of {mels} mel bands between {low_hz:g} and {high_hz:g} Hz lie between two frequencies"
                f" of the spectrum, which are {rate / self.bins:.1f} Hz apart",
                fix="Lower `mels`.",
            )
        self.filters = torch.from_numpy(filters.astype(np.float32))
        self.window = torch.hann_window(self.frame)

    def __call__(self, samples: NDArray[np.float32]) -> Tensor:
        """Log-mel spectrogram ``[frames, mels]`` of samples ``[n]``; fewer than one frame are padded with zeros."""
        if len(samples) < self.frame:
            samples = np.pad(samples, (0, self.frame - len(samples)))
        frames = torch.from_numpy(samples).unfold(0, self.frame, self.hop) * self.window
        return torch.log(torch.fft.rfft(frames, n=self.bins).abs() @ self.filters + FLOOR)


def mel_filters(rate: int, bins: int, mels: int, low_hz: float, high_hz: float) -> NDArray[np.float64]:
    """Triangles ``[bins // 2 + 1, mels]``, equally wide on the HTK mel scale and straight in it.

    The same as ``tf.signal.linear_to_mel_weight_matrix``.
    """
    mel = _mel(np.linspace(0, rate / 2, bins // 2 + 1))[:, None]
    edges = np.linspace(_mel(low_hz), _mel(high_hz), mels + 2)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((mel - lower) / (centre - lower), (upper - mel) / (upper - centre))
    return np.maximum(triangles, 0)


def _mel(hz: float | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1127 * np.log1p(np.asarray(hz) / 700))

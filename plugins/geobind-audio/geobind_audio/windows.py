"""Which seconds of a clip an encoder hears: the window policy that all encoders of this plugin share.

Evaluation never draws: a clip longer than one window becomes evenly spaced windows from its beginning to its end, whose
embeddings are averaged. (CLAP's own code embeds a random crop, so that no two runs agree.)
Shapes: B items of a batch, W windows (or patches) of all its items together, n samples.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geobind import Encoder
from geobind.encoder import Batch
from geobind_audio.decode import Samples, open_recording

QUIETEST_DB = -12.0
"""Training turns a clip down by up to so much; never up, which could clip."""


class WindowedEncoder(Encoder):
    """An encoder that hears ``seconds`` at a time. A subclass writes :meth:`features` and :meth:`embed`.

    Args:
        rate: Samples per second that it hears, Hz.
        seconds: Length of a window.
        windows: At most so many windows of one clip are embedded.
    """

    filling: str
    """What :meth:`features` does with a clip shorter than a window, in words."""

    def __init__(self, *, rate: int, seconds: float, windows: int) -> None:
        super().__init__()
        self.rate, self.seconds, self.windows = rate, seconds, windows

    @property
    def window_samples(self) -> int:
        """Samples of a full window."""
        return round(self.seconds * self.rate)

    def features(self, samples: Samples) -> Tensor:
        """Inputs ``[w, ...]`` of one window of 1 to :attr:`window_samples` samples ``[n]``; w is often 1."""
        raise NotImplementedError

    def embed(self, inputs: Tensor) -> Tensor:
        """Embed inputs ``[W, ...]`` one by one: ``[W, E]``."""
        raise NotImplementedError

    def preprocess(self, item: Any, *, train: bool, generator: torch.Generator | None = None) -> Batch:
        """Decode the windows of an item: all of the policy's, or when training a random one at a random gain.

        Raises:
            DataError: The item cannot be read.
        """
        with open_recording(item) as recording:
            length = max(1, round(self.seconds * recording.rate))
            if train:
                slack = max(0, recording.frames - length)
                starts = [int(torch.randint(slack + 1, (), generator=generator))]
                gain = 10 ** (QUIETEST_DB * float(torch.rand((), generator=generator)) / 20)
            else:
                starts, gain = window_starts(recording.frames, length, self.windows), 1.0
            windows = [recording.window(start, length, self.rate) for start in starts]
        # Resampling may round a full window up by one sample.
        full = self.window_samples
        return {"inputs": torch.cat([self.features(np.float32(gain) * window[:full]) for window in windows])}

    def collate(self, samples: list[Batch]) -> Batch:
        """``counts [B]``: inputs of each item; ``inputs [W, ...]``: those of all items, one after another."""
        if not samples:
            return super().collate(samples)  # which says so
        inputs = [sample["inputs"] for sample in samples]
        return {"counts": torch.tensor([len(x) for x in inputs]), "inputs": torch.cat(inputs)}

    def forward(self, batch: Batch) -> Tensor:
        """Embed a batch: ``[B, E]``, the mean over the windows of each item."""
        embeddings = self.embed(batch["inputs"]).float()
        counts = batch["counts"]
        if len(embeddings) == len(counts):  # one window each, as always in training: nothing to average
            return embeddings
        return torch.stack([item.mean(dim=0) for item in torch.split(embeddings, counts.tolist())])

    def describe_preprocessing(self) -> dict[str, Any]:
        """The window policy in words and numbers."""
        return {
            "sample_rate": self.rate,
            "channels": "mean of all",
            "resampler": "soxr HQ",
            "window_seconds": self.seconds,
            "max_windows": self.windows,
            "longer_clips": f"up to {self.windows} evenly spaced windows from beginning to end, embeddings averaged",
            "shorter_clips": self.filling,
            "training": f"one random window, gain uniform in [{QUIETEST_DB:g}, 0] dB",
        }


def window_starts(frames: int, window: int, limit: int) -> list[int]:
    """First frames of evenly spaced windows: as many as cover the clip, at most ``limit``.

    The first begins with the clip and the last ends with it; a single window of a longer clip is its middle.
    """
    slack = max(0, frames - window)
    count = min(limit, math.ceil(frames / window))
    if count == 1:
        return [slack // 2]
    return [round(i * slack / (count - 1)) for i in range(count)]


def repeat_pad(samples: Samples, length: int) -> Samples:
    """Repeat samples ``[n]`` as often as they fit whole into ``length`` and fill the rest with zeros.

    LAION-CLAP's ``repeatpad`` (laion_clap/training/data.py, ``get_audio_features``).
    """
    repeated = np.tile(samples, length // len(samples))
    return np.pad(repeated, (0, length - len(repeated)))

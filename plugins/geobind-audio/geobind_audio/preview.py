"""Show an audio item in a report: a picture of its mel spectrogram."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from geobind_audio.decode import open_recording
from geobind_audio.mel import LogMel

RATE = 16_000
SECONDS = 10


def preview(item: Any) -> Image.Image:
    """Grey picture of the first 10 s: 10 ms a pixel, pitch upwards in 64 mel bands to 8 kHz, loud is white.

    Raises:
        DataError: The item cannot be read.
    """
    with open_recording(item) as recording:
        samples = recording.window(0, round(SECONDS * recording.rate), RATE)
    mel = LogMel(RATE, 64, 50, RATE / 2)(samples).numpy().T[::-1]
    span = max(float(np.ptp(mel)), 1e-6)  # silence has none
    return Image.fromarray(np.round((mel - mel.min()) / span * 255).astype(np.uint8))

"""Show an audio item in a report: a picture of its mel spectrogram, and the same seconds to be heard."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import soundfile  # type: ignore[import-untyped]
from PIL import Image

from geobind_audio.decode import Samples, open_recording
from geobind_audio.mel import LogMel

RATE = 16_000
"""Of the picture, Hz."""
SOUND_RATE = 24_000
"""Of the sound, Hz: up to 12 kHz is heard, which leaves out little but the highest insects."""
SECONDS = 10


def preview(item: Any) -> Image.Image:
    """Grey picture of the first 10 s: 10 ms a pixel, pitch upwards in 64 mel bands to 8 kHz, loud is white.

    Raises:
        DataError: The item cannot be read.
    """
    mel = LogMel(RATE, 64, 50, RATE / 2)(_beginning(item, RATE)).numpy().T[::-1]
    span = max(float(np.ptp(mel)), 1e-6)  # silence has none
    return Image.fromarray(np.round((mel - mel.min()) / span * 255).astype(np.uint8))


def sound(item: Any) -> bytes:
    """The first 10 s as an MP3 file, which every browser plays: mono, about 7 KB a second, as loud as it was recorded.

    Raises:
        DataError: The item cannot be read.
    """
    samples = _beginning(item, SOUND_RATE)
    out = io.BytesIO()
    # Resampling may overshoot full scale, where an encoder would clip.
    soundfile.write(out, samples / max(1.0, float(np.abs(samples).max())), SOUND_RATE, format="MP3")
    return out.getvalue()


def _beginning(item: Any, rate: int) -> Samples:
    with open_recording(item) as recording:
        return recording.window(0, round(SECONDS * recording.rate), rate)

"""Sound for geobind: the modality ``audio`` and three encoders. Only specs live here; nothing heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

import geobind

RELEASED = {
    "630k-best.pt": "HTSAT-tiny",
    "630k-audioset-best.pt": "HTSAT-tiny",
    "music_audioset_epoch_15_esc_90.14.pt": "HTSAT-base",
    "music_speech_epoch_15_esc_89.25.pt": "HTSAT-base",
    "music_speech_audioset_epoch_15_esc_89.98.pt": "HTSAT-base",
}
"""Checkpoints without fusion in the hub repository ``lukewys/laion_clap``, and the tower each belongs to."""


class Htsat(geobind.Config):
    """An HTS-AT of another size than the released ones, to train from nothing."""

    width: int = Field(96, ge=4)
    """Channels of the first stage; each further stage doubles them."""
    depths: tuple[int, ...] = (2, 2, 6, 2)
    """Blocks of each stage."""
    heads: tuple[int, ...] = (4, 8, 16, 32)
    """Attention heads of each stage."""
    seconds: float = Field(10.0, ge=0.5, le=10)
    """Length of a window; its spectrogram is stretched to what the tower sees of 10 s."""


class ClapConfig(geobind.Config):
    """Audio tower of LAION-CLAP (Wu et al. 2023, arXiv:2211.06687), without feature fusion: 512-d."""

    model: Literal["HTSAT-tiny", "HTSAT-base"] | Htsat = "HTSAT-tiny"
    """The HTS-AT tower: tiny has 28 M parameters, base 69 M; or the keys of one of another size."""
    checkpoint: str | None = "630k-audioset-best.pt"
    """Name of a released checkpoint, or the path of a local one; null for random weights."""
    windows: int = Field(4, ge=1)
    """At most so many 10 s windows, evenly spaced, of a longer clip are embedded and averaged."""

    @model_validator(mode="after")
    def _tower_of_checkpoint(self) -> ClapConfig:
        tower = RELEASED.get(self.checkpoint or "", self.model)
        if tower != self.model:
            raise ValueError(f"checkpoint {self.checkpoint!r} belongs to {tower}; set `model: {tower}`")
        return self


TINY_HTSAT: dict[str, Any] = {"width": 8, "depths": [1, 1, 1, 1], "heads": [1, 1, 2, 4], "seconds": 1}
"""An HTS-AT that is quick to check."""


class YamnetConfig(geobind.Config):
    """YAMNet (MobileNet v1 on log-mel patches, AudioSet's 521 classes): the 1024-d layer below the classifier."""

    weights: Path | None = None
    """Path of ``yamnet_dequantised_fp16.npz`` (arrays ``layerN.dw.w``, …); null for random weights."""
    seconds: float = Field(10.0, ge=1, le=60)
    """Length of a window; inside it, patches of 0.96 s every 0.48 s are averaged."""
    windows: int = Field(4, ge=1)
    """At most so many windows, evenly spaced, of a longer clip are embedded and averaged."""


class MelCnnConfig(geobind.Config):
    """A small convolutional network on log-mel spectrograms, to be trained from nothing."""

    sample_rate: int = Field(16_000, ge=4_000, le=96_000)
    """Rate in Hz to which clips are resampled."""
    seconds: float = Field(3.0, ge=0.5, le=30)
    """Length of a window."""
    mels: int = Field(64, ge=16)
    """Mel bands between 50 Hz and half the sample rate."""
    width: int = Field(24, ge=4)
    """Channels of the first layer; each of the next three doubles them."""
    embed_dim: int = Field(256, ge=1)
    """Width of the embedding."""
    windows: int = Field(4, ge=1)
    """At most so many windows, evenly spaced, of a longer clip are embedded and averaged."""


@geobind.hookimpl
def geobind_modalities() -> list[geobind.ModalitySpec]:
    """The modality ``audio``."""
    return [
        geobind.ModalitySpec(
            name="audio",
            item="path of WAV/FLAC/OGG/MP3, or (samples float [n] or [n, channels], rate in Hz)",
            summary="Sound recorded at a place.",
            units="1 at full scale; rate in Hz",
            example="geobind_audio.examples:tone",
            preview="geobind_audio.preview:preview",
            sound="geobind_audio.preview:sound",
        )
    ]


@geobind.hookimpl
def geobind_encoders() -> list[geobind.EncoderSpec]:
    """CLAP, YAMNet and a small network to train from nothing."""
    return [
        geobind.EncoderSpec(
            name="clap",
            modality="audio",
            config=ClapConfig,
            build="geobind_audio.clap:build",
            summary="LAION-CLAP's HTS-AT audio tower, 512-d.",
            licence="CC0-1.0 (the LAION-CLAP project)",
            weights="geobind_audio.weights:of_clap",
            example={"model": TINY_HTSAT, "checkpoint": None, "windows": 2},
        ),
        geobind.EncoderSpec(
            name="yamnet",
            modality="audio",
            config=YamnetConfig,
            build="geobind_audio.yamnet:build",
            summary="YAMNet, AudioSet features, 1024-d.",
            licence="Apache-2.0",
            weights="geobind_audio.weights:of_yamnet",
            example={"seconds": 1, "windows": 1},
        ),
        geobind.EncoderSpec(
            name="mel_cnn",
            modality="audio",
            config=MelCnnConfig,
            build="geobind_audio.mel_cnn:build",
            summary="Small log-mel CNN to train from nothing.",
            example={"seconds": 0.5, "mels": 16, "width": 4, "embed_dim": 16, "windows": 2},
        ),
    ]

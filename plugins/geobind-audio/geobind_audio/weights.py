"""Where the weights of the audio encoders lie on this machine. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from geobind.weights import existing, hub_cached
from geobind_audio import RELEASED, ClapConfig, YamnetConfig

CLAP_REPOSITORY = "lukewys/laion_clap"
"""On the model hub, with the checkpoints :data:`geobind_audio.RELEASED`."""


def of_clap(config: ClapConfig) -> str:
    """Where ``clap`` has its weights from.

    Raises:
        WeightsError: They are not there.
    """
    if config.checkpoint is None:
        return "random"
    if config.checkpoint in RELEASED:
        return str(hub_cached(CLAP_REPOSITORY, config.checkpoint))
    return str(existing(Path(config.checkpoint).expanduser()))


def of_yamnet(config: YamnetConfig) -> str:
    """Where ``yamnet`` has its weights from.

    Raises:
        WeightsError: They are not there.
    """
    return "random" if config.weights is None else str(existing(config.weights.expanduser()))

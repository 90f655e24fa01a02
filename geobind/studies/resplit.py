"""The builder of the dataset type ``resplit``: it resolves the dataset inside, which takes the plugins."""

from __future__ import annotations

from geobind.builtin import ResplitConfig
from geobind.data.resplit import Resplit
from geobind.plugins import build_dataset


def build(config: ResplitConfig) -> Resplit:
    """Build the dataset inside, and split it anew."""
    return Resplit(build_dataset(config.dataset), config)

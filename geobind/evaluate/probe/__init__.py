"""What frozen embeddings know of a target: linear probe, k nearest neighbours, and few examples."""

from geobind.evaluate.probe.probe import probe
from geobind.evaluate.probe.targets import Targets

__all__ = ["Targets", "probe"]

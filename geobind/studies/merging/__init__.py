"""Two spaces of one ancestry, and what lies between them: a figure over the share of the second."""

from geobind.studies.merging.study import Sweep, sweep

__all__ = ["Sweep", "sweep"]

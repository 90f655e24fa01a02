"""A random split against a spatial split of the very same items."""

from geobind.studies.leakage.study import leakage

__all__ = ["leakage"]

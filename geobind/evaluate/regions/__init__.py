"""Where on the map, and in which climates, does a space work?"""

from geobind.evaluate.regions.question import regions

__all__ = ["regions"]

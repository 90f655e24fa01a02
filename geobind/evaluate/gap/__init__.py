"""How far do the modalities of a space lie apart?"""

from geobind.evaluate.gap.question import gap

__all__ = ["gap"]

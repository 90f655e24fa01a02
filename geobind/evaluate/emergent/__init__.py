"""What do modalities know of each other that never met in training?"""

from geobind.evaluate.emergent.question import emergent

__all__ = ["emergent"]

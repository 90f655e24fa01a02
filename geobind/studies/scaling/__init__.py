"""Modalities added one by one: is anything forgotten, and what does it cost?"""

from geobind.studies.scaling.study import scaling

__all__ = ["scaling"]

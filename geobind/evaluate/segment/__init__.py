"""Segmentation from dense features: tasks, maps by words, small heads, and the question itself."""

from geobind.evaluate.segment.head import HEADS, Asked
from geobind.evaluate.segment.question import segment
from geobind.evaluate.segment.task import Segmentation, segmentation, segmentations

__all__ = ["HEADS", "Asked", "Segmentation", "segment", "segmentation", "segmentations"]

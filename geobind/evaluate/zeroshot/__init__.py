"""Zero-shot classification: benchmarks, where their items come from, and the question itself."""

from geobind.evaluate.zeroshot.benchmarks import Benchmark, benchmark, benchmarks
from geobind.evaluate.zeroshot.folders import FolderSource
from geobind.evaluate.zeroshot.prompts import read_templates
from geobind.evaluate.zeroshot.question import zero_shot
from geobind.evaluate.zeroshot.sources import Labelled, Source
from geobind.evaluate.zeroshot.tags import TagSource

__all__ = [
    "Benchmark",
    "FolderSource",
    "Labelled",
    "Source",
    "TagSource",
    "benchmark",
    "benchmarks",
    "read_templates",
    "zero_shot",
]

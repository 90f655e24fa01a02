"""Before and after a stage: what it has changed, and what it has left to the bit."""

from geobind.studies.retention.study import retention

__all__ = ["retention"]

"""What each choice of a recipe contributes: a small grid, with seeds."""

from geobind.studies.ablation.study import ablate

__all__ = ["ablate"]

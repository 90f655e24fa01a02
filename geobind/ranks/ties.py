"""When two cosines are tied, and what stands before what among tied items."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from geobind.errors import GeobindError, nearest

Ties = Literal["optimistic", "mean", "pessimistic"]
"""Where positives stand among negatives that are equally similar: before them, where a random order of the
tied items puts them on average, or after them. Under ``mean`` a space whose items all look alike has exactly
the mean rank of chance."""

TIE_WIDTH = 1e-6
"""Cosines that differ by no more than this are tied: embeddings are float32, whose own rounding moves a cosine by
about 1e-7, so that a smaller difference says nothing."""


def check_ties(ties: str) -> None:
    """Refuse an unknown tie rule.

    Raises:
        GeobindError: With the nearest known one.
    """
    if ties not in get_args(Ties):
        raise GeobindError(f"unknown tie rule {ties!r}", fix=nearest(ties, get_args(Ties)))


def before(
    ties: Ties, negatives: NDArray[np.int64], position: NDArray[np.int64], positives: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How many of ``negatives`` tied ones count as ranked before the ``position``-th of ``positives`` tied positives.

    None (optimistic), all (pessimistic), or ``n·j/(p+1)``: the expectation under a random order (mean).
    """
    if ties == "optimistic":
        return np.zeros(negatives.shape)
    if ties == "pessimistic":
        return negatives.astype(np.float64)
    return np.asarray(negatives * position / (positives + 1))

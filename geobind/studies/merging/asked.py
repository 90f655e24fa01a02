"""What a sweep goes by: one figure of one direction, written ``text>rgb:R@10``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from geobind.errors import RecipeError, nearest
from geobind.evaluate.results import AllPairs, PairResult
from geobind.evaluate.scores import KS, higher_is_better

AT_K = re.compile(r"^(R|mAP|nDCG|D)@([1-9]\d*)( km)?$")
"""Figures that a k belongs to."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A figure of a direction."""

    query: str
    """Modality of the queries."""
    gallery: str
    """Modality that is ranked."""
    figure: str
    """``R@10``, ``mAP``, ``median rank``: a name of :meth:`geobind.evaluate.scores.Scores.named`."""

    @classmethod
    def read(cls, text: str) -> Asked:
        """``QUERY>GALLERY:FIGURE``.

        Raises:
            RecipeError: It is not written so.
        """
        direction, _, figure = text.partition(":")
        query, arrow, gallery = re.sub("→", ">", direction).partition(">")
        asked = cls(query.strip(), gallery.strip(), figure.strip())
        if not arrow or not all((asked.query, asked.gallery, asked.figure)):
            raise RecipeError(
                f"{text!r} names no figure of a direction",
                where="--metric",
                fix="Write QUERY>GALLERY:FIGURE in quotes, for instance 'text>rgb:R@10'.",
            )
        return asked

    @property
    def direction(self) -> str:
        """``text → rgb``, as tables have it."""
        return f"{self.query} → {self.gallery}"

    @property
    def label(self) -> str:
        """``text → rgb R@10``."""
        return f"{self.direction} {self.figure}"

    @property
    def is_share(self) -> bool:
        """Whether the figure lies in [0, 1]."""
        return higher_is_better(self.figure)

    def write(self, value: float, *, unit: bool = True) -> str:
        """A value as people read it: ``28.1 %``, or ``28.1`` without the unit; ranks and distances as they are."""
        if not self.is_share:
            return f"{value:.3g}"
        return f"{100 * value:.1f}{' %' if unit else ''}"

    def of(self, result: AllPairs) -> PairResult:
        """The direction in an evaluation.

        Raises:
            RecipeError: It could not be measured, or has no such figure.
        """
        found = result.get(self.query, self.gallery)
        if found is None:
            reasons = [
                one.reason for one in result.unmeasured if (one.query, one.gallery) == (self.query, self.gallery)
            ]
            raise RecipeError(f"{self.direction} cannot be measured: {''.join(reasons[:1])}", where="--metric")
        if self.figure not in found.scores.named():
            fix = nearest(self.figure, found.scores.named())
            raise RecipeError(f"{self.direction} has no figure {self.figure!r}", where="--metric", fix=fix)
        return found


def ks_of(asked: Sequence[Asked]) -> tuple[int, ...]:
    """The k to evaluate at: the usual ones, and those that are asked for."""
    return tuple(sorted({*KS, *(int(found[2]) for one in asked if (found := AT_K.match(one.figure)))}))

"""All that a segmentation came to: what is told in words, tables and pictures is read off it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geobind.evaluate.segment.figures import Segmented
from geobind.evaluate.segment.head import Asked, Learnt
from geobind.evaluate.segment.masks import Mask, Window
from geobind.evaluate.segment.scenes import Fold, Scenes
from geobind.evaluate.segment.task import Segmentation

if TYPE_CHECKING:
    from geobind.space.space import Space


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """What one way of reading the features found."""

    name: str
    """``words alone``, ``linear head`` or ``decoder head``."""
    maps: Sequence[Mask] = field(repr=False)
    """What the pixels of each tested scene were taken for."""
    result: Segmented

    @property
    def learnt(self) -> bool:
        """Whether it was fitted to maps."""
        return self.name != "words alone"


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A task, how it was asked, and what came of it."""

    task: Segmentation
    image: str
    text: str
    templates: tuple[str, ...]
    head: Asked
    seed: int
    split: str
    space: Space
    window: Window
    grid: int
    """Tokens along a side."""
    scenes: Scenes
    """Those with features."""
    parts: Sequence[Fold]
    """Rows of them."""
    tested: NDArray[np.int64]
    """Rows of them, fold by fold, in the order of the maps."""
    heads: tuple[Learnt, ...]
    """Each fold's; none for words alone."""
    reads: tuple[Read, ...]
    """The head's first."""
    base: Segmented
    """Always the most frequent class."""
    usual: tuple[str, ...]
    """That class; with folds perhaps several."""
    usual_of: str
    """``train``, or ``test`` where nothing is learnt from."""
    unsaid: str
    """Why nothing was told by words; empty where it was."""
    lost: int
    """Images that cannot be read."""

    @cached_property
    def unlearnt(self) -> dict[str, int]:
        """Class → pixels of tested maps whose fold had none of it to learn from."""
        if not self.heads:
            return {}
        size = len(self.task.classes)
        found = np.zeros(size, dtype=np.int64)
        for fold in self.parts:
            known = np.unique(np.concatenate([np.unique(self.scenes.masks[row]) for row in fold.learn.tolist()]))
            for row in fold.test.tolist():
                mask = self.scenes.masks[row]
                counts = np.bincount(mask[mask >= 0], minlength=size)
                counts[known[known >= 0]] = 0
                found += counts
        return {self.task.classes[number]: int(found[number]) for number in np.flatnonzero(found).tolist()}

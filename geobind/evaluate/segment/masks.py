"""Maps of classes as arrays, and the part of them that an encoder sees.

Shapes: H, W pixels of a map.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geobind.encoder import Encoder
from geobind.errors import DataError, nearest
from geobind.evaluate.segment.task import Segmentation

IGNORED = -1
"""The class of a pixel that is neither learnt nor counted."""

NO_DATA = -1
"""The code that readers give a pixel without data; ignored, unless a legend has it."""

Mask = NDArray[np.int16]
"""``[H, W]`` the number of each pixel's class in :attr:`Segmentation.classes`, or :data:`IGNORED`."""


class Legend:
    """Turns codes into classes.

    Args:
        task: The task, whose legend and ignored codes are meant.
    """

    def __init__(self, task: Segmentation) -> None:
        number = {words: i for i, words in enumerate(task.classes)}
        ignored = dict.fromkeys((NO_DATA, *task.ignore), IGNORED)
        of = {**ignored, **{code: number[words] for code, words in task.legend.items()}}
        self._codes = np.array(sorted(of))
        self._classes = np.array([of[code] for code in sorted(of)], dtype=np.int16)

    def read(self, item: Any, name: str) -> Mask:
        """The classes of one map.

        Args:
            item: Integer codes ``[H, W]``, or the path of a picture whose pixels are codes (one channel, or a palette).
            name: Of the item, for errors.

        Raises:
            DataError: It is no such map, or holds a code that is neither in the legend nor ignored.
        """
        codes = _codes(item, name)
        at = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        if (alien := codes[self._codes[at] != codes]).size:
            raise DataError(
                f"code {alien[0]} is neither in the legend nor ignored",
                where=name,
                fix=f"{nearest(str(alien[0]), map(str, self._codes.tolist()))} Add it to `legend:` or to `ignore:`.",
            )
        classes: Mask = self._classes[at]
        return classes


def _codes(item: Any, name: str) -> NDArray[Any]:
    if isinstance(item, str | Path):
        try:
            with Image.open(item) as picture:
                codes = np.asarray(picture)
        except (OSError, ValueError) as error:
            raise DataError(f"the map of classes cannot be read: {error}", where=str(item)) from error
    else:
        codes = np.asarray(item)
    if codes.ndim != 2 or codes.dtype.kind not in "iu" or not codes.size:
        raise DataError(
            f"a map of classes has shape {list(codes.shape)} and type {codes.dtype}",
            where=name,
            fix="It is integer codes [H, W].",
        )
    return codes


class Window(NamedTuple):
    """The part of an item that an encoder sees, as its preprocessing tells it."""

    square: bool
    """Only the square in the middle; else all of it, whatever its aspect."""
    share: float
    """Of the side that is left, in the middle."""

    @classmethod
    def of(cls, encoder: Encoder) -> Window:
        """By the keys ``fit`` and ``crop`` of :meth:`Encoder.describe_preprocessing`, where it has them.

        ``fit: crop`` means that the longer side is cut, ``crop`` is the share of the side that a centre crop keeps. An
        encoder that tells neither is taken to see all of an item.
        """
        told = encoder.describe_preprocessing()
        return cls(told.get("fit") == "crop", float(told.get("crop", 1.0)))

    @property
    def whole(self) -> bool:
        """Whether every pixel of a square item is seen."""
        return self.share == 1.0

    def of_shape(self, height: int, width: int) -> tuple[slice, slice]:
        """The rows and columns that are seen, to the nearest pixel."""
        tall, wide = (min(height, width),) * 2 if self.square else (height, width)
        return _middle(height, self.share * tall), _middle(width, self.share * wide)

    def __str__(self) -> str:
        part = "the middle square" if self.square else "all"
        return part if self.whole else f"the middle {100 * self.share:.3g} % of each side of {part}"


def _middle(size: int, kept: float) -> slice:
    number = max(1, round(kept))
    start = (size - number) // 2
    return slice(start, start + number)


def sampled(mask: Mask, side: int) -> Mask:
    """``[side, side]`` the classes at the centres of an even grid of cells, as ``nearest-exact`` of torch has them."""
    rows, columns = (((np.arange(side) + 0.5) * size / side).astype(np.int64) for size in mask.shape)
    return mask[np.ix_(rows, columns)]

"""From a student's dense features to a teacher's: another grid, another width.

Shapes: n items, T places of the student, d its width; t and d' likewise of the teacher, both grids square; C bands.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from geobind.errors import RecipeError
from geobind_sensors.wavelengths import wavelength_code

CODE = 128
"""Width of the code of a wavelength (GeoLangBind)."""


class Translator(nn.Module):
    """GeoLangBind's translator: resize, a norm that wavelengths condition, a 3 × 3 convolution.

    The norm is over all features and places of an item. Scale and shift are ``1 + γ`` and ``β``, per feature; γ and β
    are a linear map of the wavelength code, averaged over the bands, so that any number of bands in any order will do.
    Both are zero at first, which is our choice; the paper does not say.

    Args:
        width: d of the student.
        teacher_width: d' of the teacher.
        side: Rows and columns √t of the teacher's grid.
        conditioned: Whether wavelengths are given; else the norm is a plain one.
    """

    def __init__(self, width: int, teacher_width: int, side: int, *, conditioned: bool) -> None:
        super().__init__()
        self.side = side
        self.condition = nn.Linear(CODE, 2 * width) if conditioned else None
        if self.condition is not None:
            nn.init.zeros_(self.condition.weight)
            nn.init.zeros_(self.condition.bias)
        self.project = nn.Conv2d(width, teacher_width, kernel_size=3, padding=1)

    def forward(self, tokens: Tensor, wavelengths: Tensor | None = None) -> Tensor:
        """``[n, t, d']`` from ``tokens [n, T, d]`` and the ``wavelengths [C]`` in µm of all items."""
        x = F.group_norm(resized(tokens, self.side), num_groups=1)
        if self.condition is not None and wavelengths is not None:
            code = wavelength_code(wavelengths, CODE).to(x.dtype)
            gamma, beta = self.condition(code).mean(0)[:, None, None].chunk(2)
            x = x + gamma * x + beta
        return _rows(self.project(x))


class Resized(nn.Module):
    """No translator: the student's own features, on the teacher's grid.

    Args:
        side: Rows and columns √t of that grid.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, tokens: Tensor, wavelengths: Tensor | None = None) -> Tensor:
        """``[n, t, d]`` from ``tokens [n, T, d]``."""
        return _rows(resized(tokens, self.side))


def resized(tokens: Tensor, side: int) -> Tensor:
    """Tokens ``[n, T, d]`` of a square grid, rows first, as a map ``[n, d, side, side]``, bilinear."""
    own = grid(tokens.shape[1], "the student")
    x = tokens.mT.reshape(len(tokens), tokens.shape[2], own, own)
    return x if own == side else F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)


def grid(places: int, whose: str) -> int:
    """Side of a square grid of so many places.

    Raises:
        RecipeError: They make none.
    """
    side = math.isqrt(places)
    if side * side != places:
        raise RecipeError(
            f"{whose} has {places} dense features of an item, which fill no square grid",
            where="loss 'maka'",
            fix="Take an encoder that gives one feature per place of a square picture, and none besides.",
        )
    return side


def _rows(x: Tensor) -> Tensor:
    return x.flatten(2).mT

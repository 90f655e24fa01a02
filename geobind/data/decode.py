"""Read image items. A file that cannot be decoded is an error that names it, never a black picture."""

from __future__ import annotations

import reprlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from geobind.errors import DataError

DAMAGED = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for a picture that it cannot decode."""
DEEP = ("I", "F")
"""How Pillow's modes of more than 8 bits a channel begin; it would clip them to 255, which is a white picture."""


class Picture:
    """An image item, opened: the header is read, the pixels are not, so that the size may decide how many of them are.

    The orientation tag (EXIF) of a camera is not looked at.

    Args:
        item: A path, a PIL image, or a uint8 array ``[H, W]`` or ``[H, W, 3]``.

    Raises:
        DataError: No such file, not an image, no pixels, more than 8 bits a channel, or an array of another shape.
    """

    size: tuple[int, int]
    """Width and height in pixels, of the picture itself; what :meth:`decode` returns may be smaller."""

    def __init__(self, item: Any) -> None:
        self._path = _path(item) if isinstance(item, (str, Path)) else None
        self._name = "the image" if self._path is None else f"image file {str(self._path)!r}"
        self._image = _in_memory(item) if self._path is None else _open(self._path, self._name)
        self.size = self._image.size
        if 0 in self.size:
            raise DataError(f"{self._name} has no pixels: it is {self.size[0]} × {self.size[1]}", fix="Drop it.")
        if self._image.mode.startswith(DEEP):
            raise DataError(
                f"{self._name} has more than 8 bits a channel (Pillow's mode {self._image.mode!r})",
                fix="Scale its values to 0 … 255 and save it as an 8-bit image.",
            )

    def decode(self, *, near: int | None = None) -> Image.Image:
        """The picture in RGB. To be called once.

        Args:
            near: Shorter side in pixels that will be needed; a JPEG file is then decoded near that size, which costs
                a fraction of a full decode. Never below it.

        Raises:
            DataError: The file is truncated or damaged.
        """
        image = self._image
        try:
            if self._path is None:
                return image.convert("RGB")  # a copy, which its taker may change
            if near is not None:
                # draft() picks the smallest JPEG scale that is still at least this large.
                image.draft("RGB", (near, near))
            if image.mode != "RGB":
                return image.convert("RGB")
            image.load()
            return image
        except DAMAGED as error:
            raise _damaged(self._name, error) from error


def read_image(item: Any, *, near: int | None = None) -> Image.Image:
    """Open and decode an image item, as :class:`Picture` and :meth:`Picture.decode` say.

    Raises:
        DataError: No such file, not an image, truncated, or an array of another shape.
    """
    return Picture(item).decode(near=near)


def _path(item: str | Path) -> Path:
    if not str(item).strip():
        raise DataError(f"{item!r} is no path of an image", fix="Check the path in the manifest.")
    return Path(item)


def _open(path: Path, name: str) -> Image.Image:
    try:
        # From memory, so that no file stays open until somebody decodes it.
        return Image.open(BytesIO(path.read_bytes()))
    except FileNotFoundError:
        raise DataError(f"{name} does not exist", fix="Check the path in the manifest.") from None
    except UnidentifiedImageError:
        raise DataError(f"{str(path)!r} is not an image that Pillow can read", fix="Convert or drop it.") from None
    except DAMAGED as error:
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or error  # an OSError's own text says the path again
    return DataError(f"{name} cannot be decoded: {reason}", fix="Replace or drop it.")


def _in_memory(item: Any) -> Image.Image:
    if isinstance(item, Image.Image):
        return item
    if not isinstance(item, np.ndarray):
        raise DataError(f"{reprlib.repr(item)} is not an image", fix="Give a path, a PIL image or a uint8 array.")
    if item.dtype != np.uint8 or item.ndim not in (2, 3) or (item.ndim == 3 and item.shape[2] != 3):
        raise DataError(
            f"an image array has shape {item.shape} and dtype {item.dtype}", fix="Give uint8 [H, W] or [H, W, 3]."
        )
    return Image.fromarray(item)

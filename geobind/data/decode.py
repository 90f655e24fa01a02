"""Read image items. A file that cannot be decoded is an error that names it, never a black picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from geobind.errors import DataError


def read_image(item: Any, *, near: int | None = None) -> Image.Image:
    """Turn an image item into an RGB picture.

    Args:
        item: A path, a PIL image, or a uint8 array ``[H, W]`` or ``[H, W, 3]``.
        near: Shorter side in pixels that will be needed; a JPEG is then decoded near that size, which costs
            a fraction of a full decode. Never below it.

    Raises:
        DataError: No such file, not an image, truncated, or an array of another shape.
    """
    if isinstance(item, Image.Image):
        return item.convert("RGB")
    if isinstance(item, np.ndarray):
        if item.dtype != np.uint8 or item.ndim not in (2, 3) or (item.ndim == 3 and item.shape[2] != 3):
            raise DataError(
                f"an image array has shape {item.shape} and dtype {item.dtype}",
                fix="Give uint8 [H, W] or [H, W, 3].",
            )
        return Image.fromarray(item).convert("RGB")
    if not isinstance(item, (str, Path)):
        raise DataError(f"{item!r} is not an image", fix="Give a path, a PIL image or a uint8 array.")
    path = Path(item)
    try:
        with Image.open(path) as image:
            if near is not None:
                # draft() picks the smallest JPEG scale that is still at least this large.
                image.draft("RGB", (near, near))
            return image.convert("RGB")
    except FileNotFoundError:
        raise DataError(f"image file {str(path)!r} does not exist", fix="Check the path in the manifest.") from None
    except UnidentifiedImageError:
        raise DataError(f"{str(path)!r} is not an image that Pillow can read", fix="Convert or drop it.") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"image file {str(path)!r} cannot be decoded: {error}", fix="Replace or drop it.") from error

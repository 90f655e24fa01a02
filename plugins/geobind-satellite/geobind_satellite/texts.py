"""What a text item is, for the text tower of a CLIP and for other plugins' text encoders."""

from __future__ import annotations

from typing import Any

from geobind.errors import DataError


def read_text(item: Any) -> str:
    """The item itself, if it is a text.

    Raises:
        DataError: Not a string, or nothing but blanks.
    """
    if not isinstance(item, str) or not item.strip():
        raise DataError(f"{item!r} is not a text", fix="Give a string that is not blank.")
    return item

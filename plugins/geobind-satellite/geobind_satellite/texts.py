"""What a text item is, for the text tower of a CLIP and for other plugins' text encoders."""

from __future__ import annotations

import reprlib
from typing import Any

from geobind.errors import DataError


def read_text(item: Any) -> str:
    """The item itself, if it is a text.

    Raises:
        DataError: Not a string, nothing but blanks, or half of a character.
    """
    if not isinstance(item, str) or not item.strip():
        raise DataError(f"{reprlib.repr(item)} is not a text", fix="Give a string that is not blank.")
    try:
        item.encode()
    except UnicodeEncodeError:  # surrogates, which a wrong decoding leaves behind
        raise DataError(f"{reprlib.repr(item)} holds half of a character", fix="Read its file as UTF-8.") from None
    return item

"""How a modality shows its items to people, and lets them hear them, as its plugin says."""

from __future__ import annotations

from typing import Any

from PIL import Image

from geobind.modality import ModalitySpec, load_object

LARGEST_SOUND = 500_000
"""Bytes of a sound at most; 10 s of WAV at 22,050 Hz fit."""


def preview(spec: ModalitySpec, item: Any) -> Image.Image | str | None:
    """A picture of an item (RGBA), or a text; None where the modality has no preview or it fails."""
    try:
        seen: Any = load_object(spec.preview)(item) if spec.preview else None
        if isinstance(seen, Image.Image):
            with seen as picture:  # decoded here, where a broken file can be forgiven
                return picture.convert("RGBA")
    except Exception:  # a stranger's preview of a stranger's item: its failure costs the picture, not the report
        return None
    return seen if isinstance(seen, str) else None


def sound_of(spec: ModalitySpec, item: Any) -> bytes | None:
    """An item as a small sound file; None where the modality has none, it fails, or it is too large for a page."""
    try:
        sound = load_object(spec.sound)(item) if spec.sound else None
    except Exception:  # as above
        return None
    return sound if isinstance(sound, bytes) and 0 < len(sound) <= LARGEST_SOUND else None

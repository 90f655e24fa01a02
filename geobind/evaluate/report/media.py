"""Pictures and sounds inside a page, as ``data:`` URIs."""

from __future__ import annotations

import base64
import io

from PIL import Image

THUMBNAIL = 160
"""Longer side of an embedded example, in pixels."""


def thumbnail(picture: Image.Image, *, audible: bool = False) -> str:
    """A small JPEG; transparency becomes white.

    Args:
        picture: Of any size.
        audible: Whether it is the picture of a sound. Its sides are time and pitch, so it may be stretched to 2:1.
    """
    small = picture.convert("RGBA")
    if audible:
        small = small.resize((THUMBNAIL, THUMBNAIL // 2), Image.Resampling.LANCZOS)
    else:
        small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    paper = Image.new("RGBA", small.size, "white")
    paper.alpha_composite(small)
    out = io.BytesIO()
    paper.convert("RGB").save(out, "JPEG", quality=82, optimize=True)
    return uri("image/jpeg", out.getvalue())


def png(data: bytes) -> str:
    """A finished picture."""
    return uri("image/png", data)


def sound(data: bytes) -> str | None:
    """A sound of a kind that :func:`sound_type` knows; None for any other."""
    kind = sound_type(data)
    return None if kind is None else uri(kind, data)


def sound_type(data: bytes) -> str | None:
    """MIME type of a WAV, Ogg, FLAC or MP3 file by its first bytes; None for anything else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "audio/wav"
    for magic, name in ((b"OggS", "audio/ogg"), (b"fLaC", "audio/flac"), (b"ID3", "audio/mpeg")):
        if data.startswith(magic):
            return name
    # A bare MPEG stream begins with a frame: eleven bits of one, then layer III (ISO 11172-3, 2.4.2.3).
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2:
        return "audio/mpeg"
    return None


def uri(kind: str, data: bytes) -> str:
    """``data:KIND;base64,…``."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"

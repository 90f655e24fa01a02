"""What pictures and sounds can be read: each format is written and read back, in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO

from geobind.cli.doctor.finding import Finding, ails, note, ok

PICTURES = {
    "JPEG": {},
    "PNG": {},
    "WEBP": {},
    "TIFF": {"compression": "tiff_lzw"},
    "JPEG2000": {},
}
"""Pillow's names, with what makes it use the library behind the format."""
SOUNDS = ("WAV", "FLAC", "OGG", "MP3")
NEEDED = {"JPEG", "PNG", "WAV", "FLAC"}
"""Without these hardly any data set can be read; the others are noted."""


def pictures() -> Iterator[Finding]:
    """Formats that Pillow reads."""
    from PIL import Image, __version__

    def try_(form: str) -> None:
        file = BytesIO()
        Image.new("RGB", (8, 8), "teal").save(file, form, **PICTURES[form])
        with Image.open(file) as again:
            again.load()

    cure = "Pillow's own wheels read all of them: `pip install --force-reinstall --only-binary :all: pillow`"
    yield _told("pictures", f"Pillow {__version__}", PICTURES, try_, cure)


def sounds() -> Iterator[Finding]:
    """Formats that soundfile reads, and whether sounds can be resampled."""
    try:
        installed = version("soundfile")
    except PackageNotFoundError:
        yield ok("sounds", "soundfile is absent (only encoders of sound need it)")
        return
    cure = "soundfile's own wheels read all of them: `pip install --force-reinstall --only-binary :all: soundfile soxr`"
    try:
        import soundfile  # type: ignore[import-untyped]
        import soxr  # type: ignore[import-untyped]
    except Exception as error:  # OSError, where libsndfile is not found
        yield ails("sounds", f"soundfile {installed} or soxr: {type(error).__name__}: {error}", cure)
        return

    def try_(form: str) -> None:
        file = BytesIO()
        soundfile.write(file, [0.0] * 1600, 16_000, format=form)
        file.seek(0)
        soundfile.read(file)

    found = f"soundfile {installed} ({soundfile.__libsndfile_version__}), soxr {soxr.__version__}"
    yield _told("sounds", found, SOUNDS, try_, cure)


def _told(name: str, library: str, forms: Collection[str], try_: Callable[[str], None], cure: str) -> Finding:
    failing = {}
    for form in forms:
        try:
            try_(form)
        except Exception as error:
            failing[form] = f"{form} cannot be read ({type(error).__name__}: {error})"
    fine = ", ".join(form for form in forms if form not in failing)
    if not failing:
        return ok(name, f"{library}: {fine}")
    make = ails if NEEDED & set(failing) else note
    return make(name, f"{library}: {fine}; {'; '.join(failing.values())}", cure)

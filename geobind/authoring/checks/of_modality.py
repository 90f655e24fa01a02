"""What every modality does: it says what an item is, and has small examples that anyone can look at."""

from __future__ import annotations

import pickle
from typing import Any

from geobind.authoring.checks.check import check, require
from geobind.authoring.checks.subjects import ModalitySubject
from geobind.modality import load_object

LARGEST_SOUND = 500_000
"""Bytes; reports leave out what is larger."""
SOUNDS = (b"RIFF", b"OggS", b"fLaC", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")
"""How files of WAV, Ogg, FLAC and MP3 begin."""


@check(ModalitySubject)
def example_items_exist(subject: ModalitySubject) -> None:
    """The spec's example gives an item for every index."""
    for index, item in enumerate(subject.items()):
        require(item is not None, f"the example gives None for index {index}", "Give an item for every index ≥ 0.")


@check(ModalitySubject)
def example_items_differ(subject: ModalitySubject) -> None:
    """No two example items are equal."""
    from geobind.authoring.checks.tools.values import alike

    items = subject.items()
    for second, item in enumerate(items):
        for first in range(second):
            require(
                not alike(items[first], item),
                f"example items {first} and {second} are equal",
                "Let the item follow from its index, for example by a generator that is seeded with it.",
            )


@check(ModalitySubject)
def example_items_stay_the_same(subject: ModalitySubject) -> None:
    """An index gives the same item whenever it is asked for."""
    from geobind.authoring.checks.tools.values import alike

    for index, (first, second) in enumerate(zip(subject.items(), subject.items(), strict=True)):
        require(
            alike(first, second),
            f"example item {index} is another when it is asked for again",
            "Draw what is random from a generator that is seeded with the index.",
        )


@check(ModalitySubject)
def an_item_is_described(subject: ModalitySubject) -> None:
    """`item` says what one item is."""
    require(bool(subject.spec.item.strip()), "`item` is empty", "Say what one is: its type, its shape, its axes.")


@check(ModalitySubject)
def units_are_given(subject: ModalitySubject) -> None:
    """`units` is given where items hold numbers."""
    from geobind.authoring.checks.tools.values import numbers

    holds = any(True for item in subject.items() for _ in numbers(item))
    require(
        not holds or bool(subject.spec.units.strip()),
        "items hold numbers, and `units` is empty",
        "Say their units, such as units='K'; '1' where they have none.",
    )


@check(ModalitySubject)
def items_pickle_to_workers(subject: ModalitySubject) -> None:
    """An item can be pickled, and is the same item when it arrives."""
    from geobind.authoring.checks.tools.values import alike

    for index, item in enumerate(subject.items()):
        require(
            alike(pickle.loads(pickle.dumps(item)), item),  # noqa: S301 pickled a moment ago
            f"example item {index} is another after it was pickled",
            "Use arrays, tuples, mappings, texts, paths or PIL images.",
        )


@check(ModalitySubject)
def previews_show_items(subject: ModalitySubject) -> None:
    """`preview`, where there is one, turns every example item into a PIL image or a text."""
    from PIL import Image

    for index, item in enumerate(subject.items()):
        if not subject.spec.preview:
            return
        shown: Any = load_object(subject.spec.preview)(item)
        found = f"the preview of example item {index} is"
        fix = "Return a PIL image or a short text."
        if isinstance(shown, Image.Image):
            require(min(shown.size) > 0, f"{found} a picture without pixels", fix)
        else:
            require(isinstance(shown, str), f"{found} of type {type(shown).__name__}", fix)
            require(0 < len(shown.strip()) <= 1000, f"{found} a text of {len(shown)} characters", fix)


@check(ModalitySubject)
def sounds_can_be_heard(subject: ModalitySubject) -> None:
    """`sound`, where there is one, turns every example item into the bytes of a small WAV, Ogg, FLAC or MP3 file."""
    for index, item in enumerate(subject.items()):
        if not subject.spec.sound:
            return
        heard: Any = load_object(subject.spec.sound)(item)
        found = f"the sound of example item {index} is"
        fix = "Return the bytes of a WAV, Ogg, FLAC or MP3 file of at most 10 s."
        require(isinstance(heard, bytes), f"{found} of type {type(heard).__name__}", fix)
        require(heard.startswith(SOUNDS), f"{found} no sound file: it begins with {heard[:4]!r}", fix)
        require(len(heard) <= LARGEST_SOUND, f"{found} {len(heard):,} bytes, more than {LARGEST_SOUND:,}", fix)

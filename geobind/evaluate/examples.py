"""Look at what was retrieved, and listen: a few queries, drawn and not picked, with the first of their gallery."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

import numpy as np
from PIL import Image

from geobind.errors import GeobindError
from geobind.evaluate.preview import preview, sound_of
from geobind.evaluate.results import AllPairs, Side
from geobind.plugins import get_plugins
from geobind.ranks import Positives

TEXT_LENGTH = 160
"""Characters of a text that are shown."""
SOUNDS = 60
"""Sounds that are played at most, so that a page stays small: 10 s of MP3 are some 70 KB."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An item as a person sees it."""

    name: str
    """Short name of the item: its file's name, or the text itself."""
    picture: Image.Image | None = field(repr=False)
    """None when the item is shown as ``text``."""
    text: str = ""
    sound: bytes | None = field(default=None, repr=False)
    """A small sound file, for items that can be heard."""
    unheard: bool = False
    """Whether it could be heard, but there were enough sounds already."""

    @property
    def audible(self) -> bool:
        """Whether it is a sound."""
        return self.sound is not None or self.unheard


@dataclass(frozen=True, slots=True)
class Hit:
    """One retrieved gallery item."""

    item: Shown
    similarity: float
    """Cosine with the query."""
    positive: bool


@dataclass(frozen=True, slots=True)
class Example:
    """One query of one direction with the first of its gallery."""

    query: str
    """Modality of the query."""
    gallery: str
    """Modality that was ranked."""
    item: Shown
    hits: tuple[Hit, ...]
    """By falling similarity; equally similar items in the gallery's order."""


def gather(result: AllPairs, *, per_pair: int = 2, top: int = 5, seed: int = 0, sounds: int = SOUNDS) -> list[Example]:
    """Draw ``per_pair`` queries of every direction at random and show the first ``top`` of their gallery.

    Items whose preview fails are shown by name, and those whose sound fails are silent, so that a report never fails
    for either.

    Args:
        result: Fresh from :func:`geobind.evaluate.retrieval.all_pairs`; one read from a file holds no embeddings
            and gives no examples.
        per_pair: Queries of each ordered pair.
        top: Gallery items of each.
        seed: Of the draw.
        sounds: Sounds at most, the first ones.
    """
    viewer = _Viewer(sounds)
    examples = []
    for (query, gallery), ranked in result.ranked.items():
        # Seeded for each direction, so that leaving a modality out does not change the others' examples.
        rng = np.random.default_rng([seed, *f"{query} {gallery}".encode()])
        n = len(ranked.queries.items)
        rows = np.sort(rng.choice(n, size=min(per_pair, n), replace=False))
        positives = Positives.both(ranked.positives)[0]
        similarity = ranked.queries.table[ranked.queries.rows[rows]] @ ranked.gallery.vectors.T
        for row, own in zip(rows.tolist(), similarity, strict=True):
            item = viewer.show(ranked.queries, row)
            first = np.argsort(-own, kind="stable")[:top].tolist()
            found = set(positives.of(row).tolist())
            hits = (Hit(viewer.show(ranked.gallery, i), float(own[i]), i in found) for i in first)
            examples.append(Example(query, gallery, item, tuple(hits)))
    return examples


class _Viewer:
    """Previews items by the functions their modalities name, each distinct item once."""

    def __init__(self, sounds: int) -> None:
        self._sounds = sounds
        self._seen: dict[tuple[str, str], Shown] = {}

    def show(self, side: Side, row: int) -> Shown:
        """An item to be looked at, and listened to while there are sounds left."""
        identity = side.items.modality, str(side.items.key[row])
        shown = self._seen.get(identity) or self._look(side, row)
        self._seen[identity] = shown
        if shown.sound is None:
            return shown
        self._sounds -= 1
        return shown if self._sounds >= 0 else replace(shown, sound=None, unheard=True)

    def _look(self, side: Side, row: int) -> Shown:
        item = side.items[row]
        name = _name(item, str(side.items.place[row]))
        try:
            spec = get_plugins().modality(side.items.modality)
        except GeobindError:
            return Shown(name, None, name)
        seen, sound = preview(spec, item), sound_of(spec, item)
        if isinstance(seen, Image.Image):
            return Shown(name, seen, sound=sound)
        return Shown(name, None, _shorten(seen) if isinstance(seen, str) else name, sound)


def _name(item: Any, place: str) -> str:
    if isinstance(item, PurePath):
        return _shorten(item.name)
    return _shorten(str(item)) if isinstance(item, (str, tuple)) else f"item of place {_shorten(place)}"


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= TEXT_LENGTH else text[: TEXT_LENGTH - 1] + "…"

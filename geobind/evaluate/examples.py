"""Look at what was retrieved: a few queries, drawn and not picked, with the first of their gallery."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np
from PIL import Image

from geobind.evaluate.results import AllPairs, Ranked, Side
from geobind.modality import load_object
from geobind.plugins import get_plugins
from geobind.ranks import Positives

TEXT_LENGTH = 160
"""Characters of a text that are shown."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An item as a person sees it."""

    name: str
    """Short name of the item: its file's name, or the text itself."""
    picture: Image.Image | None = field(repr=False)
    """None when the item is shown as ``text``."""
    text: str = ""


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


def gather(result: AllPairs, *, per_pair: int = 2, top: int = 5, seed: int = 0) -> list[Example]:
    """Draw ``per_pair`` queries of every direction at random and show the first ``top`` of their gallery.

    Items whose preview fails are shown by name, so that a report never fails for a picture.

    Args:
        result: Fresh from :func:`geobind.evaluate.retrieval.all_pairs`; one read from a file holds no embeddings
            and gives no examples.
        per_pair: Queries of each ordered pair.
        top: Gallery items of each.
        seed: Of the draw.
    """
    examples = []
    for (query, gallery), ranked in result.ranked.items():
        # Seeded for each direction, so that leaving a modality out does not change the others' examples.
        rng = np.random.default_rng([seed, *f"{query} {gallery}".encode()])
        n = len(ranked.queries.items)
        for row in np.sort(rng.choice(n, size=min(per_pair, n), replace=False)).tolist():
            hits = _hits(ranked, row, top)
            examples.append(Example(query, gallery, _show(ranked.queries, row), hits))
    return examples


def _hits(ranked: Ranked, row: int, top: int) -> tuple[Hit, ...]:
    similarity = ranked.gallery.vectors @ ranked.queries.table[ranked.queries.rows[row]]
    positives = set(Positives.both(ranked.positives)[0].of(row).tolist())
    first = np.argsort(-similarity, kind="stable")[:top].tolist()
    return tuple(Hit(_show(ranked.gallery, i), float(similarity[i]), i in positives) for i in first)


def _show(side: Side, row: int) -> Shown:
    """Preview an item by the function its modality names."""
    item = side.items[row]
    name = _name(item, str(side.items.place[row]))
    try:
        path = get_plugins().modality(side.items.modality).preview
        seen: Any = load_object(path)(item) if path else None
        if isinstance(seen, Image.Image):
            with seen as picture:  # decoded here, where a broken file can be forgiven
                seen = picture.convert("RGBA")
    except Exception:  # a stranger's preview of a stranger's item: its failure costs the picture, not the report
        seen = None
    if isinstance(seen, Image.Image):
        return Shown(name, seen)
    return Shown(name, None, _shorten(seen) if isinstance(seen, str) else name)


def _name(item: Any, place: str) -> str:
    if isinstance(item, PurePath):
        return _shorten(item.name)
    return _shorten(str(item)) if isinstance(item, (str, tuple)) else f"item of place {_shorten(place)}"


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= TEXT_LENGTH else text[: TEXT_LENGTH - 1] + "…"

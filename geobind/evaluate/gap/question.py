"""``--gap``: how far modalities lie apart in their space, and how each fills it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations

import numpy as np

from geobind.data.pairs import Pairs
from geobind.errors import DataError, GeobindError, SpaceError, nearest
from geobind.evaluate.findings import Finding, Value
from geobind.evaluate.gap.geometry import (
    NEIGHBOURS,
    Floats,
    between,
    effective_rank,
    hubs,
    uniform_on_sphere,
    uniformity,
)
from geobind.evaluate.gap.pictures import draw_modalities, draw_pairs, draw_plane
from geobind.evaluate.gap.words import NOTES, SAMPLE, Cloud, Meeting, measures, sentences, tables
from geobind.evaluate.results import Side
from geobind.evaluate.subject import Subject, relation
from geobind.evaluate.subsets import split_hash


def gap(subject: Subject, modalities: Sequence[str] | None = None, *, seed: int = 0) -> Finding:
    """Measure modality gap, alignment, uniformity, hubness and effective rank.

    Args:
        subject: The space and its data; its split is looked at.
        modalities: Limit to these; every modality of the space when None.
        seed: Of the samples for uniformity, where a modality has more than
            :data:`~geobind.evaluate.gap.words.SAMPLE` items, and for the picture.

    Raises:
        GeobindError: An unknown modality, or fewer than two that can be embedded.
        DataError: Embeddings that are not finite.
    """
    names = _names(subject, modalities)
    vectors, left_out = _embed(subject, names)
    if len(vectors) < 2:
        raise GeobindError(
            f"a gap lies between two modalities; {', '.join(vectors) or 'none'} can be embedded",
            fix=" ".join(left_out) or "Name more modalities, or bind one more.",
        )
    clouds = {name: _cloud(rows, np.random.default_rng(seed)) for name, rows in vectors.items()}
    meetings: dict[tuple[str, str], Meeting] = {}
    for a, b in combinations(vectors, 2):
        try:
            meetings[a, b] = _meet(subject, a, b)
        except GeobindError as error:
            left_out.append(f"{a} – {b}: {error}")
    even = uniform_on_sphere(subject.space.dim)
    pictures = [draw_plane(vectors, seed=seed)]
    if meetings:
        pictures.append(draw_pairs({pair: meeting.between for pair, meeting in meetings.items()}))
    pictures.append(
        draw_modalities({name: (c.uniformity, c.effective_rank, c.most) for name, c in clouds.items()}, even=even)
    )
    return Finding(
        name="gap",
        title="How far do the modalities lie apart?",
        answer=sentences(clouds, meetings, even),
        protocol={
            "split": subject.split,
            "items": ", ".join(f"{name} {cloud.items:,}" for name, cloud in clouds.items()),
            "dimensions": subject.space.dim,
            "counted": "each content once for uniformity, rank and hubs; each item for gap and alignment",
            "k of hubness": NEIGHBOURS,
            "uniformity over": f"all pairs of at most {SAMPLE:,} items, seed {seed}",
        },
        measures=measures(subject.split, clouds, meetings, seed),
        tables=tables(clouds, meetings, even),
        pictures=tuple(pictures),
        notes=(*NOTES, *(f"Left out: {reason}" for reason in left_out)),
        details={
            "uniform on the sphere": even,
            "pairs": {
                f"{a} – {b}": {
                    key: None if math.isnan(value) else value for key, value in asdict(found.between).items()
                }
                for (a, b), found in meetings.items()
            },
        },
    )


def _names(subject: Subject, wanted: Sequence[str] | None) -> list[str]:
    """The modalities asked for, the anchor first."""
    space = subject.space
    for name in wanted or ():
        if name not in space.towers:
            raise SpaceError(f"modality {name!r} is not bound in space {space.name!r}", fix=nearest(name, space.towers))
    return sorted(
        (name for name in space.towers if not wanted or name in wanted), key=lambda name: name != space.anchor
    )


def _embed(subject: Subject, names: Sequence[str]) -> tuple[dict[str, Floats], list[str]]:
    """Modality → embeddings of its distinct contents; and why some have none."""
    vectors, left_out = {}, []
    for name in names:
        try:
            side = subject.embedded(name)
        except GeobindError as error:
            left_out.append(f"{name}: {error}")
            continue
        vectors[name] = _distinct(side)
    return vectors, left_out


def _distinct(side: Side) -> Floats:
    """``[U, D]``: each content once."""
    vectors: Floats = side.table[np.unique(side.rows)]
    if broken := int((~np.isfinite(vectors).all(axis=1)).sum()):
        name = side.items.modality
        raise DataError(
            f"{broken} of {len(vectors)} {name} embeddings are not finite",
            fix=f"The {name} tower gives NaN or infinity; bind it again.",
        )
    return vectors


def _cloud(vectors: Floats, rng: np.random.Generator) -> Cloud:
    n, dim = vectors.shape
    sample = vectors if n <= SAMPLE else vectors[np.sort(rng.choice(n, SAMPLE, replace=False))]
    return Cloud(n, uniformity(sample), effective_rank(vectors), min(n, dim))


def _meet(subject: Subject, a: str, b: str) -> Meeting:
    dataset, pairs = subject.pairs(a, b)
    pairs, side_a, side_b = subject.readable(dataset, pairs)
    distinct_a, distinct_b = _distinct(side_a), _distinct(side_b)
    return Meeting(
        between(side_a.vectors, side_b.vectors, pairs),
        (hubs(distinct_a, distinct_b), hubs(distinct_b, distinct_a)),
        _protocol(subject, pairs, dataset.fingerprint),
    )


def _protocol(subject: Subject, pairs: Pairs, dataset: str) -> dict[str, Value]:
    return {
        "split": subject.split,
        "split_hash": split_hash(pairs),
        "dataset": dataset,
        "rule": pairs.rule,
        "origin": pairs.origin,
        "relation": relation(subject.space, pairs.a.modality, pairs.b.modality),
        "items": f"{len(pairs.a)} + {len(pairs.b)}",
    }

"""``--regions``: how well a space does over the map and by climate."""

from __future__ import annotations

import numpy as np

from geobind.errors import DataError, GeobindError, nearest
from geobind.evaluate.emergent.relations import aside
from geobind.evaluate.findings import Finding
from geobind.evaluate.regions.groups import LEAST, Fates, blocks, main_climates
from geobind.evaluate.regions.pictures import draw_map, draw_tag
from geobind.evaluate.regions.words import Direction, measures, rows, sentences, tables
from geobind.evaluate.results import AllPairs
from geobind.evaluate.subject import Subject

SHOWN = 4
"""Directions with pictures and tables of their own, at most."""


def regions(
    subject: Subject,
    result: AllPairs,
    *,
    degrees: float = 10.0,
    tag: str = "koppen",
    query: str | None = None,
    gallery: str | None = None,
) -> Finding:
    """Part the queries by where they lie and by a tag; the gallery stays whole.

    Args:
        subject: What ``result`` was computed from.
        result: All pairs, with their rankings.
        degrees: Side of a block.
        tag: Column to part by; Köppen-Geiger classes are parted by their first letter, too.
        query: Only directions that ask by this modality.
        gallery: Only directions that rank this one.

    Raises:
        GeobindError: An unknown modality, or blocks of no size.
        DataError: Results of another space or without rankings, or neither coordinates nor the tag on any query side.
    """
    if not 0 < degrees <= 90:
        raise GeobindError(f"blocks of {degrees:g}° make no map", fix="Give more than 0° and at most 90°.")
    for name in (query, gallery):
        if name is not None and name not in result.modalities:
            raise GeobindError(f"modality {name!r} was not evaluated", fix=nearest(name, result.modalities))
    if result.fingerprint != subject.space.fingerprint:
        raise DataError(
            f"the results are those of space {result.space!r} ({result.fingerprint}), not of {subject.space.name!r}"
            f" ({subject.space.fingerprint})"
        )
    found = [
        direction
        for pair in result.rankings
        if query in (None, pair[0]) and gallery in (None, pair[1])
        if (direction := _direction(result, pair, degrees, tag)) is not None
    ]
    if not found:
        raise _nowhere(result, tag, query, gallery)
    found.sort(key=lambda one: (one.protocol.rule == "group", result.anchor not in _ends(one), -one.known))
    shown, metric = found[:SHOWN], f"R@{result.top}"
    pictures = [
        draw_map(
            one.name,
            metric,
            {block: group for block, group in one.blocks.items() if block},
            degrees=degrees,
            aside=aside(one.protocol),
        )
        for one in shown
        if one.located
    ]
    if tagged := {one.name: one.tagged for one in shown if one.tagged}:
        columns = {one.name: rows(one) for one in shown if one.tagged}
        titles = {climate for one in shown for climate in one.climates}
        pictures.append(draw_tag(tag, metric, columns, tagged, titles=sorted(titles)))
    return Finding(
        name="regions",
        title="Where on the map, and in which climates, does it work?",
        answer=tuple(sentence for one in shown for sentence in sentences(one, metric, tag, degrees)),
        protocol={
            "split": result.split,
            "metric": f"{metric}, ties {result.ties}",
            "gallery": "whole; only the queries are parted",
            "blocks": f"{degrees:g}° × {degrees:g}°",
            "tag": tag,
            "intervals": "95 % Wilson, by the number of distinct places",
            "least places to be read": LEAST,
        },
        measures=tuple(measure for one in shown for measure in measures(one, metric, tag, degrees)),
        tables=tables(found, shown, metric, tag, degrees),
        pictures=tuple(pictures),
        notes=(
            "Queries of one place (several captions) succeed and fail together: intervals go by distinct places. A"
            f" group of fewer than {LEAST} is not to be read. Of many groups, one in twenty leaves the whole out of its"
            " 95 % interval by chance.",
            "Regions and climates differ in more than that: in sources, scene classes and how alike their places are."
            " Where the gallery holds few places, finding the region is nearly finding the place.",
            f"Shown are {len(shown)} of {len(found)} directions: by place before by group, with the anchor before"
            " without, and then those of the most queries; the others are in the results file.",
            "“Of the gallery” is the median rank of the best positive, divided by the size of the gallery; one half or"
            " less by chance, the less the more positives there are.",
        ),
        details={
            "directions": [
                {
                    "query": one.protocol.query,
                    "gallery": one.protocol.gallery,
                    "blocks": {block: group.as_dict() for block, group in one.blocks.items()},
                    "tag": tag,
                    "values": {value: group.as_dict() for value, group in one.values.items()},
                }
                for one in found
            ]
        },
    )


def _direction(result: AllPairs, pair: tuple[str, str], degrees: float, tag: str) -> Direction | None:
    """One direction in groups; None where its queries have neither coordinates nor the tag."""
    measured = result.get(*pair)
    if measured is None:
        return None
    items = result.ranked[pair].queries.items
    labels = blocks(items, degrees), items.tags.get(tag, np.full(len(items), "", dtype="<U1"))
    known = [np.flatnonzero(label != "") for label in labels]
    if not any(map(len, known)):
        return None
    fates = Fates.of(result.rankings[pair], items.place, result.top)
    return Direction(
        measured.protocol,
        fates.by(labels[0]),
        fates.by(labels[1]),
        fates.by(main_climates(labels[1])) if tag == "koppen" else {},
        *(fates.group(rows) if len(rows) else None for rows in known),
    )


def _nowhere(result: AllPairs, tag: str, query: str | None, gallery: str | None) -> DataError:
    if not result.rankings:
        return DataError("the results hold no rankings: they were read from a file", fix="Run the evaluation again.")
    asked = f"{query or 'any modality'} → {gallery or 'any other'}"
    known = {name for ranked in result.ranked.values() for name in ranked.queries.items.tags}
    return DataError(
        f"no query of {asked} has coordinates or the tag {tag!r}",
        fix=f"Name the columns lat, lon and tags in the recipe's dataset. {nearest(tag, known)}",
    )


def _ends(direction: Direction) -> tuple[str, str]:
    return direction.protocol.query, direction.protocol.gallery

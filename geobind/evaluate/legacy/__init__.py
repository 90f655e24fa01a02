"""Old conventions under their names, so that published tables can be compared; nothing else should use them.

Each preset counts as the published code of its name counts: ranks of ties averaged and tied only when exactly equal,
``rank < k`` on ranks that begin at 1, and directions under the label that the code prints, which is not always the
direction that it measures. The code was read at the commits that :data:`PRESETS` names.

Shapes: N pairs, D dimensions; row i of one side belongs to row i of the other.
"""

from __future__ import annotations

import numpy as np

from geobind.errors import DataError, GeobindError, nearest
from geobind.evaluate.findings import Finding, Measure, Table, Value, percent
from geobind.evaluate.legacy.presets import PRESETS, Figure
from geobind.evaluate.legacy.similarity import Floats, Values
from geobind.evaluate.results import Ranked
from geobind.ranks import Positives

__all__ = ["PRESETS", "Figure", "legacy", "legacy_finding"]


def check_preset(preset: str) -> None:
    """Raises GeobindError, with the nearest name, when there is no such preset."""
    if preset not in PRESETS:
        raise GeobindError(f"unknown preset {preset!r}", fix=nearest(preset, PRESETS))


def legacy(
    preset: str,
    a: Floats,
    b: Floats,
    *,
    names: tuple[str, str] = ("a", "b"),
    lat_lon: Values | None = None,
    origin: str = "one-to-one by row",
) -> Finding:
    """Measure retrieval between one-to-one pairs as published code did.

    Args:
        preset: Of :data:`PRESETS`.
        a: ``[N, D]`` unit norm, the side that the published code passes first (satellite image, overhead image).
        b: ``[N, D]`` unit norm; row i belongs to row i of ``a``.
        names: Of the two modalities.
        lat_lon: ``[N, 2]`` degrees, where each pair is; for the distances of ``soundingearth``, left out without it.
        origin: How the pairs came about.

    Raises:
        GeobindError: An unknown preset.
        DataError: Sides of different shape, none or one pair, or values that are not finite.
    """
    check_preset(preset)
    a, b = (np.asarray(side, dtype=np.float32) for side in (a, b))
    if a.ndim != 2 or a.shape != b.shape or len(a) < 2:
        raise DataError(
            f"{names[0]} embeddings have shape {a.shape}, {names[1]} embeddings {b.shape}",
            fix="The old conventions know one-to-one pairs only: give both sides as [N, D], row by row.",
        )
    for side, name in ((a, names[0]), (b, names[1])):
        if not np.isfinite(side).all():
            raise DataError(f"{name} embeddings are not finite", fix=f"The {name} tower gives NaN; bind it again.")
    placed = lat_lon is not None and bool(np.isfinite(lat_lon).all())
    figures = PRESETS[preset].count(a, b, names, lat_lon if placed else None)
    notes = [f"{preset}: {PRESETS[preset].describes}. Source: {PRESETS[preset].source}."]
    if preset == "soundingearth" and not placed:
        notes.append("No D@k: not every pair has coordinates.")
    return _finding(preset, figures, len(a), names, origin, tuple(notes))


def legacy_finding(preset: str, ranked: Ranked) -> Finding:
    """The same for a pair of modalities of an evaluation, queries first.

    Raises:
        GeobindError: An unknown preset.
        DataError: Items that have more than one partner, with their count.
    """
    pairs = ranked.positives
    both = Positives.both(pairs)
    for positives, items in zip(both, (pairs.a, pairs.b), strict=True):
        if several := int(np.count_nonzero(positives.count > 1)):
            raise DataError(
                f"{several} of {len(items)} {items.modality} items have more than one partner (pairs by {pairs.rule}),"
                f" up to {positives.count.max()}; the old conventions know one-to-one pairs only",
                fix="Choose modalities with one item per place, or read the exact figures, which know several.",
            )
    partner = both[0].rows[both[0].start]
    lat_lon = pairs.a.lat_lon if pairs.a.lat_lon is not None or pairs.b.lat_lon is None else pairs.b.lat_lon[partner]
    return legacy(
        preset,
        ranked.queries.vectors,
        ranked.gallery.vectors[partner],
        names=(pairs.a.modality, pairs.b.modality),
        lat_lon=lat_lon,
        origin=pairs.origin,
    )


def _finding(
    preset: str, figures: list[Figure], n: int, names: tuple[str, str], origin: str, notes: tuple[str, ...]
) -> Finding:
    protocol: dict[str, Value] = {
        "preset": preset,
        "modalities": ", ".join(names),
        "pairs": n,
        "gallery": n,
        "pairs by": origin,
        "ties": "average, exactly equal",
        "source": PRESETS[preset].source,
    }
    measures = tuple(
        Measure(
            of=figure.true,
            metric=figure.metric + figure.unit,
            value=figure.value,
            chance=figure.chance,
            n=n,
            higher_is_better=figure.metric.startswith("R@"),
            protocol={**protocol, "printed as": figure.printed, "counted as": figure.test},
        )
        for figure in figures
    )
    rows = tuple(
        (f.metric, f.printed, f.true, f.test, _shown(f.value, f), "" if f.chance is None else _shown(f.chance, f))
        for f in figures
    )
    swapped = sum(figure.printed != figure.true for figure in figures)
    labels = (
        f"{swapped} of {len(figures)} figures carry the label of the other direction in the published code."
        if swapped
        else "Every figure is of the direction that the published code prints."
    )
    head = figures[0]
    return Finding(
        name=f"legacy-{preset}",
        title=f"{names[0]} and {names[1]}, counted as {preset} counts",
        answer=(
            f"{head.true} has {head.metric} {_shown(head.value, head)} of {n:,} pairs as {preset} counts it"
            f" ({head.test}), printed there as {head.printed}.",
            labels,
        ),
        protocol=protocol,
        measures=measures,
        tables=(
            Table(
                title=f"Figures of {preset}",
                columns=("metric", "printed as", "measures", "counted as", "value", "chance"),
                rows=rows,
                note="To compare with published tables; the exact figures stand in the matrix of pairs.",
            ),
        ),
        notes=notes,
    )


def _shown(value: float, figure: Figure) -> str:
    return percent(value) if figure.metric.startswith("R@") else f"{value:,.1f}{figure.unit}"

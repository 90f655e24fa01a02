"""All pairs as one HTML page that needs no network, no script and no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from geobind.evaluate.examples import Example
from geobind.evaluate.report.overview import Metric, is_easy, median_of, metrics, percent, synthesised, times, whole
from geobind.evaluate.report.tables import columns, notes
from geobind.evaluate.results import AllPairs, PairResult
from geobind.palette import DARK, LIGHT, hexadecimal, ink, shade

LEVELS = 16
"""Steps of the colour ramp."""

THUMBNAIL = 160
"""Longer side of an embedded picture, in pixels."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One direction in the matrix."""

    relation: str
    """``trained``, ``emergent``, or ``missing``."""
    synthesised: bool
    spoken: str
    """The cell in a sentence, for the pointer and for screen readers."""
    texts: tuple[str, ...] = ()
    """What each metric shows."""
    levels: tuple[int, ...] = ()
    """Step of the ramp for each metric."""


def to_html(result: AllPairs, examples: Sequence[Example] = ()) -> str:
    """The page: matrix, protocol, table of all pairs, and examples with their pictures inside."""
    environment = Environment(
        loader=PackageLoader("geobind.evaluate.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["thumbnail"] = thumbnail
    shown = metrics(result)
    return environment.get_template("report.html.j2").render(
        result=result,
        metrics=shown,
        matrix=_matrix(result, shown),
        ramps={"light": _ramp(LIGHT), "dark": _ramp(DARK)},
        steps=range(LEVELS),
        relations={relation: median_of(result, relation, shown[0]) for relation in ("trained", "emergent")},
        easy=is_easy(result),
        synthesised=synthesised(result),
        any_synthesised=any(pair.protocol.synthesised for pair in whole(result)),
        datasets=_distinct(pair.protocol.dataset for pair in result.results),
        origins=_distinct(f"{pair.protocol.rule}: {pair.protocol.origin}" for pair in result.results),
        columns=columns(result),
        notes=notes(result),
        examples=_by_pair(result, examples),
        times=times,
        percent=percent,
    )


def _matrix(result: AllPairs, shown: Sequence[Metric]) -> list[tuple[str, list[Cell | None]]]:
    """Rows of queries by columns of galleries; None on the diagonal."""
    measured = {(pair.protocol.query, pair.protocol.gallery): pair for pair in whole(result)}
    reasons = {(pair.query, pair.gallery): pair.reason for pair in result.unmeasured if not pair.subset}

    def cell(query: str, gallery: str) -> Cell | None:
        if query == gallery:
            return None
        if pair := measured.get((query, gallery)):
            return _cell(result, pair, shown)
        reason = reasons.get((query, gallery), "not evaluated")
        return Cell("missing", synthesised=False, spoken=f"{query} → {gallery}: {reason}")

    return [(query, [cell(query, gallery) for gallery in result.modalities]) for query in result.modalities]


def _cell(result: AllPairs, pair: PairResult, shown: Sequence[Metric]) -> Cell:
    p, k = pair.protocol, result.top
    values = [metric.value(pair) for metric in shown]
    return Cell(
        relation=p.relation,
        synthesised=p.synthesised,
        spoken=(
            f"{p.query} → {p.gallery}, {p.relation}: R@{k} {percent(pair.scores.recall[k])},"
            f" chance {percent(pair.chance.recall[k])}; {p.queries:,} queries, gallery of {p.gallery_size:,};"
            f" positives by {p.rule} ({p.origin})"
        ),
        texts=tuple(metric.write(value) for metric, value in zip(shown, values, strict=True)),
        levels=tuple(round(metric.level(value) * (LEVELS - 1)) for metric, value in zip(shown, values, strict=True)),
    )


def _ramp(ramp: tuple[tuple[int, int, int], ...]) -> list[tuple[str, str]]:
    """(paper, ink) of every step."""
    papers = [shade(ramp, step / (LEVELS - 1)) for step in range(LEVELS)]
    return [(hexadecimal(paper), hexadecimal(ink(paper))) for paper in papers]


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _by_pair(result: AllPairs, examples: Sequence[Example]) -> list[tuple[PairResult | None, list[Example]]]:
    """Examples grouped by direction, with its result."""
    groups = groupby(examples, key=lambda example: (example.query, example.gallery))
    return [(result.get(*names), list(group)) for names, group in groups]


def thumbnail(picture: Image.Image) -> str:
    """A ``data:`` URI of a small JPEG; transparency becomes white."""
    small = picture.convert("RGBA")
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    paper = Image.new("RGBA", small.size, "white")
    paper.alpha_composite(small)
    out = io.BytesIO()
    paper.convert("RGB").save(out, "JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode("ascii")

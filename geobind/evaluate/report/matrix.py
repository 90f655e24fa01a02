"""The matrix of all pairs as the page has it: cells with their colours, figures and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from geobind.evaluate.findings import percent
from geobind.evaluate.report.overview import Metric, whole
from geobind.evaluate.results import AllPairs, PairResult
from geobind.palette import Colour, hexadecimal, ink, shade

LEVELS = 16
"""Steps of the colour ramp."""


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


def matrix(result: AllPairs, shown: Sequence[Metric]) -> list[tuple[str, list[Cell | None]]]:
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


def ramp(colours: tuple[Colour, ...]) -> list[tuple[str, str]]:
    """(paper, ink) of every step."""
    papers = [shade(colours, step / (LEVELS - 1)) for step in range(LEVELS)]
    return [(hexadecimal(paper), hexadecimal(ink(paper))) for paper in papers]

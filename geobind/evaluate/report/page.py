"""An evaluation as one HTML page that needs no network, no script and no other file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import geobind
from geobind.evaluate.examples import Example
from geobind.evaluate.findings import Finding, Picture, percent
from geobind.evaluate.report.matrix import LEVELS, matrix, ramp
from geobind.evaluate.report.media import png, sound, thumbnail
from geobind.evaluate.report.overview import is_easy, median_of, metrics, synthesised, times, whole
from geobind.evaluate.report.tables import columns, notes, positives
from geobind.evaluate.report.words import interval, is_word, number, written
from geobind.evaluate.results import AllPairs, PairResult
from geobind.palette import DARK, LIGHT


def to_html(
    all_pairs: AllPairs | None,
    findings: Sequence[Finding] = (),
    examples: Sequence[Example] = (),
    pictures: Sequence[Picture] = (),
) -> str:
    """The page: matrix, protocol and table of all pairs, a section per finding, and examples.

    Args:
        all_pairs: Retrieval between all pairs; None where only questions were asked.
        findings: In the order of their sections.
        examples: Of all pairs.
        pictures: Of all pairs, beneath the matrix.
    """
    environment = Environment(
        loader=PackageLoader("geobind.evaluate.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"thumbnail": thumbnail, "png": png, "sound": sound, "written": written, "number": number}
    return environment.get_template("report.html.j2").render(
        name=name_of(all_pairs, findings),
        geobind=geobind.__version__,
        ramps={"light": ramp(LIGHT), "dark": ramp(DARK)},
        steps=range(LEVELS),
        result=all_pairs,
        findings=findings,
        is_word=is_word,
        interval=interval,
        times=times,
        percent=percent,
        positives=positives,
        **({} if all_pairs is None else _retrieval(all_pairs, examples, pictures)),
    )


def name_of(all_pairs: AllPairs | None, findings: Sequence[Finding]) -> str:
    """What a report is about: the space, else its only question."""
    if all_pairs is not None:
        return all_pairs.space
    spaces = _distinct(str(finding.protocol["space"]) for finding in findings if "space" in finding.protocol)
    if len(spaces) == 1:
        return spaces[0]
    return findings[0].title if len(findings) == 1 else "Evaluation"


def _retrieval(result: AllPairs, examples: Sequence[Example], pictures: Sequence[Picture]) -> dict[str, Any]:
    """What the sections on all pairs are made of."""
    shown = metrics(result)
    items = [item for example in examples for item in (example.item, *(hit.item for hit in example.hits))]
    return {
        "metrics": shown,
        "matrix": matrix(result, shown),
        "pictures": pictures,
        "relations": {relation: median_of(result, relation, shown[0]) for relation in ("trained", "emergent")},
        "easy": is_easy(result),
        "synthesised": synthesised(result),
        "any_synthesised": any(pair.protocol.synthesised for pair in whole(result)),
        "datasets": _distinct(pair.protocol.dataset for pair in result.results),
        "origins": _distinct(positives(pair.protocol) for pair in result.results),
        "columns": columns(result),
        "notes": notes(result),
        "examples": _by_pair(result, examples),
        "heard": any(item.sound for item in items),
        "unheard": sum(item.unheard for item in items),
    }


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _by_pair(result: AllPairs, examples: Sequence[Example]) -> list[tuple[PairResult | None, list[Example]]]:
    """Examples grouped by direction, with its result."""
    groups = groupby(examples, key=lambda example: (example.query, example.gallery))
    return [(result.get(*names), list(group)) for names, group in groups]

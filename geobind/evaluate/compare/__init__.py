"""Evaluations side by side: differences to a baseline with their intervals, of measures that may be compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from geobind.errors import GeobindError, nearest
from geobind.evaluate.compare.evaluation import Evaluation, Key, file_of, names_of
from geobind.evaluate.compare.paired import independent, paired, same_queries
from geobind.evaluate.compare.result import ALL_PAIRS, Comparison, Difference, How
from geobind.evaluate.findings import Measure
from geobind.evaluate.intervals import Interval
from geobind.evaluate.report.queries import Queries

__all__ = ["Comparison", "Difference", "compare"]

IDENTITY = frozenset({"space", "fingerprint", "anchor", "dim", "geobind", "relation"})
"""Keys of a protocol that say which space was measured, not how."""
SETTLED = frozenset({"dataset", "left_out"})
"""Keys that do not matter where the hash of the evaluated items and their positives is equal."""
ALL = "all"
"""Asks for every metric."""


def compare(
    paths: Sequence[Path], *, across_protocols: bool = False, metrics: Sequence[str] | None = None
) -> Comparison:
    """Compare evaluations with the first of them, measure by measure.

    Intervals of differences in retrieval are those of a paired bootstrap where both reports kept how their queries
    fared (``ranks.npz``) and asked the same ones; of all others, they follow from the intervals of both.

    Args:
        paths: ``results.json`` files, or folders that hold one; the baseline first.
        across_protocols: Compare also what was measured under different protocols; such differences are marked.
        metrics: Only these; ``all`` for every one. When None: R@k with the leading k, median rank and mAP of all
            pairs, and every figure of the findings.

    Raises:
        GeobindError: Fewer than two, a file that cannot be read, a metric that none has, no measure in common, or
            protocols that differ.
    """
    if len(paths) < 2:
        raise GeobindError(
            f"a comparison needs two or more results; there is {len(paths) or 'none'}",
            fix="Name the baseline first, then what is compared with it.",
        )
    files = [file_of(Path(path)) for path in paths]
    first, *others = (Evaluation.read(path, name) for path, name in zip(files, names_of(files), strict=True))
    wanted = _wanted([first, *others], metrics)
    order = [key for key in first.measures if wanted(key)]
    if not any(key in other.measures for key in order for other in others):
        raise GeobindError(
            f"{first.name} and {', '.join(other.name for other in others)} have no measure in common",
            fix="Compare results of the same questions on the same modalities.",
        )
    found = [_differences(first, other, order) for other in others]
    if not across_protocols:
        for differences in found:
            _check_protocols(first.name, list(differences.values()))
    return Comparison(
        (first.name, *(other.name for other in others)),
        tuple(differences[key] for key in order for differences in found if key in differences),
        tuple(sentence for other in others for sentence in _unmatched(first, other, wanted)),
    )


def _wanted(evaluations: Sequence[Evaluation], metrics: Sequence[str] | None) -> Callable[[Key], bool]:
    """Whether a measure is to be compared."""
    if metrics is None:
        leading = evaluations[0].leading
        return lambda key: key[0] != ALL_PAIRS or key[2] in leading
    known = {metric for one in evaluations for _, _, metric, _ in one.measures}
    for metric in metrics:
        if metric not in known | {ALL}:
            raise GeobindError(f"no result has the metric {metric!r}", fix=nearest(metric, known))
    return lambda key: ALL in metrics or key[2] in metrics


def _differences(first: Evaluation, other: Evaluation, keys: Sequence[Key]) -> dict[Key, Difference]:
    """The differences of one evaluation to the baseline."""
    keys = [key for key in keys if key in other.measures]
    same = first.path.read_bytes() == other.path.read_bytes()
    intervals = {} if same else _paired(first, other, keys)
    found = {}
    for key in keys:
        a, b = first.measures[key], other.measures[key]
        how: How = "same file" if same else "paired" if key in intervals else "independent"
        interval = (0.0, 0.0) if same else intervals.get(key) or independent(a, b)
        found[key] = Difference(key[0], other.name, a, b, how if interval else "none", interval, _unlike(a, b))
    return found


def _paired(first: Evaluation, other: Evaluation, keys: Sequence[Key]) -> dict[Key, Interval]:
    """The intervals of what was asked by the same queries."""
    by_queries: dict[tuple[int, int], tuple[Queries, Queries, list[Key]]] = {}
    for key in keys:
        a, b = first.asked(key), other.asked(key)
        if a is not None and b is not None:
            by_queries.setdefault((id(a), id(b)), (a, b, []))[2].append(key)
    return {
        key: found[key[2]]
        for a, b, own in by_queries.values()
        if same_queries(a, b)
        for found in [paired(a, b, [metric for _, _, metric, _ in own])]
        for key in own
        if key[2] in found
    }


def _unlike(a: Measure, b: Measure) -> tuple[str, ...]:
    """Where the protocols of two measures differ."""
    p, q = {"n": a.n, **a.protocol}, {"n": b.n, **b.protocol}
    settled = SETTLED if p.get("split_hash") and p.get("split_hash") == q.get("split_hash") else frozenset()
    # Of retrieval, n is the number of queries, which the protocol has.
    ignored = IDENTITY | settled | ({"n"} if "queries" in p and "queries" in q else set())
    keys = [key for key in dict.fromkeys([*p, *q]) if key not in ignored]
    return tuple(f"{key}: {p.get(key)} against {q.get(key)}" for key in keys if p.get(key) != q.get(key))


def _check_protocols(baseline: str, differences: Sequence[Difference]) -> None:
    """Refuse where protocols differ, and say where."""
    unlike = [difference for difference in differences if difference.unlike]
    if unlike:
        first = unlike[0]
        raise GeobindError(
            f"{len(unlike)} of {len(differences)} measures of {baseline} and {first.name} follow different protocols;"
            f" {first.baseline.metric} of {first.baseline.of} has {'; '.join(first.unlike)}",
            fix="Evaluate both by the same rules on the same split, or add --across-protocols to compare all the same.",
        )


def _unmatched(first: Evaluation, other: Evaluation, wanted: Callable[[Key], bool]) -> list[str]:
    """What only one of two evaluations measured, in sentences."""
    sentences = []
    for one, another in ((first, other), (other, first)):
        if lonely := [key for key in one.measures if wanted(key) and key not in another.measures]:
            of = list(dict.fromkeys(of for _, of, _, _ in lonely))
            some = ", ".join(of[:3]) + (f" and {len(of) - 3} more" if len(of) > 3 else "")
            sentences.append(f"{one.name} has what {another.name} has not: {some}.")
    return sentences

"""Retrieval between every ordered pair of a space's modalities: trained pairs and emergent ones alike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import geobind
from geobind.data.items import SPLITS, Dataset
from geobind.data.pairs import Pairs, match
from geobind.errors import DataError, GeobindError, SpaceError, nearest
from geobind.evaluate.embeddings import Embeddings
from geobind.evaluate.results import AllPairs, PairResult, Protocol, Ranked, Unmeasured
from geobind.evaluate.scores import KS, chance, check_ks, measured
from geobind.evaluate.subsets import by_tag, flip, split_hash
from geobind.ranks import Ties, rank_both

if TYPE_CHECKING:
    from geobind.space.space import Space


def all_pairs(
    space: Space,
    datasets: Sequence[Dataset],
    *,
    split: str = "test",
    modalities: Sequence[str] | None = None,
    by: str | None = None,
    ks: Sequence[int] = KS,
    ties: Ties = "mean",
) -> AllPairs:
    """Evaluate all pairs of modalities, each in both directions.

    A pair is taken from the first dataset whose split holds pairs of the two. Each item is embedded once. A pair that
    cannot be evaluated is listed with its reason and does not stop the others.

    Args:
        space: The space.
        datasets: Where items and pairs come from, in order of preference.
        split: ``train``, ``val`` or ``test``.
        modalities: Limit to these; every modality of the space when None.
        by: Tag column (``source``, ``country``): also evaluate each part that both sides share a value of.
        ks: The k of R@k.
        ties: The tie rule of :mod:`geobind.ranks`.

    Raises:
        GeobindError: An argument that makes no sense, or not one pair that could be evaluated.
    """
    if split not in SPLITS:
        raise GeobindError(f"unknown split {split!r}", fix=nearest(split, SPLITS))
    names, ks = _modalities(space, modalities), check_ks(ks)
    planned: dict[tuple[str, str], _Planned] = {}
    reasons: dict[tuple[str, str, str], str] = {}
    for a, b in combinations(names, 2):
        try:
            planned[a, b] = _plan(datasets, a, b, split)
        except GeobindError as error:
            reasons[a, b, ""] = str(error)
    if by is not None:
        _check_tag(by, planned)

    embeddings = Embeddings(space, split)
    for dataset, pairs in planned.values():
        embeddings.need(dataset, pairs.a)
        embeddings.need(dataset, pairs.b)
    results: list[PairResult] = []
    ranked: dict[tuple[str, str], Ranked] = {}
    for (a, b), plan in planned.items():
        for subset, pairs in _parts(plan.pairs, by).items():
            try:
                sides = [embeddings.side(plan.dataset, items) for items in (pairs.a, pairs.b)]
                there = Ranked(sides[0], sides[1], pairs)
                results += _evaluate(space, plan.dataset, there, split=split, subset=subset, ks=ks, ties=ties)
            except GeobindError as error:
                reasons[a, b, subset] = str(error)
                continue
            if not subset:
                ranked[a, b], ranked[b, a] = there, Ranked(sides[1], sides[0], flip(pairs))
    if not results:
        raise DataError(
            f"none of the {len(names) * (len(names) - 1) // 2} pairs of {', '.join(names)} could be evaluated;"
            f" the first because: {next(iter(reasons.values()))}"
        )
    return AllPairs(
        space=space.name,
        fingerprint=space.fingerprint,
        dim=space.dim,
        anchor=space.anchor,
        modalities=names,
        split=split,
        ties=ties,
        ks=ks,
        geobind=geobind.__version__,
        results=tuple(results),
        unmeasured=tuple(
            Unmeasured(query, gallery, subset, reason)
            for (a, b, subset), reason in reasons.items()
            for query, gallery in ((a, b), (b, a))
        ),
        ranked=ranked,
    )


class _Planned(NamedTuple):
    """Where a pair of modalities is evaluated."""

    dataset: Dataset
    pairs: Pairs


def _modalities(space: Space, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The modalities to evaluate, the anchor first."""
    for name in wanted or ():
        if name not in space.towers:
            raise SpaceError(f"modality {name!r} is not bound in space {space.name!r}", fix=nearest(name, space.towers))
    names = [name for name in space.towers if wanted is None or name in wanted]
    if len(names) < 2:
        raise GeobindError(
            f"retrieval needs two modalities; there is {', '.join(names) or 'none'}",
            fix="Name more modalities, or bind one more.",
        )
    return tuple(sorted(names, key=lambda name: name != space.anchor))


def _plan(datasets: Sequence[Dataset], a: str, b: str, split: str) -> _Planned:
    """The first dataset whose split holds pairs of the two; otherwise the reason why there is none."""
    reason = DataError(f"no dataset holds both {a} and {b}")
    for dataset in datasets:
        if {a, b} <= set(dataset.modalities):
            try:
                return _Planned(dataset, match(dataset, a, b, split))
            except DataError as error:
                reason = error
    raise reason


def _parts(pairs: Pairs, by: str | None) -> dict[str, Pairs]:
    """Name of the part → its pairs; the whole comes first, under the empty name."""
    parts = by_tag(pairs, by) if by is not None else {}
    return {"": pairs, **{f"{by}={value}": part for value, part in parts.items()}}


def _check_tag(tag: str, planned: dict[tuple[str, str], _Planned]) -> None:
    known = {name for _, pairs in planned.values() for name in (*pairs.a.tags, *pairs.b.tags)}
    if planned and tag not in known:
        raise DataError(f"no dataset has the tag column {tag!r}", fix=nearest(tag, known))


def _evaluate(
    space: Space, dataset: Dataset, ranked: Ranked, *, split: str, subset: str, ks: tuple[int, ...], ties: Ties
) -> list[PairResult]:
    """Both directions of one set of pairs, from one pass over its similarities."""
    pairs = ranked.positives
    trained = frozenset((pairs.a.modality, pairs.b.modality)) in space.trained_pairs
    identity = split_hash(pairs)
    results = []
    rankings = rank_both(ranked.queries.vectors, ranked.gallery.vectors, pairs, ties=ties)
    for ranking, (query, other) in zip(rankings, ((pairs.a, pairs.b), (pairs.b, pairs.a)), strict=True):
        protocol = Protocol(
            query=query.modality,
            gallery=other.modality,
            subset=subset,
            queries=len(query),
            gallery_size=len(other),
            rule=pairs.rule,
            ties=ties,
            split=split,
            split_hash=identity,
            dataset=dataset.fingerprint,
            relation="trained" if trained else "emergent",
            origin=pairs.origin,
        )
        results.append(PairResult(protocol, measured(ranking, ks), chance(ranking.positives, ranking.gallery, ks)))
    return results

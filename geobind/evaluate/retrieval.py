"""Retrieval between every ordered pair of a space's modalities: trained pairs and emergent ones alike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

import geobind
from geobind.data.items import Items
from geobind.data.pairs import Pairs
from geobind.errors import DataError, GeobindError, SpaceError, nearest
from geobind.evaluate.intervals import intervals
from geobind.evaluate.memory import Memory, Rankings
from geobind.evaluate.results import AllPairs, PairResult, Protocol, Ranked, Side, Unmeasured
from geobind.evaluate.scores import KS, chance, chance_distance, check_ks, measured, per_query
from geobind.evaluate.subject import Planned, Subject, relation
from geobind.evaluate.subsets import by_tag, flip, known_tags, split_hash
from geobind.ranks import Ranking, Ties, rank_both

if TYPE_CHECKING:
    from geobind.space.space import Space


def all_pairs(
    subject: Subject,
    *,
    modalities: Sequence[str] | None = None,
    by: Sequence[str] = (),
    ks: Sequence[int] = KS,
    ties: Ties = "mean",
    memory: Memory | None = None,
) -> AllPairs:
    """Evaluate all pairs of modalities, each in both directions.

    A pair is taken from the first dataset whose split holds pairs of the two. Each item is embedded once. A pair that
    cannot be evaluated is listed with its reason and does not stop the others.

    Args:
        subject: The space, its data and the split.
        modalities: Limit to these; every modality of the space when None.
        by: Tag columns (``source``, ``country``), or ``block`` for spatial blocks of
            :data:`~geobind.evaluate.subsets.BLOCK_DEG`: also evaluate each part that both sides share a value of.
        ks: The k of R@k, mAP@k, nDCG@k and D@k.
        ties: The tie rule of :mod:`geobind.ranks`.
        memory: Where results of before are found and new ones kept.

    Raises:
        GeobindError: An argument that makes no sense, or not one pair that could be evaluated.
    """
    space, memory = subject.space, memory or Memory(None)
    names, ks = _modalities(space, modalities), check_ks(ks)
    planned: dict[tuple[str, str], Planned] = {}
    reasons: dict[tuple[str, str, str], str] = {}
    for a, b in combinations(names, 2):
        try:
            planned[a, b] = subject.pairs(a, b)
        except GeobindError as error:
            reasons[a, b, ""] = str(error)
    for tag in by:
        _check_tag(tag, planned)

    for dataset, pairs in planned.values():
        subject.announce(dataset, pairs.a)
        subject.announce(dataset, pairs.b)
    results: list[PairResult] = []
    ranked: dict[tuple[str, str], Ranked] = {}
    rankings: dict[tuple[str, str], Ranking] = {}
    for (a, b), plan in planned.items():
        for subset, pairs in _parts(plan.pairs, by).items():
            try:
                there = Ranked(*_sides(subject, plan._replace(pairs=pairs)))
                identity = split_hash(there.positives)
                both = _rank(subject, plan, there, identity, ks, ties, memory)
                results += _results(subject, plan, there, both, identity=identity, subset=subset, ks=ks, ties=ties)
            except GeobindError as error:
                reasons[a, b, subset] = str(error)
                continue
            if not subset:
                ranked[a, b], ranked[b, a] = there, Ranked(there.gallery, there.queries, flip(there.positives))
                rankings[a, b], rankings[b, a] = both
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
        split=subject.split,
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
        rankings=rankings,
    )


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


def _parts(pairs: Pairs, by: Sequence[str]) -> dict[str, Pairs]:
    """Name of the part → its pairs; the whole comes first, under the empty name."""
    return {"": pairs, **{f"{tag}={value}": part for tag in by for value, part in by_tag(pairs, tag).items()}}


def _check_tag(tag: str, planned: dict[tuple[str, str], Planned]) -> None:
    known = {name for _, pairs in planned.values() for name in known_tags(pairs)}
    if planned and tag not in known:
        raise DataError(f"no dataset has the tag column {tag!r}", fix=nearest(tag, known))


def _sides(subject: Subject, plan: Planned) -> tuple[Side, Side, Pairs]:
    pairs, a, b = subject.readable(plan.dataset, plan.pairs)
    return a, b, pairs


def _rank(
    subject: Subject, plan: Planned, ranked: Ranked, identity: str, ks: tuple[int, ...], ties: Ties, memory: Memory
) -> Rankings:
    """Both directions of one set of pairs, from memory or from one pass over its similarities."""
    pairs = ranked.positives
    vectors = ranked.queries.vectors, ranked.gallery.vectors
    located = all(_located(items) for items in (pairs.a, pairs.b))
    parts = [
        geobind.__version__,
        subject.space.fingerprint,
        plan.dataset.fingerprint,
        [pairs.a.modality, pairs.b.modality, identity, subject.radius_km],
        [list(ks), ties, located],
    ]
    positives = (pairs.label_a, pairs.label_b) if pairs.edges is None else (pairs.edges,)
    return memory.rankings(
        parts,
        (*vectors, *positives),
        lambda: rank_both(*vectors, pairs, ties=ties, ks=ks, distances=located),
    )


def _located(items: Items) -> bool:
    return items.lat_lon is not None and bool(np.isfinite(items.lat_lon).any())


def _results(
    subject: Subject,
    plan: Planned,
    ranked: Ranked,
    both: Rankings,
    *,
    identity: str,
    subset: str,
    ks: tuple[int, ...],
    ties: Ties,
) -> list[PairResult]:
    """The figures of both directions."""
    pairs = ranked.positives
    results = []
    for ranking, (query, other) in zip(both, ((pairs.a, pairs.b), (pairs.b, pairs.a)), strict=True):
        protocol = Protocol(
            query=query.modality,
            gallery=other.modality,
            subset=subset,
            queries=len(query),
            gallery_size=len(other),
            rule=pairs.rule,
            radius_km=subject.radius_km,
            ties=ties,
            split=subject.split,
            split_hash=identity,
            dataset=plan.dataset.fingerprint,
            relation=relation(subject.space, query.modality, other.modality),
            origin=pairs.origin,
            left_out=len(plan.pairs.a) + len(plan.pairs.b) - len(pairs.a) - len(pairs.b) if not subset else 0,
        )
        km = {}
        if ranking.nearest_km and query.lat_lon is not None and other.lat_lon is not None:
            km = chance_distance(query.lat_lon, other.lat_lon, ks)
        results.append(
            PairResult(
                protocol,
                measured(ranking, ks),
                chance(ranking.positives, ranking.gallery, ks, km),
                intervals(per_query(ranking, ks), query.place),
            )
        )
    return results

"""Queries that are sums of modalities: an image and a text, a sound and a text; against each part asked alone.

Shapes: N queries, D dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geobind.data.pairs import Pairs
from geobind.errors import DataError, GeobindError, nearest
from geobind.evaluate.findings import Finding, Measure, Table, Value
from geobind.evaluate.intervals import METHOD, intervals
from geobind.evaluate.scores import EASY, KS, chance, check_ks, higher_is_better, measured, per_query
from geobind.evaluate.subject import Subject, relation
from geobind.evaluate.subsets import restrict, split_hash
from geobind.ranks import Ranking, Ties, rank_both


@dataclass(frozen=True)
class Mix:
    """A weighted sum of modalities: the unit vectors are weighted, added, and brought to unit norm again."""

    parts: tuple[tuple[str, float], ...]
    """(modality, weight), the one first whose positives count."""

    @classmethod
    def parse(cls, text: str) -> Mix:
        """Read ``satellite+text`` or ``0.7*satellite+0.3*text``; a weight is 1 unless it is written.

        Raises:
            GeobindError: Anything else, fewer than two modalities, one twice, or a weight that is not above 0.
        """
        parts = []
        for word in text.replace(" ", "").split("+"):
            found = re.fullmatch(r"(?:(\d*\.?\d+)\*)?([A-Za-z_]\w*)", word)
            if found is None:
                raise GeobindError(
                    f"{text!r} is not a sum of modalities", fix="Write satellite+text, or 0.7*audio+0.3*text."
                )
            parts.append((found[2], float(found[1] or 1)))
        names = [name for name, _ in parts]
        if len(names) < 2 or len(set(names)) < len(names):
            raise GeobindError(f"a sum needs two or more modalities, each once; {text!r} has {', '.join(names)}")
        if any(weight <= 0 for _, weight in parts):
            raise GeobindError(f"the weights in {text!r} are not all above 0")
        return cls(tuple(parts))

    @property
    def name(self) -> str:
        """``satellite+text``, with the weights where they are not equal."""
        equal = len({weight for _, weight in self.parts}) == 1
        return "+".join(name if equal else f"{weight:g}*{name}" for name, weight in self.parts)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities it adds."""
        return tuple(name for name, _ in self.parts)

    def vectors(self, sides: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """The sum of unit vectors ``[N, D]`` of each part: ``[N, D]``, unit norm.

        Raises:
            DataError: Parts that cancel each other out.
        """
        total = sum(np.float32(weight) * side for (_, weight), side in zip(self.parts, sides, strict=True))
        norm = np.linalg.norm(total, axis=1, keepdims=True)
        if (norm < 1e-6).any():
            raise DataError(f"the parts of {self.name} cancel out in {int((norm < 1e-6).sum())} queries")
        return np.asarray(total / norm, dtype=np.float32)


def sums(
    subject: Subject,
    mixes: Sequence[Mix],
    *,
    modalities: Sequence[str] | None = None,
    ks: Sequence[int] = KS,
    ties: Ties = "mean",
    seed: int = 0,
) -> Finding:
    """Ask every modality that is not in a sum by the sum, and by each of its parts alone, over the same queries.

    Each item of the first part is a query, together with one item of every other part that is its positive; which of
    several is drawn by ``seed``. Positives in the gallery are those of the first part.

    Args:
        subject: The space, its data and the split.
        mixes: What to add up.
        modalities: The galleries; every modality of the space when None.
        ks: The k of R@k.
        ties: The tie rule.
        seed: Of the draw of partners.

    Raises:
        GeobindError: A modality that is not bound, or no sum that could ask any gallery.
    """
    ks, known = check_ks(ks), subject.space.towers
    for name in [name for mix in mixes for name in mix.modalities] + list(modalities or ()):
        if name not in known:
            raise GeobindError(
                f"modality {name!r} is not bound in space {subject.space.name!r}", fix=nearest(name, known)
            )
    asked: list[_Asked] = []
    reasons = []
    for mix in mixes:
        for gallery in modalities or known:
            if gallery not in mix.modalities:
                try:
                    asked.append(_ask(subject, mix, gallery, ks, ties, seed))
                except GeobindError as error:
                    reasons.append(f"{mix.name} → {gallery} was not measured: {error}")
    if not asked:
        raise DataError("no sum could ask any gallery" + "".join(f"; {reason}" for reason in reasons[:1]))
    return Finding(
        name="sums",
        title="Do two modalities together ask better than one?",
        answer=tuple(_sentence(one) for one in asked),
        protocol={
            "split": subject.split,
            "sum": "unit vectors, weighted, added, and brought to unit norm again",
            "queries": f"items of the first part, each with one partner of every other part, drawn by seed {seed}",
            "positives": "those of the first part",
            "ties": ties,
            "intervals": METHOD,
        },
        measures=tuple(measure for one in asked for measure in one.measures),
        tables=(
            Table(
                title="Sums and their parts, over the same queries",
                columns=(
                    "query → gallery",
                    "pair",
                    f"R@{_top(ks)} % (95 %)",
                    "chance",
                    "mAP % (95 %)",
                    "chance",
                    "queries × gallery",
                    "pairs",
                ),
                rows=tuple(row for one in asked for row in one.rows),
            ),
        ),
        notes=tuple(reasons),
    )


@dataclass(frozen=True)
class _Asked:
    """One gallery asked by one sum and by its parts."""

    mix: Mix
    gallery: str
    measures: tuple[Measure, ...]
    rows: tuple[tuple[str, ...], ...]
    leading: str
    """The figure that tells sums apart: mAP where chance alone reaches a high R@k."""
    best: str
    """The part that is best alone."""
    gain: tuple[float, float]
    """Interval of the sum less the best part, resampled in pairs."""


def _ask(subject: Subject, mix: Mix, gallery: str, ks: tuple[int, ...], ties: Ties, seed: int) -> _Asked:
    first, *others = mix.modalities
    dataset, pairs = subject.pairs(first, gallery)
    pairs, _, _ = subject.readable(dataset, pairs)
    partners = [_partners(subject, first, other, seed) for other in others]
    keep = np.isin(pairs.a.place, list(set.intersection(*(set(found) for found in partners))))
    # A text or class may have several items: all of one place are kept or left out together.
    kept = restrict(pairs, keep, np.ones(len(pairs.b), dtype=bool))
    if not len(kept.a):
        raise DataError(f"no {first} item that has a {gallery} also has {' and '.join(others)}")
    own, ranked = subject.side(dataset, kept.a), subject.side(dataset, kept.b)
    vectors = [own.vectors]
    for found in partners:
        vectors.append(np.stack([found[place] for place in kept.a.place.tolist()]))
    queries = {mix.name: mix.vectors(vectors)} | dict(zip(mix.modalities, vectors, strict=True))
    rankings = {name: rank_both(side, ranked.vectors, kept, ties=ties, ks=ks)[0] for name, side in queries.items()}
    return _summary(subject, mix, gallery, kept, dataset.fingerprint, rankings, ks, ties)


def _partners(subject: Subject, first: str, other: str, seed: int) -> dict[str, NDArray[np.float32]]:
    """Place of an item of the first part → the embedding of its partner."""
    dataset, pairs = subject.pairs(first, other)
    pairs, _, side = subject.readable(dataset, pairs)
    drawn = side.vectors[pairs.partners(np.random.default_rng(seed))]
    return dict(zip(pairs.a.place.tolist(), drawn, strict=True))


def _summary(
    subject: Subject,
    mix: Mix,
    gallery: str,
    pairs: Pairs,
    data: str,
    rankings: dict[str, Ranking],
    ks: tuple[int, ...],
    ties: Ties,
) -> _Asked:
    words: dict[str, str] = {name: relation(subject.space, name, gallery) for name in mix.modalities}
    kinds = set(words.values())
    words[mix.name] = kinds.pop() if len(kinds) == 1 else "mixed"
    by_chance = chance(rankings[mix.name].positives, len(pairs.b), ks).named()
    top = f"R@{_top(ks)}"
    measures: list[Measure] = []
    rows = []
    for name, ranking in rankings.items():
        figures, ends = measured(ranking, ks).named(), intervals(per_query(ranking, ks), pairs.a.place)
        protocol: dict[str, Value] = {
            "query": name,
            "gallery": gallery,
            "queries": len(pairs.a),
            "gallery_size": len(pairs.b),
            "rule": pairs.rule,
            "ties": ties,
            "split": subject.split,
            "split_hash": split_hash(pairs),
            "dataset": data,
            "relation": words[name],
            "origin": pairs.origin,
            "queries_of": mix.name,
        }
        measures += [
            Measure(
                of=f"{name} → {gallery}" + ("" if name == mix.name else f" (queries of {mix.name})"),
                metric=metric,
                value=value,
                low=ends[metric][0] if metric in ends else None,
                high=ends[metric][1] if metric in ends else None,
                chance=by_chance.get(metric),
                n=len(pairs.a),
                higher_is_better=higher_is_better(metric),
                protocol=protocol,
            )
            for metric, value in figures.items()
        ]
        shown = [
            text
            for metric in (top, "mAP")
            for text in (_written(figures[metric], ends[metric]), f"{100 * by_chance[metric]:.1f}")
        ]
        rows.append(
            (
                f"{name} → {gallery}",
                words[name],
                *shown,
                f"{len(pairs.a):,} × {len(pairs.b):,}",
                f"{pairs.rule}: {pairs.origin}",
            )
        )
    leading = "mAP" if by_chance[top] > EASY else top
    values = {name: per_query(ranking, ks)[leading] for name, ranking in rankings.items()}
    best = max(mix.modalities, key=lambda name: float(np.mean(values[name])))
    gain = intervals({leading: values[mix.name] - values[best]}, pairs.a.place)[leading]
    return _Asked(mix, gallery, tuple(measures), tuple(rows), leading, best, gain)


def _top(ks: tuple[int, ...]) -> int:
    return 10 if 10 in ks else ks[-1]


def _written(value: float, ends: tuple[float, float]) -> str:
    return f"{100 * value:.1f} ({100 * ends[0]:.1f}–{100 * ends[1]:.1f})"


def _sentence(one: _Asked) -> str:
    values = {m.of.split(" → ")[0]: m.value for m in one.measures if m.metric == one.leading}
    low, high = (100 * end for end in one.gain)
    verdict = "better" if low > 0 else "worse" if high < 0 else "not told apart"
    return (
        f"{one.mix.name} → {one.gallery}: {one.leading} {100 * values[one.mix.name]:.1f} %, against"
        f" {100 * values[one.best]:.1f} % for {one.best} alone; the difference lies in {low:+.1f} … {high:+.1f} points"
        f" ({verdict})."
    )

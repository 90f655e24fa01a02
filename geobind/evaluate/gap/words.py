"""What ``--gap`` says: its sentences, measures and tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from geobind.evaluate.findings import Measure, Table, Value
from geobind.evaluate.gap.geometry import NEIGHBOURS, SCALE, Between, Hubs

SAMPLE = 4000
"""Items that uniformity is taken over, at most; all pairs among them."""

NOTES = (
    "Modality gap: distance of the centroids of two modalities' embeddings, over the items of their pairs (Liang et al."
    " 2022). “One cloud” is what two samples of one cloud, as large as these, would show: √((1 − ‖m‖²)(1/A + 1/B)). "
    "Where pairs go by group, both sides may hold the groups in other shares, which moves the centroids apart, too.",
    "Alignment: mean squared distance of positives, each pair of positives counted once, lower is better; uniformity:"
    f" log mean exp(−{SCALE:g}‖x − y‖²) over pairs of different items, lower is more even (both Wang and Isola 2020).",
    f"Hubness: skewness of how often a gallery item is among the {NEIGHBOURS} nearest of a query (Radovanović et al."
    " 2010); anti-hubs are never among them. By chance: each query takes as many items at random. Few queries, or"
    " queries of few scene classes, leave most of a large gallery out in any space.",
    "Effective rank: exp of the entropy of the singular values, divided by their sum (Roy and Vetterli 2007), of the"
    " embeddings as they are; it cannot pass the number of items nor of dimensions.",
    "Cosine of other pairs: the exact mean over all pairs that are no positives.",
)


@dataclass(frozen=True, slots=True)
class Cloud:
    """One modality by itself."""

    items: int
    """Items of distinct content."""
    uniformity: float
    """NaN for a single item."""
    effective_rank: float
    most: int
    """The effective rank cannot be higher."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two modalities."""

    between: Between
    hubs: tuple[Hubs, Hubs]
    """When the first asks the second, and the other way."""
    protocol: Mapping[str, Value]


Meetings = Mapping[tuple[str, str], Meeting]


def sentences(clouds: Mapping[str, Cloud], meetings: Meetings, even: float) -> tuple[str, ...]:
    """The answer; ``even`` is the uniformity of an evenly covered sphere."""
    told = _of_gaps({pair: meeting.between for pair, meeting in meetings.items()}) if meetings else []
    least, most = (pick(clouds, key=lambda name: clouds[name].effective_rank) for pick in (min, max))
    told.append(
        f"Effective rank goes from {clouds[least].effective_rank:.0f} ({least}, at most {clouds[least].most}) to"
        f" {clouds[most].effective_rank:.0f} ({most}, at most {clouds[most].most}); uniformity is"
        f" {_range(cloud.uniformity for cloud in clouds.values())}, where an evenly covered sphere has {_signed(even)}."
    )
    if hubs := _directions(meetings):
        direction, worst = max(hubs.items(), key=lambda entry: entry[1].skewness - entry[1].skewness_by_chance)
        told.append(
            f"Hubs are strongest in {direction}: skewness {_signed(worst.skewness)} against"
            f" {_signed(worst.skewness_by_chance)} by chance, and {100 * worst.never:.0f} % of the gallery is never"
            f" among the {NEIGHBOURS} nearest, against {100 * worst.never_by_chance:.0f} %."
        )
    return tuple(told)


def _of_gaps(gaps: Mapping[tuple[str, str], Between]) -> list[str]:
    (a, b), widest = max(gaps.items(), key=lambda entry: entry[1].gap)
    (c, d), narrowest = min(gaps.items(), key=lambda entry: entry[1].gap)
    sentence = (
        f"The widest gap lies between {a} and {b}: their centroids are {widest.gap:.2f} apart,"
        f" {widest.relative_gap:.2f} times the mean distance of their positives, where two samples of one cloud would"
        f" be {widest.no_gap:.2f} apart"
    )
    if len(gaps) > 1:
        sentence += f"; the narrowest, {narrowest.gap:.2f}, between {c} and {d}"
    known = [found for found in gaps.values() if not math.isnan(found.negative_cosine)]
    if not known:
        return [f"{sentence}."]
    closer = sum(found.positive_cosine > found.negative_cosine for found in known)
    return [
        f"{sentence}.",
        f"Positives are closer than other pairs in {closer} of {len(known)} pairs of modalities: mean cosine"
        f" {_range(found.positive_cosine for found in known)} against"
        f" {_range(found.negative_cosine for found in known)}.",
    ]


def measures(split: str, clouds: Mapping[str, Cloud], meetings: Meetings, seed: int) -> tuple[Measure, ...]:
    """Every figure that is known."""
    found = []
    for name, cloud in clouds.items():
        protocol: dict[str, Value] = {"split": split, "items": "distinct contents"}
        sampled: dict[str, Value] = {"t": SCALE, "at most": SAMPLE, "seed": seed}
        found += [
            _measure(name, "uniformity", cloud.uniformity, cloud.items, protocol | sampled),
            _measure(name, "effective rank", cloud.effective_rank, cloud.items, protocol, higher=True),
        ]
    for (a, b), meeting in meetings.items():
        one, protocol = meeting.between, dict(meeting.protocol)
        pair = f"{a} – {b}"
        found += [
            _measure(pair, "modality gap", one.gap, one.items, protocol),
            _measure(pair, "relative gap", one.relative_gap, one.items, protocol),
            _measure(pair, "alignment", one.alignment, one.positives, protocol),
            # A space that knows nothing of the pairs puts positives as near as all others.
            _measure(
                pair,
                "cosine of positives",
                one.positive_cosine,
                one.positives,
                protocol,
                chance=one.negative_cosine,
                higher=True,
            ),
        ]
        for direction, hub in _directions({(a, b): meeting}).items():
            asked = {**protocol, "k": NEIGHBOURS}
            found += [
                _measure(direction, "hubness", hub.skewness, hub.queries, asked, chance=hub.skewness_by_chance),
                _measure(direction, "anti-hubs", hub.never, hub.queries, asked, chance=hub.never_by_chance),
            ]
    return tuple(measure for measure in found if not math.isnan(measure.value))


def _measure(
    of: str,
    metric: str,
    value: float,
    n: int,
    protocol: Mapping[str, Value],
    *,
    chance: float = math.nan,
    higher: bool = False,
) -> Measure:
    return Measure(
        of=of,
        metric=metric,
        value=value,
        chance=None if math.isnan(chance) else chance,
        n=n,
        higher_is_better=higher,
        protocol=protocol,
    )


def tables(clouds: Mapping[str, Cloud], meetings: Meetings, even: float) -> tuple[Table, ...]:
    """Each modality, each pair, each direction."""
    alone = Table(
        title="Each modality",
        columns=("modality", "items", "uniformity", "effective rank", "at most"),
        rows=tuple(
            (name, f"{cloud.items:,}", _signed(cloud.uniformity), f"{cloud.effective_rank:.1f}", cloud.most)
            for name, cloud in clouds.items()
        ),
        note=f"Items are distinct contents. An evenly covered sphere has the uniformity {_signed(even)}.",
    )
    if not meetings:
        return (alone,)
    pairs = Table(
        title="Each pair of modalities",
        columns=("pair", "relation", "pairs by", "gap", "one cloud", "gap / distance", "alignment", "cos +", "cos −"),
        rows=tuple(
            (
                f"{a} – {b}",
                meeting.protocol["relation"],
                f"{meeting.protocol['rule']}: {meeting.protocol['origin']}",
                f"{meeting.between.gap:.3f}",
                f"{meeting.between.no_gap:.3f}",
                f"{meeting.between.relative_gap:.2f}",
                f"{meeting.between.alignment:.3f}",
                _signed(meeting.between.positive_cosine),
                _signed(meeting.between.negative_cosine),
            )
            for (a, b), meeting in meetings.items()
        ),
        note="gap / distance: the gap as a multiple of the mean distance of positives; cos + and cos −: mean cosine of"
        " positives and of all other pairs.",
    )
    directions = Table(
        title="Hubs in each direction",
        columns=("query → gallery", "queries", "skewness", "by chance", "never retrieved", "by chance"),
        rows=tuple(
            (
                direction,
                f"{hub.queries:,}",
                _signed(hub.skewness),
                _signed(hub.skewness_by_chance),
                f"{100 * hub.never:.1f} %",
                f"{100 * hub.never_by_chance:.1f} %",
            )
            for direction, hub in _directions(meetings).items()
        ),
        note=f"Over the {NEIGHBOURS} nearest of each query; distinct contents on both sides.",
    )
    return alone, pairs, directions


def _directions(meetings: Meetings) -> dict[str, Hubs]:
    return {
        f"{query} → {gallery}": found
        for (a, b), meeting in meetings.items()
        for (query, gallery), found in zip(((a, b), (b, a)), meeting.hubs, strict=True)
    }


def _range(values: Iterable[float]) -> str:
    known = [value for value in values if not math.isnan(value)]
    low, high = _signed(min(known, default=math.nan)), _signed(max(known, default=math.nan))
    return low if low == high else f"{low} to {high}"


def _signed(value: float) -> str:
    """Two decimals with a true minus; a dash where there is no number."""
    return "–" if math.isnan(value) else f"{value:.2f}".replace("-", "−")

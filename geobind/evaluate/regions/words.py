"""What ``--regions`` says: its sentences, measures and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from geobind.evaluate.emergent.relations import aside
from geobind.evaluate.findings import Measure, Table, Value, percent
from geobind.evaluate.regions.groups import LEAST, Group, corner
from geobind.evaluate.regions.worldmap import bearing
from geobind.evaluate.results import Protocol


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction and its queries in groups."""

    protocol: Protocol
    blocks: Mapping[str, Group]
    """Block → its queries; the empty string for those without coordinates."""
    values: Mapping[str, Group]
    """Value of the tag → its queries; the empty string for those without."""
    climates: Mapping[str, Group]
    """The same by main climate; empty unless the tag holds Köppen-Geiger classes."""
    located: Group | None
    """All queries with coordinates."""
    tagged: Group | None
    """All queries with a value."""

    @property
    def name(self) -> str:
        """``satellite → text``."""
        return f"{self.protocol.query} → {self.protocol.gallery}"

    @property
    def known(self) -> int:
        """Queries that can be placed on the map or by the tag."""
        return max(group.queries if group else 0 for group in (self.located, self.tagged))


def rows(direction: Direction) -> dict[str, Group]:
    """Values in the order they are drawn in: each main climate before its classes; else the most places first."""
    values = {value: group for value, group in direction.values.items() if value}
    if not direction.climates:
        return dict(sorted(values.items(), key=lambda entry: (-entry[1].places, entry[0])))
    both = {**values, **{climate: group for climate, group in direction.climates.items() if climate}}
    return dict(sorted(both.items(), key=lambda entry: (entry[0][0], entry[0] not in direction.climates, entry[0])))


def sentences(one: Direction, metric: str, tag: str, degrees: float) -> list[str]:
    """How the groups of one direction differ."""
    told = []
    values = {value: group for value, group in one.values.items() if value}
    blocks = {_name(block, degrees): group for block, group in one.blocks.items() if block}
    for whole, groups, known, by in (
        (one.tagged, values, f"a {tag}", tag),
        (one.located, blocks, "coordinates", f"block of {degrees:g}°"),
    ):
        if whole is None:
            continue
        start = f"{one.name}{aside(one.protocol)}: {metric} of the {whole.queries:,} queries with {known} is"
        start += f" {percent(whole.recall)} (chance {percent(whole.chance)})"
        read = {name: group for name, group in groups.items() if group.read}
        if len(read) < 2:
            told.append(
                f"{start}; {len(read)} of {len(groups)} groups by {by} hold {LEAST} places: too few to compare."
            )
            continue
        worst, best = (pick(read, key=lambda name: read[name].recall) for pick in (min, max))
        off = sum(group.leaves_out(whole.recall) for group in read.values())
        told.append(
            f"{start}; by {by} from {_spell(worst, read[worst])} to {_spell(best, read[best])}. In {off} of"
            f" {len(read)} groups that can be read the interval leaves the whole out."
        )
    return told


def _spell(name: str, group: Group) -> str:
    return (
        f"{percent(group.recall)} in {name} ({100 * group.low:.0f}–{100 * group.high:.0f} %, {group.places:,} places)"
    )


def _name(block: str, degrees: float) -> str:
    """``40° N–50° N, 10° W–0°``."""
    south, west = corner(block, degrees)
    lat, lon = (f"{bearing(at, side)}–{bearing(at + degrees, side)}" for at, side in ((south, "NS"), (west, "EW")))
    return f"{lat}, {lon}"


def measures(one: Direction, metric: str, tag: str, degrees: float) -> list[Measure]:
    """Every group that can be read."""
    protocol = {**asdict(one.protocol), "parted": "queries only"}
    named = {
        **{f"{tag}={value}": group for value, group in one.values.items() if value},
        **{f"block={_name(block, degrees)}": group for block, group in one.blocks.items() if block},
    }
    return [
        Measure(
            of=f"{one.name} ({subset})",
            metric=metric,
            value=group.recall,
            low=group.low,
            high=group.high,
            chance=group.chance,
            n=group.queries,
            protocol={**protocol, "subset": subset},
        )
        for subset, group in named.items()
        if group.read
    ]


def tables(
    found: Sequence[Direction], shown: Sequence[Direction], metric: str, tag: str, degrees: float
) -> tuple[Table, ...]:
    """Every direction in short; the groups of those shown."""
    columns = ("query → gallery", tag, "queries", "places", metric, "95 %", "chance", "of the gallery", "to be read")
    by_tag = [
        (one.name, value or f"without {tag}", *_cells(group))
        for one in shown
        if one.tagged
        for value, group in (*rows(one).items(), *((v, g) for v, g in one.values.items() if not v))
    ]
    by_block = [
        (one.name, _name(block, degrees) if block else "without coordinates", *_cells(group))
        for one in shown
        if one.located
        for block, group in sorted(one.blocks.items(), key=lambda entry: -entry[1].places)
    ]
    found_tables = [
        Table(
            title="Every direction",
            columns=(
                "query → gallery",
                "relation",
                "pairs by",
                "queries",
                f"with {tag}",
                f"{metric} by {tag}",
                "with coordinates",
                f"{metric} by block",
            ),
            rows=tuple(_summary(one) for one in found),
            note=f"Lowest to highest group of at least {LEAST} places.",
        )
    ]
    if by_tag:
        found_tables.append(Table(title=f"By {tag}", columns=columns, rows=tuple(by_tag)))
    if by_block:
        found_tables.append(
            Table(title=f"By block of {degrees:g}°", columns=(columns[0], "block", *columns[2:]), rows=tuple(by_block))
        )
    return tuple(found_tables)


def _cells(group: Group) -> tuple[Value, ...]:
    return (
        f"{group.queries:,}",
        f"{group.places:,}",
        percent(group.recall),
        f"{100 * group.low:.1f} – {100 * group.high:.1f} %",
        percent(group.chance),
        percent(group.median_rank),
        "yes" if group.read else "no",
    )


def _summary(one: Direction) -> tuple[Value, ...]:
    def spread(groups: Mapping[str, Group]) -> str:
        values = [group.recall for name, group in groups.items() if name and group.read]
        return f"{percent(min(values))} – {percent(max(values))}" if values else "–"

    p = one.protocol
    return (
        one.name,
        p.relation,
        f"{p.rule}: {p.origin}",
        f"{p.queries:,}",
        f"{one.tagged.queries:,}" if one.tagged else 0,
        spread(one.values),
        f"{one.located.queries:,}" if one.located else 0,
        spread(one.blocks),
    )

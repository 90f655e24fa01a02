"""What ``--retention`` says and shows: what became of each tower and of each pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from geobind.evaluate.findings import Finding, Measure, Picture, Table, percent
from geobind.evaluate.intervals import METHOD
from geobind.evaluate.plots import figure, heading, png, style
from geobind.evaluate.report.overview import rank
from geobind.evaluate.results import AllPairs
from geobind.evaluate.scores import higher_is_better
from geobind.palette import GREY, SERIES, hexadecimal
from geobind.plan import Plan, StagePlan
from geobind.space.records import SpaceRecord
from geobind.studies.changes import Change, changes

Fate = Literal["identical", "changed", "stale", "absent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A space at one moment, as the split sees it."""

    record: SpaceRecord
    result: AllPairs
    embeddings: dict[str, str]
    """Modality → SHA-256 over the embeddings of all its items, where they can be computed."""
    items: dict[str, int]
    """Modality → how many these are."""


def finding(plan: Plan, stage: StagePlan, split: str, was: State, now: State, how: str) -> Finding:
    """Put two states of a space, before and after a stage, into words, tables and a picture."""
    fates = _fates(was, now)
    found = changes(was.result, now.result)
    k = was.result.top
    new = [pair for pair in now.result.results if was.result.get(pair.protocol.query, pair.protocol.gallery) is None]
    return Finding(
        name="retention",
        title=f"Does the space keep what it held before stage {stage.config.name!r}?",
        answer=(_answer(stage, fates, found, k), *_gained(stage, now.result, len(new))),
        protocol={
            "recipe": plan.name,
            "stage": f"{stage.config.name}: {stage.config.modality}, learns: {stage.config.train}",
            "before and after": how,
            "split": split,
            "dataset": ", ".join(dict.fromkeys(pair.protocol.dataset for pair in was.result.results)),
            "anchor before": was.record.fingerprint,
            "anchor after": now.record.fingerprint,
            "ties": was.result.ties,
            "identity": "SHA-256 of the float32 embeddings of all items of the split, and the towers' fingerprints",
            "intervals": f"of paired differences over the same queries; {METHOD}",
        },
        measures=tuple(_measures(found, stage, k)),
        tables=(_table_of_towers(fates, was, now), _table_of_pairs(found, k)),
        pictures=(_picture(found, k),),
        notes=(
            "Identical: every figure is equal to the last bit. Changed: the same items give other figures. Lost: a"
            " tower is stale, bound to an anchor that is no more, and is not measured: its embeddings and those of the"
            " anchor belong to two spaces.",
            *dict.fromkeys(
                f"{pair.protocol.query} ↔ {pair.protocol.gallery}: pairs by {pair.protocol.origin}"
                for pair in was.result.results
                if pair.protocol.query < pair.protocol.gallery
            ),
        ),
        details={
            "towers": {
                name: {
                    "fate": fate,
                    "items": was.items[name],
                    "sha256 before": was.embeddings[name],
                    "sha256 after": now.embeddings.get(name),
                    "fingerprint before": was.record.towers[name].fingerprint,
                    "fingerprint after": tower.fingerprint if (tower := now.record.towers.get(name)) else None,
                }
                for name, fate in fates.items()
            },
            "pairs": {
                change.name: {
                    "identical": change.identical,
                    "lost": change.after is None,
                    "differences": change.differences,
                    "intervals": {name: list(ends) for name, ends in change.intervals.items()},
                }
                for change in found
            },
            "before": was.result.as_dict(),
            "after": now.result.as_dict(),
        },
    )


def _answer(stage: StagePlan, fates: dict[str, Fate], found: Sequence[Change], k: int) -> str:
    by_fate: dict[Fate, list[str]] = {}
    for name, fate in fates.items():
        by_fate.setdefault(fate, []).append(name)
    same = [change for change in found if change.identical]
    name = f"stage {stage.config.name!r}"
    if len(same) == len(found) and set(by_fate) == {"identical"}:
        return (
            f"Everything: after {name} the embeddings of {_listed(by_fate['identical'])} are bit-identical, and so are"
            f" all figures of the {len(found)} directions that were measured before (difference exactly 0)."
        )
    parts = [f"the embeddings of {_listed(names)} are {_told(fate)}" for fate, names in by_fate.items()]
    parts.append(f"{len(same)} of the {len(found)} directions measured before kept every figure to the bit")
    if lost := [change for change in found if change.after is None]:
        best = max(lost, key=lambda change: change.before.lift(k))
        parts.append(
            f"{len(lost)} are lost, the best of them {best.name} with R@{k}"
            f" {percent(best.before.scores.recall[k])} before"
        )
    if moved := [change for change in found if change.after is not None and not change.identical]:
        worst = min(moved, key=lambda change: change.differences[f"R@{k}"])
        low, high = worst.intervals[f"R@{k}"]
        parts.append(
            f"of those that changed, {worst.name} fared worst: R@{k} {_points(worst.differences[f'R@{k}'])} points,"
            f" 95 % interval {_points(low)} to {_points(high)}"
        )
    return f"Not everything: after {name} " + "; ".join(parts) + "."


def _told(fate: Fate) -> str:
    return {
        "identical": "bit-identical",
        "changed": "other ones",
        "stale": "stale, since the anchor has changed, and can be measured again once they are bound again",
        "absent": "gone",
    }[fate]


def _gained(stage: StagePlan, result: AllPairs, count: int) -> list[str]:
    if not count:
        return []
    pair = result.get(result.anchor, stage.config.modality)
    k = result.top
    reached = (
        f"; {result.anchor} → {stage.config.modality} reaches R@{k} {percent(pair.scores.recall[k])}"
        f" (chance {percent(pair.chance.recall[k])}, {pair.protocol.queries:,} queries, by {pair.protocol.origin})"
        if pair
        else ""
    )
    return [f"It brought {count} new directions{reached}."]


def _fates(was: State, now: State) -> dict[str, Fate]:
    """What became of each modality that could be embedded before."""
    found: dict[str, Fate] = {}
    for name, sha in was.embeddings.items():
        if name not in now.record.towers:
            found[name] = "absent"
        elif name in now.record.stale:
            found[name] = "stale"
        else:
            found[name] = "identical" if now.embeddings.get(name) == sha else "changed"
    return found


def _measures(found: Sequence[Change], stage: StagePlan, k: int) -> list[Measure]:
    measures = []
    for change in found:
        for name in (f"R@{k}", "mAP"):
            if change.after is None:
                continue
            low, high = change.intervals.get(name, (0.0, 0.0))
            measures.append(
                Measure(
                    of=change.name,
                    metric=f"{name} after less before",
                    value=change.differences[name],
                    low=low,
                    high=high,
                    n=change.before.protocol.queries,
                    higher_is_better=higher_is_better(name),
                    protocol={**asdict(change.before.protocol), "stage": stage.config.name},
                )
            )
    return measures


def _table_of_towers(fates: dict[str, Fate], was: State, now: State) -> Table:
    return Table(
        title="Towers that were there before",
        columns=("modality", "items", "embeddings", "SHA-256 before", "SHA-256 after", "tower before", "tower after"),
        rows=tuple(
            (
                name,
                f"{was.items[name]:,}",
                fate,
                was.embeddings[name][:12],
                now.embeddings.get(name, "–")[:12],
                was.record.towers[name].fingerprint,
                now.record.towers[name].fingerprint if name in now.record.towers else "–",
            )
            for name, fate in fates.items()
        ),
        note="SHA-256 of the embeddings of all items of the split (first 12 digits), and the towers' fingerprints.",
    )


def _table_of_pairs(found: Sequence[Change], k: int) -> Table:
    def row(change: Change) -> tuple[str, ...]:
        was, now = change.before.scores, change.after.scores if change.after else None
        start = (change.name, change.before.protocol.relation, percent(was.recall[k]))
        if now is None:
            return (*start, "–", "lost", "–", rank(was.median_rank), "–")
        low, high = change.intervals.get(f"R@{k}", (0.0, 0.0))
        interval = "exactly 0" if change.identical else f"{_points(low)} to {_points(high)}"
        return (
            *start,
            percent(now.recall[k]),
            _points(change.differences[f"R@{k}"]),
            interval,
            rank(was.median_rank),
            rank(now.median_rank),
        )

    return Table(
        title="Pairs that were measured before",
        columns=(
            "pair",
            "relation",
            f"R@{k} before",
            f"R@{k} after",
            "difference, points",
            "95 % interval",
            "median rank before",
            "median rank after",
        ),
        rows=tuple(map(row, found)),
        note="Exactly 0: no figure of this direction differs by a bit.",
    )


def _picture(found: Sequence[Change], k: int) -> Picture:
    """R@k before and after, a row per direction."""
    sheet, (axes,) = figure(7.2, 1.3 + 0.26 * len(found))
    style(axes, grid="x")
    axes.grid(visible=False, axis="y")
    for row, change in enumerate(found):
        was = 100 * change.before.scores.recall[k]
        axes.plot(was, row, "o", markersize=9, markerfacecolor="none", color=hexadecimal(GREY), label="before")
        axes.plot(100 * change.before.chance.recall[k], row, "|", markersize=9, color=hexadecimal(GREY), label="chance")
        if change.after is None:
            axes.annotate("lost", (was, row), (9, 0), textcoords="offset points", va="center", fontsize=8)
            continue
        now = 100 * change.after.scores.recall[k]
        colour = hexadecimal(SERIES[0] if change.identical else SERIES[1])
        axes.plot((was, now), (row, row), color=colour, linewidth=1)
        label = "after, identical" if change.identical else "after, changed"
        axes.plot(now, row, "o", markersize=4, color=colour, label=label)
    axes.set_yticks(range(len(found)), [change.name for change in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("%")
    heading(axes, f"R@{k} before and after the stage")
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    sheet.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower left",
        frameon=False,
        fontsize=8,
        labelcolor=hexadecimal(GREY),
        ncols=len(handles),
    )
    lost = sum(change.after is None for change in found)
    same = sum(change.identical for change in found)
    return Picture(
        name="retention-pairs",
        caption=f"R@{k} of every direction that was measured before: a filled dot within its ring has not moved.",
        alt=f"Of {len(found)} directions {same} are identical, {len(found) - same - lost} changed, {lost} lost.",
        png=png(sheet),
    )


def _points(share: float) -> str:
    """A difference of shares in percentage points: ``+1.2``, ``0``."""
    return "0" if share == 0 else f"{100 * share:+.1f}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

"""Merge two spaces of one ancestry: every tower becomes a point on the line between its two states.

Weights that were trained from the same start often lie in one basin of the loss, and then what lies between them works
too (Wortsman et al., "Model soups", arXiv 2203.05482); GeoLangBind merges stage by stage (arXiv 2503.06312). Weights
that were drawn apart do not, so towers of other ancestry are refused.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geobind import __version__
from geobind.errors import SpaceError, nearest
from geobind.plan import unlike
from geobind.plugins import get_plugins
from geobind.progress import say
from geobind.space.checkpoint import read_tower, save_space, tower_file
from geobind.space.heads import Tower
from geobind.space.records import Merged, SpaceRecord, TowerRecord, read_record

ALIKE = ("encoder", "head", "preprocessing")
"""What merged towers must have in common, besides an ancestor."""

LEAVE_OUT = "Name the towers to merge with --towers, without it."


def merge(a: Path, b: Path, alpha: float, out: Path, towers: Sequence[str] | None = None) -> SpaceRecord:
    """Write the space whose towers are ``(1 - alpha) · a + alpha · b``, as :func:`between` says.

    What both spaces hold is merged, the anchor too where it differs; what one of them alone holds goes in as it is.
    Where the anchor changes thereby, what is not merged with it becomes stale, as after any change of the anchor.

    Args:
        a: The space at alpha 0; its weights come out to the bit then.
        b: The space at alpha 1, likewise.
        alpha: Share of ``b``, from 0 to 1.
        out: The folder to write, which holds no space yet.
        towers: Modalities to merge, of those that both hold; all else is as in ``a`` then. None merges all that both
            hold. Modalities that share a tower are merged together, whichever of them is named.

    Returns:
        The record of the space that was written.

    Raises:
        SpaceError: The spaces have another anchor modality or dimension; a tower has another encoder, head,
            preprocessing or ancestry in ``b``, or is stale; the anchors differ and ``towers`` leaves theirs out; alpha
            lies outside of [0, 1]; or ``out`` holds a space.
    """
    one, other = read_record(a), read_record(b)
    if not 0 <= alpha <= 1:
        raise SpaceError(f"alpha = {alpha:g}", fix=f"It lies between 0, which is {a}, and 1, which is {b}.")
    check_free(out)
    groups = _groups(one, other, _chosen(one, other, towers))
    records = dict(one.towers) if towers is not None else {**one.towers, **_alone(one, other, groups)}
    changed: dict[str, Tower] = {}
    for name, sharing in groups.items():
        start, end = one.towers[name], other.towers[name]
        check_ancestry(start, end, where=f"{a} and {b}")
        if start.sha256 == end.sha256:
            continue
        changed |= dict.fromkeys(sharing, _mixed(a, start, b, end, one.dim, alpha))
        merged = Merged(a=start.fingerprint, b=end.fingerprint, alpha=alpha)
        for own in sharing:
            ends = [record.towers[own] for record in (one, other) if own in record.towers]
            stale = own in (*one.stale, *other.stale)
            records[own] = _between(ends, merged, shared=end.tower or start.tower, stale=stale)
    for name in records.keys() - changed.keys():
        _copy(a if name in one.towers else b, records[name], out)
    written = one.model_copy(
        update={"geobind": __version__, "towers": records, "recipe": _recipe(one.recipe, other.recipe, records)}
    )
    written = save_space(out, written, changed)
    if written.stale:
        say(f"stale in {out}: {', '.join(written.stale)}; bind them again with `geobind bind --stale`")
    return written


def check_free(out: Path) -> None:
    """Raises SpaceError where a folder holds a space already."""
    if (out / "space.json").exists():
        raise SpaceError("there is a space already", where=str(out), fix="Name another folder, or delete this one.")


def between(before: Tensor, after: Tensor, alpha: float) -> Tensor:
    """``(1 - alpha) · before + alpha · after``, computed in float64.

    Alpha 0 and 1 give the ends to the bit, and what is equal in both stays. Whole numbers, such as counts of batches,
    cannot lie between: they are those of ``after`` unless alpha is 0.
    """
    if alpha == 0:
        return before
    if alpha == 1 or not before.is_floating_point():
        return after
    return torch.lerp(before.double(), after.double(), alpha).to(before.dtype)


def warn_of_statistics(moved: Iterable[str], alpha: float, name: str) -> None:
    """Say where the running statistics of batch norms lie between, too: merged weights have others (arXiv 2211.08403).

    Args:
        moved: Keys of a tower's state that differ in the two.
        alpha: Share of the second; at the ends nothing is said.
        name: Whose they are.
    """
    if 0 < alpha < 1 and any(key.endswith("running_var") for key in moved):
        say(f"{name}: running statistics of batch norms are interpolated, not measured anew with the merged weights")


def check_ancestry(a: TowerRecord, b: TowerRecord, *, where: str) -> None:
    """Refuse what does not lie on one line.

    Raises:
        SpaceError: Encoder, head or preprocessing differ, or not one state of the weights is known to be common.
    """
    name = a.modality
    one, other = (record.model_dump(include=set(ALIKE)) for record in (a, b))
    for key in ALIKE:
        if one[key] != other[key]:
            x, y = unlike(one[key], other[key])
            raise SpaceError(f"the {name} towers differ in their {key}: {x} and {y}", where=where, fix=LEAVE_OUT)
    if a.sha256 == b.sha256 or set(a.lineage) & set(b.lineage):
        return
    for tower in (a, b):
        if not tower.lineage:
            raise SpaceError(
                f"what a {name} tower began from is not known: it was bound before geobind kept that",
                where=where,
                fix="Bind it again.",
            )
    raise SpaceError(
        f"the {name} towers have no ancestor in common: their weights began as {a.lineage[0]} ({a.weights}) and as"
        f" {b.lineage[0]} ({b.weights}), and what lies between them is neither",
        where=where,
        fix="Merge spaces that were bound from one start: the same initial weights and seed, or a copy of one space.",
    )


def _chosen(one: SpaceRecord, other: SpaceRecord, towers: Sequence[str] | None) -> list[str]:
    """The modalities to merge; refuses spaces that are not comparable, and towers that do not belong to theirs."""
    for what, x, y in (("anchor", one.anchor, other.anchor), ("dimensions", one.dim, other.dim)):
        if x != y:
            raise SpaceError(f"the spaces differ in their {what}: {x} and {y}", fix="They cannot be merged.")
    both = [name for name in one.towers if name in other.towers]
    if unknown := [name for name in towers or () if name not in both]:
        raise SpaceError(f"{unknown[0]!r} is no tower of both spaces", fix=nearest(unknown[0], both))
    chosen = both if towers is None else [name for name in both if name in towers]
    if not chosen:
        raise SpaceError("no tower to merge is named", fix=f"Both spaces hold: {', '.join(both)}.")
    if one.fingerprint != other.fingerprint and one.anchor not in chosen:
        raise SpaceError(
            f"the anchors differ ({one.fingerprint} and {other.fingerprint}), and so do the spaces that"
            f" {', '.join(chosen)} would be merged from",
            fix=f"Merge the anchor too: --towers {','.join((one.anchor, *chosen))}.",
        )
    for name in chosen:
        if name in (*one.stale, *other.stale):
            raise SpaceError(f"a {name} tower is stale: it was bound to an anchor that is no more", fix=LEAVE_OUT)
    return chosen


def _groups(one: SpaceRecord, other: SpaceRecord, chosen: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The first modality of every tower that is merged → all modalities that share it, in either space."""
    groups: dict[str, tuple[str, ...]] = {}
    for name in chosen:
        if any(name in sharing for sharing in groups.values()):
            continue
        own, its = (_sharing(record, name) for record in (one, other))
        if apart := (own - its) & other.towers.keys() | (its - own) & one.towers.keys():
            raise SpaceError(f"{name} and {min(apart)} share a tower in one of the spaces alone", fix=LEAVE_OUT)
        groups[name] = tuple(sorted(own | its))
    return groups


def _sharing(record: SpaceRecord, name: str) -> set[str]:
    """The modalities that one tower embeds."""
    return {own for own, tower in record.towers.items() if tower.name == record.towers[name].name}


def _alone(one: SpaceRecord, other: SpaceRecord, groups: Mapping[str, Sequence[str]]) -> dict[str, TowerRecord]:
    """The towers of ``other`` alone; refuses one that has the name of a tower that it is not merged with."""
    merged = {name for sharing in groups.values() for name in sharing}
    alone = {name: tower for name, tower in other.towers.items() if name not in one.towers}
    taken = {tower.name: name for name, tower in one.towers.items()}
    for name, tower in alone.items():
        if tower.name in taken and name not in merged:
            raise SpaceError(
                f"{name} of the one space and {taken[tower.name]} of the other have towers of one name, {tower.name!r}",
                fix="Name the towers to merge with --towers: then the rest is as in the first space.",
            )
    return alone


def _mixed(a: Path, start: TowerRecord, b: Path, end: TowerRecord, dim: int, alpha: float) -> Tower:
    """The merged tower."""
    tower = read_tower(a, start, dim, get_plugins())
    after = read_tower(b, end, dim, get_plugins()).state_dict()
    before = tower.state_dict()
    warn_of_statistics((key for key in before if not torch.equal(before[key], after[key])), alpha, start.name)
    tower.load_state_dict({key: between(value, after[key], alpha) for key, value in before.items()})
    return tower


def _between(ends: Sequence[TowerRecord], merged: Merged, *, shared: str, stale: bool) -> TowerRecord:
    """What is said of a modality of a merged tower, from the records of the one or two spaces that hold it.

    How it was bound is told of the nearer end. What is stale stays so, whatever is merged for those it shares it with.
    """
    nearer = ends[0] if merged.alpha < 0.5 else ends[-1]
    return nearer.model_copy(
        update={
            "weights": "; ".join(dict.fromkeys(end.weights for end in ends)),
            "licence": "; ".join(dict.fromkeys(end.licence for end in ends if end.licence)),
            "tower": shared,
            "bound_to": nearer.bound_to if stale else "",
            "stages": tuple(dict.fromkeys(stage for end in ends for stage in end.stages)),
            "lineage": tuple(dict.fromkeys(entry for end in ends for entry in end.lineage)),
            "merged": merged,
        }
    )


def _copy(space: Path, tower: TowerRecord, out: Path) -> None:
    file = tower_file(space, tower)
    (out / tower.file).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, out / tower.file)


def _recipe(a: dict[str, Any], b: dict[str, Any], towers: Iterable[str]) -> dict[str, Any]:
    """The recipe of ``a``, with the stages of what ``b`` alone binds."""
    names, bound = ({stage[key] for stage in a["stages"]} for key in ("name", "modality"))
    more = [
        stage
        for stage in b["stages"]
        if stage["modality"] in towers and stage["modality"] not in bound and stage["name"] not in names
    ]
    return {**a, "stages": [*a["stages"], *more]}

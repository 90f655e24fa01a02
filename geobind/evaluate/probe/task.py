"""What a probe learns from and is asked about: embeddings and targets of three parts of the data.

Shapes: N items, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geobind.errors import DataError, GeobindError, SpaceError, nearest
from geobind.evaluate.probe.targets import Kind, Targets, Values
from geobind.evaluate.results import Side
from geobind.evaluate.subject import Subject


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Items that have a target."""

    x: NDArray[np.float32] = field(repr=False)
    """``[N, D]`` unit norm."""
    y: NDArray[Any] = field(repr=False)
    """``[N]`` float64, or strings that name classes."""
    place: NDArray[np.str_] = field(repr=False)
    """``[N]`` items of one place are not independent: they are resampled, drawn and folded together."""

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: NDArray[Any]) -> Part:
        """The items at ``rows``, numbers or a mask."""
        return Part(self.x[rows], self.y[rows], self.place[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A target and the parts of the data it is learnt, chosen and tested on."""

    target: Targets
    kind: Kind
    modality: str
    split: str
    """The name of the tested split."""
    train: Part
    val: Part
    """Empty where there is none, or where it is tested on."""
    test: Part
    unjoined: Mapping[str, int]
    """Split → items left out because the table has no row for them."""
    empty: Mapping[str, int]
    """Split → items left out because their value is empty."""
    dataset: str
    """Fingerprints of the datasets the items come from."""
    origin: str
    """How the items were tied to their places, in the dataset's words."""

    @property
    def classes(self) -> list[str]:
        """All classes of train and test, sorted."""
        return sorted({*self.train.y.tolist(), *self.test.y.tolist()})

    @property
    def unseen(self) -> dict[str, int]:
        """Class → test items, of classes that train lacks: none of them can be right."""
        if self.kind == "regression":
            return {}
        names, counts = np.unique(self.test.y, return_counts=True)
        return {str(name): int(n) for name, n in zip(names, counts, strict=True) if name not in self.train.y}

    @property
    def met(self) -> int:
        """Test items whose place is also one of train."""
        return int(np.isin(self.test.place, self.train.place).sum())


def gather(subject: Subject, target: Targets, modality: str) -> Task:
    """Embed the items of a modality and join the target to them.

    Raises:
        SpaceError: The space lacks the modality.
        DataError: A split is absent, nothing joins, embeddings are not finite, or the target cannot be learnt.
        GeobindError: The subject's split is the one a probe is fitted on.
    """
    if modality not in subject.space.towers:
        raise SpaceError(
            f"modality {modality!r} is not bound in space {subject.space.name!r}",
            fix=nearest(modality, subject.space.towers),
        )
    if subject.split == "train":
        raise GeobindError("a probe is fitted on train and cannot be tested there", fix="Choose `--split test`.")
    names = ["train", "val", subject.split] if subject.split != "val" else ["train", "val"]
    sides = {name: side for name in names if (side := _side(subject, modality, name)) is not None}
    for name in ("train", subject.split):
        if name not in sides:
            raise DataError(
                f"no dataset holds {modality} items in the split {name!r}",
                fix="A probe is fitted on train, chosen on val and tested on another split; choose data that has them.",
            )
    kind, values = target.of([side.items for side in sides.values()])
    found = dict(zip(sides, values, strict=True))
    parts = {name: _part(sides[name], found[name], modality) for name in sides}
    _check_learnable(target, kind, parts["train"], parts[subject.split], subject.split)
    dataset, _ = subject.items(modality, subject.split)
    prints = [subject.items(modality, name)[0].fingerprint for name in sides]
    return Task(
        target=target,
        kind=kind,
        modality=modality,
        split=subject.split,
        train=parts["train"],
        val=parts["val"] if "val" in parts and subject.split != "val" else parts["train"].take(np.arange(0)),
        test=parts[subject.split],
        unjoined={name: int((~found[name].joined).sum()) for name in sides},
        empty={name: int((found[name].joined & ~found[name].known).sum()) for name in sides},
        dataset=", ".join(dict.fromkeys(prints)),
        origin=dataset.origin(modality, modality),
    )


def _side(subject: Subject, modality: str, split: str) -> Side | None:
    """The readable items of a split; None where there are no items at all."""
    try:
        subject.items(modality, split)
    except DataError:
        return None
    return subject.embedded(modality, split)


def _part(side: Side, values: Values, modality: str) -> Part:
    known = values.known
    vectors = side.vectors[known]
    if bad := int((~np.isfinite(vectors).all(axis=1)).sum()):
        raise DataError(
            f"{bad:,} of {len(vectors):,} {modality} embeddings are not finite",
            fix="Look at the tower's training, or bind it again.",
        )
    return Part(vectors, values.y[known], side.items.place[known])


def _check_learnable(target: Targets, kind: Kind, train: Part, test: Part, split: str) -> None:
    where = target.source
    for name, part in (("train", train), (split, test)):
        if not len(part):
            raise DataError(f"no {name} item has a value of {target.name!r}", where=where, fix="Choose another target.")
        if len(set(part.y.tolist())) == 1 and (name == "train" or kind == "regression"):
            raise DataError(
                f"{target.name!r} is {part.y[0].item()!r} for all {len(part):,} {name} items: there is nothing to tell",
                where=where,
                fix="Choose another target.",
            )
    if kind == "classification" and not np.isin(test.y, train.y).any():
        raise DataError(f"no class of {split} occurs in train", where=where, fix="Choose another split or target.")

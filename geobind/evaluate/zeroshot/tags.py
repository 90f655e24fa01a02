"""A benchmark's items among the data that a space is evaluated on: those whose tag names a class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from geobind.errors import DataError, nearest
from geobind.evaluate.subject import Subject
from geobind.evaluate.zeroshot.benchmarks import Benchmark
from geobind.evaluate.zeroshot.sources import Labelled, Source, check_complete, classes_of, numbered

if TYPE_CHECKING:
    from geobind.space.space import Space


class TagSource(Source):
    """Items of a subject whose tag names the class, by its folder or by its words.

    Args:
        subject: The space with its data.
        tag: The tag that holds the class; items without a value are passed over.
        where: Only items that have these values of other tags.
        split: ``train``, ``val`` or ``test``; by default the subject's.
        partial: Allow classes without items; they stay among the answers.
    """

    def __init__(
        self,
        subject: Subject,
        tag: str,
        where: Mapping[str, str] | None = None,
        split: str | None = None,
        *,
        partial: bool = False,
    ) -> None:
        self.subject, self.tag, self.where = subject, tag, dict(where or {})
        self.split, self.partial = split or subject.split, partial

    def read(self, space: Space, benchmark: Benchmark, modality: str) -> Labelled:
        """Items of the modality in the split, as far as the tags say.

        Raises:
            DataError: No item of the modality is in the split, a tag that items do not have, no item with the wanted
                values, a value that is no class, or a class without items.
        """
        dataset, items = self.subject.items(modality, self.split)
        for name in (self.tag, *self.where):
            if name not in items.tags:
                raise DataError(
                    f"{modality} items have no tag {name!r}",
                    fix=f"{nearest(name, items.tags)} The recipe's `tags:` makes tags of a manifest's columns.",
                )
        side = self.subject.embedded(modality, self.split)
        wanted = side.items.tags[self.tag] != ""
        for name, value in self.where.items():
            wanted &= side.items.tags[name] == value
        rows = np.flatnonzero(wanted)
        origin = ", ".join([f"classes by tag {self.tag}", *(f"{name}={value}" for name, value in self.where.items())])
        if not len(rows):
            known = [nearest(value, np.unique(items.tags[name]).tolist()) for name, value in self.where.items()]
            raise DataError(
                f"no {modality} item of the split {self.split!r} is there for {origin!r}", fix=" ".join(known)
            )
        values = side.items.tags[self.tag][rows].tolist()
        classes = classes_of(benchmark, sorted(set(values)))
        folder_of = {**{words: folder for folder, words in classes.items()}, **{folder: folder for folder in classes}}
        if alien := sorted(set(values) - set(folder_of)):
            raise DataError(
                f"{len(alien)} values of the tag {self.tag!r} are no class, {alien[0]!r} the first",
                fix=f"{nearest(alien[0], classes)} Leave items out by another tag, as source=EuroSAT does.",
            )
        folders = [folder_of[value] for value in values]
        where = f"{origin}, split {self.split}"
        counts = Counter(folders)
        check_complete(classes, {name: counts[name] for name in classes}, partial=self.partial, where=where)
        protocol = {"data": dataset.fingerprint, "split": self.split, "origin": origin}
        labels = numbered(folders, classes)
        return Labelled(side.items.take(rows), side.vectors[rows], labels, classes, protocol, where, dataset)

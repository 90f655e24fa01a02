"""What a task is asked of: images with the maps of classes of the same places, and who is learnt from and tested.

Shapes: N scenes, C classes, H × W pixels of a map.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geobind.data.items import SPLITS, Dataset, Items
from geobind.errors import DataError
from geobind.evaluate.segment.masks import Legend, Mask, Window
from geobind.evaluate.segment.task import Segmentation
from geobind.evaluate.subject import Subject
from geobind.plugins.catalogue import build_dataset

SEED = 0
"""Of the places that are drawn, and of the folds."""


@dataclass(frozen=True, eq=False)
class Scenes:
    """Images and maps, in memory but for the images."""

    images: tuple[Items, ...] = field(repr=False)
    """The images of each split."""
    masks: list[Mask] = field(repr=False)
    """``N`` maps of what the encoder sees of each image; they may differ in size."""
    split: NDArray[np.str_] = field(repr=False)
    """``[N]`` the split each is from; scenes lie split by split, in the order of ``images``."""
    dataset: Dataset
    """Where they are from."""
    unmapped: int
    """Images left out because no map is of their place."""

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def place(self) -> NDArray[np.str_]:
        """``[N]`` the place of each scene."""
        return np.concatenate([items.place for items in self.images])

    @property
    def lat_lon(self) -> NDArray[np.float64]:
        """``[N, 2]`` degrees, NaN where unknown."""
        unknown = (
            np.full((len(items), 2), np.nan) if items.lat_lon is None else items.lat_lon for items in self.images
        )
        return np.concatenate(list(unknown))

    def maps(self, rows: NDArray[np.int64]) -> list[Mask]:
        """The maps of the scenes at ``rows``."""
        return [self.masks[row] for row in rows.tolist()]

    def image(self, row: int) -> object:
        """The image of one scene, as its encoder takes it."""
        for items in self.images:
            if row < len(items):
                return items[row]
            row -= len(items)
        raise IndexError(row)

    def take(self, rows: NDArray[np.int64]) -> Scenes:
        """The scenes at ``rows``, which rise."""
        starts = np.cumsum([0, *map(len, self.images)])
        parts = [rows[(rows >= a) & (rows < b)] - a for a, b in pairwise(starts)]
        images = tuple(items.take(part) for items, part in zip(self.images, parts, strict=True))
        return Scenes(images, self.maps(rows), self.split[rows], self.dataset, self.unmapped)


class Fold(NamedTuple):
    """Rows of scenes: what is learnt from, what decides when to stop, and what is tested."""

    learn: NDArray[np.int64]
    choose: NDArray[np.int64]
    """Empty where there is nothing to choose on."""
    test: NDArray[np.int64]


class _Joined(NamedTuple):
    """Images of a split that have a map of their place."""

    images: Items
    maps: Items
    """For each image the first such map."""
    unmapped: int
    """How many images have none."""


def gather(subject: Subject, task: Segmentation, image: str, window: Window) -> Scenes:
    """The scenes of all splits.

    Args:
        subject: The space with its data, which are used when the task names none.
        task: The task.
        image: Modality of the images.
        window: What the encoder sees of them.

    Raises:
        DataError: No dataset has images and maps of the same places in the tested split, or a map cannot be read.
    """
    legend = Legend(task)
    dataset, joined = _dataset(subject, task, image)
    images, masks, splits, unmapped = [], [], [], 0
    for split in SPLITS:
        seen, maps, lone = joined[split]
        unmapped += lone
        kept = _drawn(seen.place, task.limit)
        seen, maps = seen.take(kept), maps.take(kept)
        images.append(seen)
        splits += [split] * len(seen)
        for row in range(len(maps)):
            mask = legend.read(maps[row], f"{task.masks} of place {maps.place[row]}")
            masks.append(mask[window.of_shape(*mask.shape)])
    return Scenes(tuple(images), masks, np.array(splits, dtype=np.str_), dataset, unmapped)


def folds(scenes: Scenes, task: Segmentation, split: str) -> list[Fold]:
    """One fold that keeps to the dataset's splits, or the task's folds over the places of all splits.

    Raises:
        DataError: Fewer places than folds.
    """
    if task.folds is None:
        rows = {name: np.flatnonzero(scenes.split == name) for name in SPLITS}
        choose = rows["val"] if split != "val" else rows["val"][:0]
        return [Fold(rows["train"], choose, rows[split])]
    names, place = np.unique(scenes.place, return_inverse=True)
    if len(names) < task.folds:
        raise DataError(f"{len(names)} places cannot make {task.folds} folds", fix="Ask for fewer `folds:`.")
    number = np.empty(len(names), dtype=np.int64)
    number[np.random.default_rng(SEED).permutation(len(names))] = np.arange(len(names)) % task.folds
    of = number[place]
    return [Fold(np.flatnonzero(of != fold), np.arange(0), np.flatnonzero(of == fold)) for fold in range(task.folds)]


def _dataset(subject: Subject, task: Segmentation, image: str) -> tuple[Dataset, dict[str, _Joined]]:
    """The first dataset that has scenes of the tested split, or of any where places are folded, and all its scenes."""
    datasets = subject.datasets if task.dataset is None else (build_dataset(task.dataset),)
    wanted = SPLITS if task.folds else (subject.split,)
    for dataset in datasets:
        if {image, task.masks} <= set(dataset.modalities):
            joined = {split: _joined(dataset, image, task.masks, split) for split in SPLITS}
            if any(len(joined[split].images) for split in wanted):
                return dataset, joined
    held = sorted({name for dataset in datasets for name in dataset.modalities})
    raise DataError(
        f"no dataset has {image} and {task.masks} of the same places in the split {subject.split!r}",
        where=f"segmentation task {task.name!r}",
        fix=f"Held: {', '.join(held)}. Name a `dataset:` in the task, or another modality of images with `--of`.",
    )


def _joined(dataset: Dataset, image: str, masks: str, split: str) -> _Joined:
    images, maps = dataset.items(image, split), dataset.items(masks, split)
    first = {place: row for row, place in reversed(list(enumerate(maps.place.tolist())))}
    pairs = [(row, first[place]) for row, place in enumerate(images.place.tolist()) if place in first]
    rows = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return _Joined(images.take(rows[:, 0]), maps.take(rows[:, 1]), len(images) - len(rows))


def _drawn(place: NDArray[np.str_], limit: int | None) -> NDArray[np.int64]:
    """Rows of ``limit`` places drawn at random; of all where there are no more."""
    names = np.unique(place)
    if limit is None or len(names) <= limit:
        return np.arange(len(place))
    return np.flatnonzero(np.isin(place, np.random.default_rng(SEED).permutation(names)[:limit]))

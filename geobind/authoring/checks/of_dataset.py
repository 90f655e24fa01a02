"""What every dataset says of its items, over the made-up data of its example: honest columns, and no leaks.

Shapes: N items of one modality in one split.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geobind.authoring.checks.check import check, require
from geobind.authoring.checks.subjects import DatasetSubject
from geobind.authoring.checks.tools.example_data import built
from geobind.data.items import Dataset
from geobind.data.pairs import match
from geobind.errors import GeobindError


@check(DatasetSubject)
def example_can_be_built(subject: DatasetSubject) -> None:
    """The spec's example is written, and its keys build a geobind.Dataset."""
    dataset = built(subject).dataset
    require(isinstance(dataset, Dataset), f"the builder gives a {type(dataset).__name__}", "Derive it from Dataset.")


@check(DatasetSubject)
def modalities_are_as_promised(subject: DatasetSubject) -> None:
    """The dataset holds the modalities that its spec names, and two at least."""
    held, promised = tuple(built(subject).dataset.modalities), subject.spec.modalities
    require(
        not promised or set(held) == set(promised),
        f"it holds {', '.join(held) or 'nothing'}, and its spec promises {', '.join(promised)}",
        "Let both say the same; leave `modalities` of the spec empty where the config decides.",
    )
    require(len(held) > 1, f"it holds {', '.join(held) or 'nothing'} alone", "A stage needs an anchor and a modality.")


@check(DatasetSubject)
def splits_hold_items(subject: DatasetSubject) -> None:
    """Train holds items of every modality, and val or test holds some too."""
    tables = built(subject).tables
    in_train = {table.modality for split, table in tables if split == "train"}
    for modality in built(subject).dataset.modalities:
        fix = "Write an example with a few places in train."
        require(modality in in_train, f"there are no {modality} items in train", fix)
    require(
        any(split != "train" for split, _ in tables),
        "there are no items in val and test",
        "Write an example with places in two splits, so that a leak between them would be seen.",
    )


@check(DatasetSubject)
def columns_are_of_their_types(subject: DatasetSubject) -> None:
    """place, key, group and tags are arrays [N] of str, lat_lon is [N, 2] float64, and keys of files are files."""
    for split, table in built(subject).tables:
        where = f"{table.modality} in {split}"
        columns = {"place": table.place, "key": table.key, "group": table.group, **table.tags}
        for name, column in columns.items():
            if column is not None:
                _require_array(column, "U", (len(table),), f"`{name}` of {where}")
        if table.lat_lon is not None:
            _require_array(table.lat_lon, "f", (len(table), 2), f"`lat_lon` of {where}")
        require(not (table.place == "").any(), f"{where} has items without a place", "Give each place an id.")
        if table.files:
            for path in table.key.tolist():
                fix = "With `files=True` keys are paths, whose bytes are the content; leave it out otherwise."
                require(Path(path).is_file(), f"the key {path!r} of {where} is no file", fix)


@check(DatasetSubject)
def coordinates_lie_on_earth(subject: DatasetSubject) -> None:
    """Latitudes lie in [-90, 90] and longitudes in [-180, 180] degrees (WGS84), or both are NaN."""
    for split, table in built(subject).tables:
        if table.lat_lon is None:
            continue
        for lat, lon in table.lat_lon.tolist():
            found = f"{table.modality} in {split} has the latitude {lat:g} and the longitude {lon:g}"
            require(not np.isnan(lat) ^ np.isnan(lon), found, "Give both, or NaN for both.")
            fix = "Are the two swapped, in metres, or in [0, 360]? `lat_lon` holds WGS84 degrees, latitude first."
            require(bool(np.isnan(lat)) or (abs(lat) <= 90 and abs(lon) <= 180), found, fix)


@check(DatasetSubject)
def no_place_is_in_two_splits(subject: DatasetSubject) -> None:
    """No place has items in two splits, whatever their modalities."""
    _require_apart(subject, "place", "Split by place, best by blocks: `geobind.data.splits.split_by_blocks`.")


@check(DatasetSubject)
def no_content_is_in_two_splits(subject: DatasetSubject) -> None:
    """No content of a modality, as its key tells it, is in two splits."""
    _require_apart(subject, "key", "Keep copies of an item in one split, or they are learnt and then asked for.")


@check(DatasetSubject)
def origins_are_told(subject: DatasetSubject) -> None:
    """The dataset says in words how pairs of any two of its modalities came about."""
    dataset = built(subject).dataset
    for a, b in combinations(dataset.modalities, 2):
        origin = dataset.origin(a, b)
        fix = 'Return words such as "true location" or "synthesised": they stand beside every number.'
        require(isinstance(origin, str) and bool(origin.strip()), f"origin({a!r}, {b!r}) is {origin!r}", fix)


@check(DatasetSubject)
def modalities_pair_up(subject: DatasetSubject) -> None:
    """Every modality has pairs with another one in train."""
    dataset = built(subject).dataset
    alone: dict[str, str] = dict.fromkeys(dataset.modalities, "there is no other modality")
    for a, b in combinations(dataset.modalities, 2):
        try:
            match(dataset, a, b, "train")
        except GeobindError as error:
            alone |= {modality: str(error) for modality in (a, b) if modality in alone}
        else:
            alone = {modality: reason for modality, reason in alone.items() if modality not in (a, b)}
    for modality, reason in alone.items():
        fix = "Give items that belong together the same place or the same group, or list their pairs."
        require(False, f"{modality} pairs with nothing: {reason}", fix)


@check(DatasetSubject)
def unknown_modality_is_told(subject: DatasetSubject) -> None:
    """Items of a modality that it does not hold are refused by a GeobindError with a remedy."""
    dataset, fix = built(subject).dataset, "Raise a DataError that names what there is; `geobind.errors.nearest` helps."
    try:
        dataset.items("no_such_modality", "train")
    except GeobindError as error:
        require(bool(error.fix), f"items('no_such_modality', 'train') gives no remedy: {error}", fix)
    else:
        require(False, "items('no_such_modality', 'train') is answered", fix)


def _require_array(column: NDArray[np.generic], kind: str, shape: tuple[int, ...], what: str) -> None:
    require(isinstance(column, np.ndarray), f"{what} is a {type(column).__name__}", "Make it a NumPy array.")
    wanted = {"U": "str (dtype U)", "f": "float64"}[kind]
    require(
        column.dtype.kind == kind and (kind == "U" or column.dtype == np.float64),
        f"{what} has the type {column.dtype}",
        f"Make it {wanted}.",
    )
    require(column.shape == shape, f"{what} has the shape {column.shape}, not {shape}", "One row an item.")


def _require_apart(subject: DatasetSubject, column: str, fix: str) -> None:
    """A value of a column may be in one split only: of all modalities for places, of the same one for keys."""
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for split, table in built(subject).tables:
        for value in np.unique(getattr(table, column)).tolist():
            other, first = seen.setdefault((value, table.modality if column == "key" else ""), (table.modality, split))
            found = f"{column} {value!r} has {other} items in {first} and {table.modality} items in {split}"
            require(first == split, found, fix)

"""The folder dataset: files whose paths say which place each belongs to, with no table.

``{id}`` in a pattern is the place. ``{split}`` and ``{group}`` belong to the place and not to the file: one pattern
that has them serves the files of all modalities. Shapes: P places, N items of a modality.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from geobind.data.geo import check_lat_lon
from geobind.data.items import SPLITS, Dataset, Items
from geobind.data.patterns import matches
from geobind.data.splits import split_by_blocks
from geobind.errors import DataError, nearest

if TYPE_CHECKING:
    from geobind.builtin import FolderConfig

LOCATION = "location"
"""The modality whose items are the coordinates of ``places``."""


class FolderDataset(Dataset):
    """Items found by patterns; see :class:`geobind.builtin.FolderConfig` for what they may say.

    Items come in the order of their paths. Where blocks decide the split, places without coordinates are trained on,
    as in a manifest; where a pattern does, files of places that it does not know are left out.

    Raises:
        DataError: The root is missing, a pattern matches nothing, a place has two splits or groups, ``places`` makes
            no sense, there is neither a split nor coordinates, or a text is not UTF-8.
    """

    def __init__(self, config: FolderConfig) -> None:
        self.config, self.root = config, config.root.resolve()
        if not self.root.is_dir():
            fix = "Mend `root`; a relative one starts where the command runs."
            raise DataError(f"the folder {str(config.root)!r} does not exist", fix=fix)
        self.modalities = tuple(dict.fromkeys([*config.items, *([LOCATION] if config.places else [])]))
        self._files = {modality: matches(self.root, pattern) for modality, pattern in config.items.items()}
        self._places = np.unique([file.fields["id"] for files in self._files.values() for file in files])
        self._lat_lon = self._located()
        self._group, split = self._said("group"), self._said("split")
        self._split = self._blocks() if split is None else split
        self._skipped: list[str] = []
        self._tables = {modality: self._read(modality) for modality in self.modalities}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the config without its root, and of every file's path, size and time of change.

        Contents are not read for it, which would take as long as embedding them. A copy keeps the fingerprint when it
        keeps the times, as those of ``cp -a``, ``rsync -a`` and ``tar`` do.
        """
        lines = [json.dumps(self.config.model_dump(mode="json", exclude={"root"}), sort_keys=True)]
        paths = [file.path for files in self._files.values() for file in files]
        for path in paths + ([str(self.config.places)] if self.config.places else []):
            stat = (self.root / path).stat()
            lines.append(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}")
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def items(self, modality: str, split: str) -> Items:
        """The items of one modality in one split."""
        if modality not in self._tables:
            where = str(self.root)
            raise DataError(f"the folder holds no {modality!r}", where=where, fix=nearest(modality, self.modalities))
        table = self._tables[modality]
        return table.take(np.flatnonzero(self._split[np.searchsorted(self._places, table.place)] == split))

    def origin(self, a: str, b: str) -> str:
        """As the config says: the modalities' own words, or the folder's."""
        words = [self.config.origins[m] for m in (a, b) if m in self.config.origins]
        return "; ".join(dict.fromkeys(words)) or self.config.origin

    def skipped(self) -> list[str]:
        """One line per file left out."""
        return list(self._skipped)

    # -- places ------------------------------------------------------------------------------------

    def _said(self, field: str) -> NDArray[np.str_] | None:
        """What paths say of each place ``[P]``, the empty string where they say nothing; None if no pattern asks."""
        said: dict[str, tuple[str, str]] = {}
        for file in (file for files in self._files.values() for file in files if field in file.fields):
            place, value = file.fields["id"], file.fields[field]
            if field == "split" and value not in SPLITS:
                fix = f"{nearest(value, SPLITS)} Rename the folder, or narrow the pattern."
                raise DataError(f"{value!r} is no split", where=str(self.root / file.path), fix=fix)
            first, path = said.setdefault(place, (value, file.path))
            if first != value:
                raise DataError(
                    f"place {place!r} has two {field}s, {first!r} and {value!r}",
                    where=f"{path} and {file.path} in {str(self.root)!r}",
                    fix="An id is one place, whatever the folder: move one of the files, or rename it.",
                )
        return np.array([said.get(place, ("",))[0] for place in self._places.tolist()]) if said else None

    def _located(self) -> NDArray[np.float64] | None:
        """Latitude and longitude of each place ``[P, 2]``, NaN where the table of places does not have it."""
        if self.config.places is None:
            return None
        path = self.root / self.config.places
        points = _read_points(path)
        if not points.keys() & set(self._places.tolist()):
            what = f"none of the {len(points)} ids is that of a file, such as {str(self._places[0])!r}"
            raise DataError(what, where=str(path), fix="Write ids as they stand in the paths in the place of `{id}`.")
        return np.array([points.get(place, (np.nan, np.nan)) for place in self._places.tolist()])

    def _blocks(self) -> NDArray[np.str_]:
        """The split of each place ``[P]``, by the block it lies in."""
        if self._lat_lon is None:
            raise DataError(
                "no pattern has `{split}`, and there are no coordinates to split by",
                where=str(self.root),
                fix="Sort files into train, val and test, or give `places`; random splits leak near places.",
            )
        config = self.config
        return split_by_blocks(self._lat_lon, degrees=config.block_deg, fractions=config.fractions, seed=config.seed)

    # -- items -------------------------------------------------------------------------------------

    def _read(self, modality: str) -> Items:
        """All items of a modality, whatever their split."""
        owned = list(self._places_and_keys(modality))
        place, key = (np.array([pair[side] for pair in owned], dtype=np.str_) for side in (0, 1))
        at = np.searchsorted(self._places, place)
        lat_lon = None if self._lat_lon is None else self._lat_lon[at]
        load: Callable[[int], Any] = partial(_path, key)
        if modality not in self._files and lat_lon is not None:
            load = partial(_point, lat_lon)
        elif modality in self.config.texts:
            load = partial(_text, key)
        return Items(
            modality=modality,
            load=load,
            place=place,
            key=key,
            group=None if self._group is None else self._group[at],
            lat_lon=lat_lon,
            files=modality in self._files and modality not in self.config.texts,
        )

    def _places_and_keys(self, modality: str) -> Iterator[tuple[str, str]]:
        """The place and the key of each item: a path, a text, or a point."""
        if modality not in self._files:
            points = zip(self._places.tolist(), self._lat_lon.tolist(), strict=True)  # type: ignore[union-attr]
            yield from ((place, str(tuple(point))) for place, point in points if isfinite(point[0]))
            return
        for path, fields in self._files[modality]:
            place = fields["id"]
            texts = self._texts(path) if modality in self.config.texts else [str(self.root / path)]
            if not self._split[np.searchsorted(self._places, place)]:
                self._skipped.append(f"{path}: no path with a split has the id {place!r}")
            elif not texts:
                self._skipped.append(f"{path}: holds no text")
            else:
                yield from ((place, text) for text in texts)

    def _texts(self, path: str) -> list[str]:
        try:
            lines = (self.root / path).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            where = str(self.root / path)
            raise DataError(f"text is not UTF-8: {error.reason}", where=where, fix="Save it as UTF-8.") from None
        return [line.strip() for line in lines if line.strip()]


def _path(keys: NDArray[np.str_], row: int) -> Path:
    path = Path(str(keys[row]))
    if path.is_file() and not path.stat().st_size:
        raise DataError(f"file {str(path)!r} is empty", fix="Replace it, or remove it.")
    return path


def _text(keys: NDArray[np.str_], row: int) -> str:
    return str(keys[row])


def _point(lat_lon: NDArray[np.float64], row: int) -> tuple[float, float]:
    lat, lon = lat_lon[row].tolist()
    return lat, lon


def _read_points(path: Path) -> dict[str, tuple[float, float]]:
    """Place → latitude and longitude in degrees, as a CSV file says."""
    points: dict[str, tuple[float, float]] = {}
    try:
        rows = csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines())
        columns = rows.fieldnames or ()
        for column in (column for column in ("id", "lat", "lon") if column not in columns):
            raise DataError(f"no column {column!r}", where=str(path), fix=nearest(column, columns))
        for row in rows:
            place, lat, lon = row["id"], cast(float, row["lat"]), cast(float, row["lon"])  # strings, to be checked
            where = f"{path}:{rows.line_num}"
            point = check_lat_lon(lat, lon, where=where)
            if points.setdefault(place, point) != point:
                raise DataError(f"place {place!r} lies at two points", where=where, fix="Keep one of its rows.")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        fix = "`places` names a CSV file under `root` with the columns id, lat and lon."
        raise DataError(f"the table of places {str(path)!r} cannot be read: {error}", fix=fix) from error
    return points


def build(config: FolderConfig) -> FolderDataset:
    """Builder of the ``folder`` spec."""
    return FolderDataset(config)


def example(folder: Path) -> dict[str, Any]:
    """Write a made-up data set of 16 places into a folder: a picture of noise each, two ground pictures, two captions
    in one file, and coordinates.

    Returns:
        The config keys that describe it.
    """
    from PIL import Image

    rng = np.random.default_rng(0)
    rows = ["id,lat,lon"]
    for number, split in enumerate(["train"] * 8 + ["val"] * 4 + ["test"] * 4):
        place = f"p{number:02}"
        for path in (f"images/{split}/{place}.png", f"ground/{place}_a.png", f"ground/{place}_b.png"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / path)
        (folder / "captions").mkdir(exist_ok=True)
        (folder / "captions" / f"{place}.txt").write_text(f"made-up place {number}\nnumber {number}, from above\n")
        rows.append(f"{place},{rng.uniform(-60, 70):.4f},{rng.uniform(-180, 180):.4f}")
    (folder / "places.csv").write_text("\n".join(rows) + "\n")
    items = {"satellite": "images/{split}/{id}.png", "ground": "ground/{id}_*.png", "text": "captions/{id}.txt"}
    return {"root": folder, "items": items, "places": "places.csv", "origin": "made up"}

"""Where the image of a row is: its files, and the windows of them that make items."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geobind.data.patterns import matches
from geobind.errors import DataError
from geobind_sensors.readers import RasterFile, RasterImages
from geobind_sensors.readers.raster import Header, Window, around, describe, project, size_in_pixels

MEND = "Mend the row or the pattern, or skip such rows with `strict: false`."


@dataclass
class Locator:
    """Finds images, and remembers what it has seen of files."""

    root: Path
    """Folder that patterns start from."""
    column: Callable[[str], list[str]]
    """Name of a column → its cells as texts, empty where a cell is."""
    lat_lon: NDArray[np.float64] | None
    """``[rows, 2]`` degrees, NaN where unknown; None where the table has no coordinates."""
    chips: int | None
    """Side of chips in pixels; None to leave images whole."""
    _headers: dict[Path, Header] = field(default_factory=dict)
    _points: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    _matched: dict[str, dict[tuple[str, ...], list[str]]] = field(default_factory=dict)
    _grids: dict[str, tuple[int, int]] = field(default_factory=dict)

    def files(self, how: RasterImages, row: int, where: str) -> list[Path]:
        """The files of a row's image; none where a column that they are named by is empty.

        Raises:
            DataError: A file does not exist, or a pattern means several.
        """
        found = []
        for part in how.parts:
            values = tuple(self.column(name)[row] for name in part.columns)
            if "" in values:
                return []
            if "*" in part.file:
                path = self._match(part, values, where)
            else:
                of = dict(zip(part.columns, values, strict=True))
                path = self.root / re.sub(r"{(\w+)}", lambda name, of=of: of[name[1]], part.file)  # type: ignore[misc]
            if not path.is_file():
                raise DataError(f"file {str(path)!r} does not exist", where=where, fix=MEND)
            found.append(path)
        return found

    def cut(
        self, how: RasterImages, files: Sequence[Path], row: int, place: str, where: str
    ) -> Iterator[tuple[str, tuple[Window, ...]]]:
        """The place of each item that an image gives, and its window in each file; no windows where all is taken.

        An image with a window around a point gives one, or none where the row has no coordinates.

        Raises:
            DataError: A file cannot be read, is smaller than a chip, or does not hold the point.
        """
        if how.window is not None or how.metres is not None:
            if self.lat_lon is not None and np.isfinite(self.lat_lon[row]).all():
                yield place, tuple(self._around(how, files, self.lat_lon, row, where))
        elif self.chips is None:
            yield place, ()
        else:
            headers = [self.header(path, where) for path in files]
            shapes = [(header.height, header.width) for header in headers]
            grid = self._grids.setdefault(place, shapes[0])
            if min(grid) < self.chips:
                what = f"the image has {grid[0]} × {grid[1]} pixels, and a chip {self.chips} × {self.chips}"
                fix = "Make `chips` smaller, or leave the image out."
                raise DataError(what, where=f"{files[0]}, {where}", fix=fix)
            for name, at in self._chips(place):
                yield name, tuple(_scaled(at, self.chips, grid, shape) for shape in shapes)

    def chips_of(self, place: str) -> list[str]:
        """The places that chips of a place's images are, as far as these were cut."""
        return [name for name, _ in self._chips(place)]

    def header(self, path: Path, where: str) -> Header:
        """The header of a file, read once.

        Raises:
            DataError: It cannot be read.
        """
        if path not in self._headers:
            self._headers[path] = describe(path, where)
        return self._headers[path]

    def _chips(self, place: str) -> Iterator[tuple[str, tuple[int, int]]]:
        """Name of every chip, and its row and column among the chips."""
        side, (height, width) = self.chips or 1, self._grids.get(place, (0, 0))
        for row in range(height // side):
            for column in range(width // side):
                yield f"{place}/{row}/{column}", (row, column)

    def _around(
        self, how: RasterImages, files: Sequence[Path], lat_lon: NDArray[np.float64], row: int, where: str
    ) -> Iterator[Window]:
        """The windows around a row's point, of equal extent in every file."""
        headers = [self.header(path, where) for path in files]
        lat, lon = lat_lon[row].tolist()
        for path, header in zip(files, headers, strict=True):
            if not header.crs_name or header.crs_name != headers[0].crs_name:
                what = f"is in {header.crs}, and the first file in {headers[0].crs}" if header.crs else "has none"
                fix = "A window around a point needs coordinates, the same for all files of an image: warp the file."
                raise DataError(f"coordinate system: the raster {what}", where=f"{path}, {where}", fix=fix)
            if how.metres is not None:
                size = size_in_pixels(header, how.metres, lat)
            else:
                side, first, own = how.window or 1, headers[0].pixel, header.pixel
                size = side * first[0] / own[0], side * first[1] / own[1]
            if header.crs_name not in self._points:
                self._points[header.crs_name] = project(lat_lon, header.crs)  # of all rows at once
            x, y = self._points[header.crs_name][row].tolist()
            window = around(header, x, y, size)
            if window is None:
                raise DataError(
                    f"the window around latitude {lat:g}, longitude {lon:g} lies outside of the raster",
                    where=f"{path}, {where}",
                    fix="Are lat and lon swapped? Otherwise drop the row, or skip such rows with `strict: false`.",
                )
            yield window

    def _match(self, part: RasterFile, values: tuple[str, ...], where: str) -> Path:
        """The one file that a pattern with ``*`` means for a row."""
        if part.file not in self._matched:
            index: dict[tuple[str, ...], list[str]] = {}
            for file in matches(self.root, part.file):
                index.setdefault(tuple(file.fields[name] for name in part.columns), []).append(file.path)
            self._matched[part.file] = index
        found = self._matched[part.file].get(values, [])
        if len(found) != 1:
            what = f"both {found[0]!r} and {found[1]!r}" if found else "no file"
            raise DataError(f"the pattern {part.file!r} means {what}", where=where, fix=MEND)
        return self.root / found[0]


def _scaled(at: tuple[int, int], side: int, grid: tuple[int, int], shape: tuple[int, int]) -> Window:
    """A chip of an image of the shape ``grid``, in another one of the same ground that has the shape ``shape``."""
    (top, bottom), (left, right) = (
        [round(edge * side * own / whole) for edge in (index, index + 1)]
        for index, own, whole in zip(at, shape, grid, strict=True)
    )
    return Window(top, left, max(1, bottom - top), max(1, right - left))

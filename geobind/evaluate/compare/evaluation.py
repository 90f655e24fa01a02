"""An evaluation that is compared: its measures by what they are of, and how its queries fared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from geobind.errors import DataError
from geobind.evaluate.compare.result import ALL_PAIRS
from geobind.evaluate.findings import Measure
from geobind.evaluate.report import queries, stored
from geobind.evaluate.report.queries import Queries

Key = tuple[str, str, str, int]
"""Finding, what was measured, in what, and the how-manieth of that name."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A report that was read."""

    path: Path
    name: str
    measures: dict[Key, Measure] = field(repr=False)
    leading: tuple[str, ...]
    """The figures of all pairs that are compared unless others are asked for."""
    queries: dict[tuple[str, str], Queries] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, name: str) -> Evaluation:
        """Read ``results.json`` and the ranks beside it.

        Raises:
            DataError: Either cannot be read.
        """
        results = stored.read(path)
        measures: dict[Key, Measure] = {}
        seen: Counter[tuple[str, str, str]] = Counter()
        pairs = () if results.all_pairs is None else results.all_pairs.measures()
        for finding, found in ((ALL_PAIRS, pairs), *((one.name, one.measures) for one in results.findings)):
            for measure in found:
                key = finding, measure.of, measure.metric
                measures[*key, seen[key]] = measure
                seen[key] += 1
        beside = path.with_name(queries.NAME)
        return cls(
            path,
            name,
            measures,
            () if results.all_pairs is None else (f"R@{results.all_pairs.top}", "median rank", "mAP"),
            queries.unpack(beside) if beside.is_file() else {},
        )

    def asked(self, key: Key) -> Queries | None:
        """How the queries of a measure fared; None where that was not kept."""
        finding, _, metric, _ = key
        p = self.measures[key].protocol
        if finding != ALL_PAIRS or p["subset"]:
            return None
        found = self.queries.get((str(p["query"]), str(p["gallery"])))
        return found if found is not None and found.split_hash == p["split_hash"] and metric in found.values else None


def file_of(path: Path) -> Path:
    """The ``results.json`` that is meant by itself or by its folder.

    Raises:
        DataError: The folder holds none.
    """
    if not path.is_dir():
        return path
    if not (path / stored.NAME).is_file():
        raise DataError(f"there is no {stored.NAME} in {str(path)!r}", fix="Give the folder of a report.")
    return path / stored.NAME


def names_of(files: Sequence[Path]) -> list[str]:
    """What each is called: its folder, or its whole path where folders are called alike; numbered if it comes twice."""
    short = [file.resolve().parent.name for file in files]
    names = short if len(set(short)) == len(short) else [str(file) for file in files]
    return [name if names.index(name) == i else f"{name} ({i + 1})" for i, name in enumerate(names)]

"""``results.json``: what an evaluation found, to be read again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import geobind
from geobind.errors import DataError
from geobind.evaluate.findings import Finding, Measure, Picture, Table
from geobind.evaluate.results import FORMAT, AllPairs

NAME = "results.json"


@dataclass(frozen=True, slots=True)
class Results:
    """What a report was written from."""

    all_pairs: AllPairs | None
    """Without the embeddings and rankings behind it, so it gives no examples."""
    findings: tuple[Finding, ...]


def dump(all_pairs: AllPairs | None, findings: Sequence[Finding]) -> str:
    """The file's text. What is not finite becomes null."""
    values = {
        "format": FORMAT,
        "geobind": geobind.__version__,
        "all_pairs": None if all_pairs is None else all_pairs.as_dict(),
        "findings": [finding.as_dict() for finding in findings],
    }
    return json.dumps(plain(values), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read(path: Path) -> Results:
    """Read ``results.json`` back, with those pictures that still lie beside it.

    Raises:
        DataError: No such file, not JSON, or written in another format.
    """
    values = _load(path)
    if (found := values.get("format")) != FORMAT:
        raise DataError(
            f"results {str(path)!r} have format {found!r}; this geobind reads {FORMAT}", fix="Run the evaluation again."
        )
    try:
        return Results(
            None if values["all_pairs"] is None else AllPairs.from_dict(values["all_pairs"]),
            tuple(_finding(finding, path.parent) for finding in values["findings"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"results {str(path)!r} lack what format {FORMAT} has: {error}", fix="Run the evaluation again."
        ) from error


def pictures(path: Path) -> set[str]:
    """Names of the picture files that belong to a ``results.json``; none where it is absent or no such file."""
    try:
        findings = _load(path)["findings"]
        return {name for finding in findings for picture in finding["pictures"] if _is_png(name := picture["file"])}
    except (DataError, KeyError, TypeError):
        return set()


def _load(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"results {str(path)!r} cannot be read: {error}", fix="Run the evaluation again.") from error
    if not isinstance(values, dict):
        raise DataError(f"results {str(path)!r} are no results", fix="Give the results.json of a report.")
    return values


def _is_png(name: Any) -> bool:
    """Whether it names a picture beside the file, and nothing elsewhere."""
    return isinstance(name, str) and name.endswith(".png") and Path(name).name == name


def _finding(values: Mapping[str, Any], folder: Path) -> Finding:
    return Finding(
        name=values["name"],
        title=values["title"],
        answer=tuple(values["answer"]),
        protocol=values["protocol"],
        measures=tuple(_measure(measure) for measure in values["measures"]),
        tables=tuple(
            Table(
                title=table["title"],
                columns=tuple(table["columns"]),
                rows=tuple(tuple(row) for row in table["rows"]),
                note=table["note"],
            )
            for table in values["tables"]
        ),
        pictures=tuple(
            Picture(
                name=picture["file"].removesuffix(".png"),
                caption=picture["caption"],
                alt=picture["alt"],
                png=(folder / picture["file"]).read_bytes(),
            )
            for picture in values["pictures"]
            if _is_png(picture["file"]) and (folder / picture["file"]).is_file()
        ),
        notes=tuple(values["notes"]),
        details=values["details"],
    )


def _measure(values: Mapping[str, Any]) -> Measure:
    return Measure(**{**values, "value": math.nan if values["value"] is None else values["value"]})


def plain(value: Any) -> Any:
    """The same in what JSON has; what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value

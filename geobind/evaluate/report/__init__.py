"""Write an evaluation down: JSON, CSV, Markdown, one HTML page, and the matrix as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from geobind.errors import DataError
from geobind.evaluate.examples import Example
from geobind.evaluate.report.heatmap import to_png
from geobind.evaluate.report.page import to_html
from geobind.evaluate.report.tables import to_csv, to_markdown, to_rich
from geobind.evaluate.results import AllPairs
from geobind.files import write_atomic


def write_report(result: AllPairs, out_dir: Path, examples: Sequence[Example] = ()) -> list[Path]:
    """Write ``report.html``, ``report.md``, ``results.json``, ``results.csv`` and ``matrix.png``.

    Args:
        result: What :func:`geobind.evaluate.retrieval.all_pairs` found.
        out_dir: Made when missing; files of these names in it are replaced.
        examples: From :func:`geobind.evaluate.examples.gather`, for the page.

    Returns:
        The files written, the page first.
    """
    contents: dict[str, str | bytes] = {
        "report.html": to_html(result, examples),
        "report.md": to_markdown(result),
        "results.json": json.dumps(result.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "results.csv": to_csv(result),
        "matrix.png": to_png(result),
    }
    return [write_atomic(Path(out_dir) / name, content) for name, content in contents.items()]


def table(result: AllPairs) -> Table:
    """All pairs for the terminal."""
    return to_rich(result)


def read(path: Path) -> AllPairs:
    """Read ``results.json`` back; the embeddings behind it are not there, so it gives no examples.

    Raises:
        DataError: No such file, not JSON, or written in another format.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"results {str(path)!r} cannot be read: {error}", fix="Run the evaluation again.") from error
    return AllPairs.from_dict(values)

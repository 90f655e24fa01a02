"""Prompts and vocabularies: plain text files of one phrase a line, and classes embedded by an ensemble of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geobind.errors import DataError, GeobindError, SpaceError
from geobind.evaluate.zeroshot.benchmarks import check_template

if TYPE_CHECKING:
    from geobind.space.space import Space


def read_lines(path: Path, what: str) -> tuple[str, ...]:
    """The distinct lines of a text file in their order, without empty ones and those that begin with ``#``.

    Args:
        path: The file, in UTF-8.
        what: What it holds, for errors: ``templates``, ``vocabulary``.

    Raises:
        GeobindError: There is no such file, it is not text, or no line is left.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GeobindError(
            f"the {what} file {str(path)!r} cannot be read: {error}", fix="Give a text file with one phrase a line."
        ) from error
    kept = tuple(dict.fromkeys(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")))
    if not kept:
        raise GeobindError(f"the {what} file {str(path)!r} is empty", fix="Write one phrase a line.")
    return kept


def read_templates(path: Path) -> tuple[str, ...]:
    """Templates of a text file, one a line, each with one ``{}``.

    Raises:
        GeobindError: The file cannot be read, is empty, or has a line without exactly one ``{}``.
    """
    templates = read_lines(path, "templates")
    for template in templates:
        try:
            check_template(template)
        except ValueError as error:
            raise GeobindError(f"template {template!r}: {error}", where=str(path), fix="Write {} once.") from error
    return templates


def need_text(space: Space, text: str) -> None:
    """Make sure that a space can embed words.

    Raises:
        SpaceError: It has no such tower.
    """
    if text not in space.towers:
        raise SpaceError(
            f"space {space.name!r} has no {text} tower, so words cannot be compared with anything",
            fix=f"Bind text first, or name the tower that takes text. Bound: {', '.join(space.towers)}.",
        )


def ensemble(space: Space, text: str, phrases: Sequence[str], templates: Sequence[str]) -> NDArray[np.float32]:
    """Embed each phrase as the mean of its prompts' unit embeddings, brought back to unit norm: ``[C, D]``.

    This is the ensembling of CLIP (Radford et al. 2021, section 3.1.4).

    Raises:
        DataError: An embedding is not finite, or the prompts of a phrase cancel out.
    """
    prompts = [template.replace("{}", phrase) for phrase in phrases for template in templates]
    vectors = finite(space.encode(text, prompts), f"{text} prompts", prompts).astype(np.float64)
    mean = vectors.reshape(len(phrases), len(templates), -1).mean(axis=1)
    norm = np.linalg.norm(mean, axis=1, keepdims=True)
    if (norm < 1e-6).any():
        raise DataError(f"the prompts of {phrases[int(np.argmin(norm))]!r} cancel out: their mean embedding is zero")
    unit: NDArray[np.float32] = (mean / norm).astype(np.float32)
    return unit


def finite(vectors: NDArray[np.float32], what: str, names: Sequence[str] | None = None) -> NDArray[np.float32]:
    """The embeddings, if all are finite.

    Args:
        vectors: ``[N, D]``
        what: What they are of, for errors.
        names: ``N`` names, for errors; by default the numbers of the rows.

    Raises:
        DataError: Some are not, with their number and the first.
    """
    if len(bad := np.flatnonzero(~np.isfinite(vectors).all(axis=1))):
        first = f"row {bad[0]}" if names is None else repr(names[int(bad[0])])
        raise DataError(
            f"{len(bad):,} of {len(vectors):,} embeddings of {what} are not finite; the first is that of {first}",
            fix="Look at that item; a tower that gives NaN for all items is broken and must be bound again.",
        )
    return vectors

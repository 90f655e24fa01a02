"""How each single query fared, as ``ranks.npz`` beside a report: what a paired comparison of two spaces needs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from geobind.errors import DataError
from geobind.evaluate.results import AllPairs
from geobind.evaluate.scores import per_query
from geobind.ranks import Ranking

NAME = "ranks.npz"
AT_K = ("precision_at", "ndcg_at", "nearest_km")
"""What a ranking holds for each k."""


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """The queries of one direction."""

    split_hash: str
    place: NDArray[np.str_] = field(repr=False)
    """``[Q]`` the place each query belongs to."""
    values: Mapping[str, NDArray[np.float64]] = field(repr=False)
    """Name of a figure → ``[Q]`` its values, as :func:`~geobind.evaluate.scores.per_query` gives them."""


def pack(result: AllPairs) -> bytes | None:
    """The file's bytes; None for a result that was read from a file, which has no rankings.

    Its arrays: ``directions [N, 3]`` (query, gallery, split hash), ``gallery [N]`` sizes, ``ks``, ``places`` (each
    once), and for direction i ``i place [Q]`` (rows of ``places``), ``i rank [Q]`` (1-based, of the best positive) and
    the other values of its queries ``[Q]``. Values are float32; no array needs pickle.
    """
    found = [(names, ranking) for names, ranking in result.rankings.items() if names in result.ranked]
    if not found:
        return None
    place = [result.ranked[names].queries.items.place for names, _ in found]
    places, rows = np.unique(np.concatenate(place), return_inverse=True)
    hashes = {(p.query, p.gallery): p.split_hash for pair in result.results if not (p := pair.protocol).subset}
    arrays: dict[str, NDArray[Any]] = {
        "directions": np.array([(*names, hashes[names]) for names, _ in found]),
        "gallery": np.array([ranking.gallery for _, ranking in found]),
        "ks": np.array(result.ks),
        "places": places,
    }
    ends = np.cumsum([len(column) for column in place])[:-1]
    for i, ((_, ranking), part) in enumerate(zip(found, np.split(rows, ends), strict=True)):
        arrays[f"{i} place"] = part.astype(np.int32)
        arrays[f"{i} rank"] = ranking.rank.astype(np.float32)
        arrays[f"{i} average_precision"] = ranking.average_precision.astype(np.float32)
        for name in AT_K:
            for k, values in getattr(ranking, name).items():
                arrays[f"{i} {name} {k}"] = values.astype(np.float32)
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def unpack(path: Path) -> dict[tuple[str, str], Queries]:
    """(query, gallery) → how its queries fared.

    Raises:
        DataError: It cannot be read, or is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        ks, places = arrays["ks"].tolist(), arrays["places"]
        return {
            (query, gallery): Queries(
                split_hash, places[arrays[f"{i} place"]], per_query(_ranking(arrays, i, int(arrays["gallery"][i])), ks)
            )
            for i, (query, gallery, split_hash) in enumerate(arrays["directions"].tolist())
        }
    except (OSError, ValueError, KeyError, IndexError, EOFError, BadZipFile) as error:
        raise DataError(f"ranks {str(path)!r} cannot be read: {error}", fix="Run the evaluation again.") from error


def _ranking(arrays: Mapping[str, NDArray[Any]], i: int, gallery: int) -> Ranking:
    def column(name: str) -> NDArray[np.float64]:
        return arrays[f"{i} {name}"].astype(np.float64)

    def at(name: str) -> dict[int, NDArray[np.float64]]:
        start = f"{i} {name} "
        return {int(k): column(f"{name} {k}") for key in arrays if (k := key.removeprefix(start)) != key}

    rank = column("rank")
    return Ranking(rank, column("average_precision"), np.ones(len(rank), np.int64), gallery, *map(at, AT_K))

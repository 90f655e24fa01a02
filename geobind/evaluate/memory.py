"""Results that were computed before: by the towers, the data and the rules, in files beside the stored features.

Shapes: Q queries.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geobind.files import write_atomic
from geobind.ranks import Ranking

FORMAT = 1
"""Version of a file; raise it when figures are computed otherwise."""

Rankings = tuple[Ranking, Ranking]


class Memory:
    """Remembers how the queries of a pair of modalities fared.

    Args:
        folder: Where; None to remember nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def rankings(self, parts: Any, arrays: tuple[NDArray[Any], ...], compute: Callable[[], Rankings]) -> Rankings:
        """Both directions of a pair, from memory or computed.

        Args:
            parts: JSON-able identity: fingerprints of towers and data, the hash of the split, the rules.
            arrays: The embeddings themselves. They are hashed too, so that a file changed under an unchanged table is
                seen.
            compute: Ranks them.
        """
        if self.folder is None:
            return compute()
        digest = hashlib.sha256(json.dumps([FORMAT, parts], sort_keys=True).encode())
        for array in arrays:
            digest.update(np.ascontiguousarray(array).data)
        path = self.folder / f"{digest.hexdigest()[:32]}.npz"
        if (known := _read(path)) is not None:
            return known
        found = compute()
        write_atomic(path, _pack(found))
        return found


def _pack(rankings: Rankings) -> bytes:
    arrays: dict[str, NDArray[Any]] = {}
    for i, ranking in enumerate(rankings):
        arrays |= {
            f"{i} rank": ranking.rank,
            f"{i} precision": ranking.average_precision,
            f"{i} positives": ranking.positives,
            f"{i} gallery": np.asarray(ranking.gallery),
        }
        for name in ("precision_at", "ndcg_at", "nearest_km"):
            arrays |= {f"{i} {name} {k}": values for k, values in getattr(ranking, name).items()}
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def _read(path: Path) -> Rankings | None:
    """What a file holds; None when there is none, or it is damaged and will be written anew."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        return _unpack(arrays, 0), _unpack(arrays, 1)
    except (OSError, ValueError, KeyError, EOFError):
        return None


def _unpack(arrays: dict[str, NDArray[Any]], i: int) -> Ranking:
    def at(name: str) -> dict[int, NDArray[np.float64]]:
        start = f"{i} {name} "
        return {int(key.removeprefix(start)): values for key, values in arrays.items() if key.startswith(start)}

    return Ranking(
        rank=arrays[f"{i} rank"],
        average_precision=arrays[f"{i} precision"],
        positives=arrays[f"{i} positives"],
        gallery=int(arrays[f"{i} gallery"]),
        precision_at=at("precision_at"),
        ndcg_at=at("ndcg_at"),
        nearest_km=at("nearest_km"),
    )

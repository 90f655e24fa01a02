"""Exact ranks in both directions against the bare matrix product and against sorting: ratios, paired runs.

python benchmarks/ranks.py [--items 10000] [--runs 5]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from paired import machine, paired, report

from geobind.data.items import Items
from geobind.data.pairs import Pairs
from geobind.ranks import rank_both


def main() -> None:
    """Time all three in turn, several times, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    a, b = (unit(rng.standard_normal((options.items, options.dim), dtype=np.float32)) for _ in range(2))
    pairs = one_to_one(options.items)
    contenders: dict[str, Callable[[], object]] = {
        "matrix product": lambda: [a[i : i + 512] @ b.T for i in range(0, len(a), 512)],
        "geobind, both directions": lambda: rank_both(a, b, pairs),
        "argsort, one direction": lambda: [np.argsort(-(a[i : i + 512] @ b.T), axis=1) for i in range(0, len(a), 512)],
    }
    print(machine("numpy"))
    report(paired(contenders, options.runs), "matrix product")


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of unit norm."""
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def one_to_one(n: int) -> Pairs:
    """n items a side, each with one positive."""
    name = np.arange(n).astype(np.str_)
    sides = [Items(modality=modality, load=int, place=name, key=name) for modality in "ab"]
    label = np.arange(n, dtype=np.int64)
    return Pairs(sides[0], sides[1], "id", "synthetic", label, label)


if __name__ == "__main__":
    main()

"""All pairs of four modalities against the bare matrix products, and one pair against other harnesses; paired runs.

python benchmarks/ranks.py [--items 20000] [--outside 5000] [--runs 5]

Prints (a) time against the bare products, by rows and in tiles, of which the faster is the limit, and the memory that
is taken beyond the embeddings, as the growth of the process's peak; (b) time of R@10 in both directions against
clip_benchmark (pip install --no-deps clip-benchmark) and torchmetrics, which must give the same values.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from paired import machine, paired, report

from geobind.data.items import Items
from geobind.data.pairs import Pairs
from geobind.evaluate.intervals import intervals
from geobind.evaluate.scores import KS, chance, measured, per_query
from geobind.ranks import Ranking, rank_both

K = 10
Vectors = NDArray[np.float32]


def main() -> None:
    """Measure both and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=20_000, help="of each of four modalities")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--outside", type=int, default=5_000, help="items of the pair that others are given")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peak", action="store_true", help="print the memory that one run takes, and nothing else")
    options = parser.parse_args()
    if options.peak:
        print(peak(options.items, options.dim))
        return
    print(machine("numpy", "torchmetrics"))
    against_products(options.items, options.dim, options.runs)
    # In a process of its own, where nothing has been taken before.
    command = [sys.executable, __file__, "--peak", "--items", str(options.items), "--dim", str(options.dim)]
    grown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    print(f"memory beyond the embeddings: {grown}")
    against_harnesses(options.outside, options.dim, options.runs)


# -- (a) the products -----------------------------------------------------------------------------


def against_products(n: int, dim: int, runs: int) -> None:
    """Time all pairs."""
    sides, pairs = modalities(n, dim, 4), one_to_one(n)

    def by_rows() -> None:
        for a, b in combinations(sides, 2):
            for first in range(0, n, 512):
                a[first : first + 512] @ b.T

    def in_tiles() -> None:
        tile = np.empty((1024, 2048), dtype=np.float32)
        for a, b in combinations(sides, 2):
            for first in range(0, n, 1024):
                for left in range(0, n, 2048):
                    rows, columns = a[first : first + 1024], b[left : left + 2048]
                    np.matmul(rows, columns.T, out=tile[: len(rows), : len(columns)])

    print(f"\n6 pairs of {n:,} × {n:,} items, {dim}-d, both directions")
    figures = paired(
        {
            "products by 512 rows": by_rows,
            "products in tiles": in_tiles,
            "geobind, ranks": lambda: rank_all(sides, pairs),
            "geobind, all figures with intervals and chance": lambda: rank_all(sides, pairs, summarise),
        },
        runs,
    )
    faster = min(("products by 512 rows", "products in tiles"), key=lambda name: float(np.median(figures[name])))
    report(figures, faster)


def rank_all(sides: list[Vectors], pairs: Pairs, then: Callable[[Ranking, Pairs], object] = lambda *_: None) -> None:
    """Both directions of all pairs."""
    for a, b in combinations(sides, 2):
        for ranking in rank_both(a, b, pairs, ks=KS):
            then(ranking, pairs)


def summarise(ranking: Ranking, pairs: Pairs) -> None:
    """What ``geobind evaluate`` does with ranks."""
    measured(ranking)
    chance(ranking.positives, ranking.gallery)
    intervals(per_query(ranking), pairs.a.place)


def peak(n: int, dim: int) -> str:
    """Memory taken by ranking all pairs, once as numpy counts it and once as the process's peak grows (Linux)."""
    sides, pairs = modalities(n, dim, 4), one_to_one(n)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak so far is forgotten
    before = resident("VmHWM")
    tracemalloc.start()
    rank_all(sides, pairs)
    traced = tracemalloc.get_traced_memory()[1] >> 20
    return f"{traced} MB in arrays; the process grew by {resident('VmHWM') - before} MB, buffers of BLAS included"


def resident(name: str) -> int:
    """MB of a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) // 1024


# -- (b) other harnesses --------------------------------------------------------------------------


def against_harnesses(n: int, dim: int, runs: int) -> None:
    """Time R@10 of one pair, both directions, from embeddings to figures; all must agree."""
    from clip_benchmark.metrics import zeroshot_retrieval
    from torchmetrics.retrieval import RetrievalRecall

    (a, b), pairs = modalities(n, dim, 2), one_to_one(n)
    found: dict[str, tuple[float, float]] = {}

    def geobind() -> None:
        there, back = rank_both(a, b, pairs, average_precision=False)
        found["geobind"] = float(np.mean(there.rank <= K)), float(np.mean(back.rank <= K))

    def clip_benchmark() -> None:
        loader = [(torch.from_numpy(a[i : i + 64]), torch.from_numpy(b[i : i + 64, None])) for i in range(0, n, 64)]
        result = zeroshot_retrieval.evaluate(Embedded(), loader, torch.stack, "cpu", amp=False, recall_k_list=[K])
        found["clip_benchmark"] = result[f"text_retrieval_recall@{K}"], result[f"image_retrieval_recall@{K}"]

    def torchmetrics() -> None:
        similarity, target = torch.from_numpy(a) @ torch.from_numpy(b).T, torch.eye(n, dtype=torch.bool).ravel()
        query = torch.arange(n).repeat_interleave(n)
        there, back = (
            float(RetrievalRecall(top_k=K)(side.reshape(-1), target, indexes=query))
            for side in (similarity, similarity.T)
        )
        found["torchmetrics"] = there, back

    print(f"\n1 pair of {n:,} × {n:,} items, {dim}-d, R@{K} in both directions")
    report(
        paired(
            {"geobind": geobind, "clip_benchmark": clip_benchmark, "torchmetrics RetrievalRecall": torchmetrics},
            runs,
            rest=1.0,
        ),
        "geobind",
    )
    for name, values in found.items():
        assert np.allclose(values, found["geobind"], atol=1e-6), (name, values, found["geobind"])
    print(f"the same values: {found['geobind'][0]:.4f} and {found['geobind'][1]:.4f}")


class Embedded(torch.nn.Module):
    """A model whose images and texts come embedded."""

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """As they are."""
        return images

    def encode_text(self, texts: torch.Tensor) -> torch.Tensor:
        """As they are."""
        return texts


# -- data -----------------------------------------------------------------------------------------


def modalities(n: int, dim: int, count: int) -> list[Vectors]:
    """Items of ``count`` modalities that see the same n places, each through its own noise."""
    rng = np.random.default_rng(0)
    places = unit(rng.standard_normal((n, dim), dtype=np.float32))
    return [unit(places + 4 * unit(rng.standard_normal((n, dim), dtype=np.float32))) for _ in range(count)]


def unit(x: Vectors) -> Vectors:
    """Rows of unit norm."""
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def one_to_one(n: int) -> Pairs:
    """n items a side, each with one positive."""
    name = np.arange(n).astype(np.str_)
    sides = [Items(modality=modality, load=int, place=name, key=name) for modality in "ab"]
    label = np.arange(n, dtype=np.int64)
    return Pairs(sides[0], sides[1], "id", "synthetic", label, label)


if __name__ == "__main__":
    main()

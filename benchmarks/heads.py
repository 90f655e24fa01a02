"""Heads on cached features against computing both towers anew for every pair.

    python benchmarks/heads.py [--pairs 100000 --batch 4096 --rounds 5]    # needs the shared data folder

The stage: 100,000 pairs of 512-d features (random numbers: nothing but the time is looked at) out of the disk cache,
both heads learn, two-way InfoNCE, epochs from the second on. Against it: both towers of the recipe `mini` over its own
pictures and captions, without gradient, decoding included, plus that same stage's time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

import geobind

PAIRS, WIDTH = 100_000, 512


class VectorConfig(geobind.Config):
    """Features that are numbers already."""


class VectorsConfig(geobind.Config):
    """Random features."""

    pairs: int
    """How many."""


@geobind.hookimpl
def geobind_modalities():
    """Two of vectors."""
    return [geobind.ModalitySpec(name=name, item=f"[{WIDTH}]", summary="vectors") for name in ("left", "right")]


@geobind.hookimpl
def geobind_encoders():
    """The identity."""
    return [
        geobind.EncoderSpec(name="vector", modality=name, config=VectorConfig, build="heads:build_encoder")
        for name in ("left", "right")
    ]


@geobind.hookimpl
def geobind_datasets():
    """Random vectors."""
    return [
        geobind.DatasetSpec(
            name="vectors", modalities=("left", "right"), config=VectorsConfig, build="heads:build_dataset"
        )
    ]


def build_encoder(config):
    """An encoder that returns what it is given."""
    import torch

    class Vector(geobind.Encoder):
        embed_dim = WIDTH
        throughput_batch = 4096

        def preprocess(self, item, *, train, generator=None):
            return {"x": torch.from_numpy(item)}

        def forward(self, batch):
            return batch["x"]

    return Vector()


def build_dataset(config):
    """The vectors, drawn once."""

    class Vectors(geobind.Dataset):
        modalities = ("left", "right")
        fingerprint = str(config.pairs)

        def __init__(self):
            rng = np.random.default_rng(0)
            self.values = {m: rng.standard_normal((config.pairs, WIDTH), dtype=np.float32) for m in self.modalities}

        def items(self, modality, split):
            n = config.pairs if split == "train" else 0
            names = np.arange(n).astype(np.str_)
            keys = np.char.add(f"{modality}-", names) if n else names
            return geobind.Items(modality=modality, load=self.values[modality].__getitem__, place=names, key=keys)

        def origin(self, a, b):
            return "random numbers"

    return Vectors()


def recompute(count: int) -> float:
    """Pairs per second of both towers of the recipe ``mini``, without gradient."""
    from geobind.plan import load_plan
    from geobind.plugins import get_plugins
    from geobind.space.embed import embed

    plan = load_plan("mini", get_plugins())
    stage = plan.stage("text")
    dataset = stage.dataset.build()
    seconds = 0.0
    for modality, choice in (("satellite", plan.anchor), ("text", stage.encoder)):
        encoder = choice.build()
        encoder.load_pretrained()
        encoder.eval()
        items = dataset.items(modality, "train")
        items = items.take(np.random.default_rng(0).permutation(len(items))[:count])
        embed(encoder, items.take(np.arange(32)), encoder)
        start = time.perf_counter()
        embed(encoder, items, encoder)
        seconds += time.perf_counter() - start
    return count / seconds


def main() -> None:
    """Print both rates and their ratio."""
    import yaml
    from paired import machine

    from geobind.bind.binder import bind
    from geobind.plan import load_plan
    from geobind.plugins import get_plugins

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--head", default="mlp", choices=("mlp", "linear"))
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    arguments = parser.parse_args()
    get_plugins().load_file(Path(__file__))
    rates, peers = [], []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GEOBIND_CACHE"] = f"{folder}/cache"
        recipe = {
            "space": {"dim": 512},
            "anchor": {"modality": "left", "encoder": {"type": "vector"}, "head": {"type": arguments.head}},
            "stages": [
                {
                    "name": "right",
                    "modality": "right",
                    "train": "heads",
                    "encoder": {"type": "vector"},
                    "head": {"type": arguments.head},
                    "dataset": {"type": "vectors", "pairs": arguments.pairs},
                    "optim": {"epochs": 3, "batch_size": arguments.batch, "precision": arguments.precision},
                }
            ],
        }
        path = Path(folder) / "heads.yaml"
        path.write_text(yaml.safe_dump(recipe))
        plan = load_plan(str(path), get_plugins())
        for number in range(arguments.rounds):
            run = bind(plan, plan.stages, space=Path(folder) / f"space{number}", runs=Path(folder) / f"runs{number}")
            lines = (run.path / "right" / "metrics.jsonl").read_text().splitlines()
            rates.append(statistics.median(json.loads(line)["pairs_per_s"] for line in lines[1:]))
            peers.append(1 / (1 / recompute(512) + 1 / rates[-1]))
            print(f"round {number + 1}: cached {rates[-1]:,.0f} pairs/s, recomputed {peers[-1]:.1f}", flush=True)
    ratios = [ours / other for ours, other in zip(rates, peers, strict=True)]
    print(machine())
    print(
        f"cached {statistics.median(rates):,.0f} pairs/s, recomputed {statistics.median(peers):.1f}: "
        f"{statistics.median(ratios):.0f} times (rounds {min(ratios):.0f} to {max(ratios):.0f})"
    )


if __name__ == "__main__":
    main()

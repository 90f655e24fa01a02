"""One tower for real images of several sensors: text→image retrieval at unseen places, three seeds, medians.

Run from the project's root, with the data folder ../shared beside it: python benchmarks/sensors_real.py --out FOLDER
With --ablate, distillation, the code of wavelengths and merging are each switched off instead, and differences are told
with their intervals over seeds. Merging needs something to merge with: for it, stages are trained one after the other.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from sensors_tables import write_tables

import geobind
from geobind.plan import load_plan
from geobind.plugins import get_plugins

RECIPE = Path(__file__).parent / "recipes" / "sensors_real.yaml"
K = 10
LATER = ("sentinel2", "multispectral", "elevation")
STAGED = (
    "training=staged",
    *(f"stages.{name}.{key}" for name in LATER for key in ("merge={alpha: 0.5}", "optim.lr=3e-4")),
)
ABLATIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "interleaved": (("loss={type: siglip, temperature: 0.05}", "encoder.wavelengths=false"), ()),
    "staged": (("merge=null",), STAGED),
}
"""What is switched off, one at a time, and what the recipe is changed to before."""
TOGETHER = "all sensors in one gallery"


def main() -> None:
    """Write the tables, then bind and evaluate, or ablate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True, help="Folder for tables, spaces and reports.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ablate", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="As geobind bind has it.")
    asked = parser.parse_args()
    out: Path = asked.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in write_tables(asked.data.resolve(), out).items():
        print(f"{name}: {', '.join(f'{count} {split}' for split, count in rows.items())}")
    os.environ["GEOBIND_SENSORS"] = str(out / "sensors.yaml")
    recipe = with_tables(out)
    overrides = [part for assignment in asked.set for part in ("--set", assignment)]
    if asked.ablate:
        for name, (without, before) in ABLATIONS.items():
            over = [part for axis in without for part in ("--over", axis)]
            changes = [part for key in before for part in ("--set", key)]
            how = ("--one-at-a-time", "--seeds", asked.seeds, "--split", "test", "--out", out / f"ablation-{name}")
            run("ablate", recipe, *over, *how, *changes, *overrides)
        return
    found: dict[str, list[tuple[float, float, str]]] = {}
    seconds = []
    for seed in range(asked.seeds):
        space, report = out / f"space{seed}", out / f"report{seed}"
        start = time.monotonic()
        kept = ("--space", space, "--runs", out / "runs")
        run("bind", "--recipe", recipe, *kept, "--set", f"defaults.seed={seed}", *overrides)
        seconds.append(time.monotonic() - start)
        run("evaluate", "--all-pairs", "--space", space, "--out", report)
        for name, row in figures(report, space, recipe).items():
            found.setdefault(name, []).append(row)
    print(f"\nbind (features + training): {', '.join(f'{s:.0f}' for s in seconds)} s\n")
    print(f"| text → | queries × gallery | chance R@{K} % | R@{K} %, by seed | median | × chance |")
    print("|---|---:|---:|---|---:|---:|")
    for name, rows in found.items():
        recalls, chances, sizes = zip(*rows, strict=True)
        middle = statistics.median(recalls)
        shown = ", ".join(f"{100 * recall:.1f}" for recall in recalls)
        chance = f"{100 * chances[0]:.2f} | {shown} | {100 * middle:.1f} | {middle / chances[0]:.1f}"
        print(f"| {name} | {sizes[0]} | {chance} |")


def figures(report: Path, space: Path, recipe: Path) -> dict[str, tuple[float, float, str]]:
    """Modality → R@K of its images for texts, chance, and sizes; and of all images in one gallery."""
    results = json.loads((report / "results.json").read_text(encoding="utf-8"))["all_pairs"]["results"]
    found = {}
    for result in results:
        protocol = result["protocol"]
        if protocol["query"] == "text":
            recall, chance = (result[side]["recall"][str(K)] for side in ("scores", "chance"))
            found[protocol["gallery"]] = recall, chance, f"{protocol['queries']} × {protocol['gallery_size']}"
    return {**found, TOGETHER: together(space, recipe)}


def together(folder: Path, recipe: Path) -> tuple[float, float, str]:
    """R@K of all sensors' images in one gallery, since one tower embeds them all; a text's own images count."""
    space = geobind.load(folder)
    vectors: list[np.ndarray] = []
    places: list[str] = []
    texts: dict[str, np.ndarray] = {}
    for stage in load_plan(str(recipe), get_plugins()).stages:
        dataset = stage.dataset.build()
        images, captions = (dataset.items(name, "test") for name in (stage.config.modality, "text"))
        vectors.append(space.encode(stage.config.modality, images))
        places += images.place.tolist()
        if not set(captions.place.tolist()) <= texts.keys():
            texts |= dict(zip(captions.place.tolist(), space.encode("text", captions), strict=True))
    gallery, owner = np.concatenate(vectors), np.array(places)
    hits, chances = [], []
    for place, text in texts.items():
        own, scores = owner == place, gallery @ text
        best = scores[own].max()
        # Images of equal score share the places that they take: the mean over their orders.
        above, level = int((scores > best).sum()), int((scores == best).sum())
        hits.append(min(max(K - above, 0) / level, 1.0))
        chances.append(1 - math.comb(len(owner) - int(own.sum()), K) / math.comb(len(owner), K))
    return float(np.mean(hits)), float(np.mean(chances)), f"{len(texts)} × {len(owner)}"


def with_tables(out: Path) -> Path:
    """The recipe with the paths of the tables: it does not depend on where it runs."""
    text = RECIPE.read_text(encoding="utf-8")
    for table in out.glob("*.parquet"):
        text = text.replace(f"path: {table.name}", f"path: {table}")
    path = out / RECIPE.name
    path.write_text(text, encoding="utf-8")
    return path


def run(*args: object) -> None:
    """Run a command of geobind; what it prints goes to standard error."""
    subprocess.run([sys.executable, "-m", "geobind", *map(str, args)], check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()

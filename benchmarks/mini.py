"""The mini recipe against its floor: three seeds, medians, features and training timed.

Run from the project's root, with the data folder ../shared beside it: python benchmarks/mini.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# What a frozen-tower sketch reached on the same split: shared/data/README.md, "A floor to beat".
FLOOR = {
    "RSICD text→image R@10, %": 28.1,
    "RSICD image→text R@10, %": 31.0,
    "ground→satellite mAP, by scene class": 0.905,
    "audio→satellite mAP, by scene class": 0.769,
    "EuroSAT image→location R@10, %": 6.0,
}
# What is asked besides: emergent, so no floor; chance instead.
ASKED = ("audio→ground mAP, by scene class", "EuroSAT image→location median rank")


def main() -> None:
    """Bind and evaluate for each seed, and print a Markdown table."""
    rows: list[dict[str, float]] = []
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(3):
            space, out = Path(folder) / f"mini{seed}", Path(folder) / f"report{seed}"
            start = time.monotonic()
            geobind("bind", "--recipe", "mini", "--set", f"defaults.seed={seed}", "--space", space, "--runs", folder)
            seconds.append(time.monotonic() - start)
            geobind("evaluate", "--all-pairs", "--by", "source", "--space", space, "--out", out)
            rows.append(figures(json.loads((out / "results.json").read_text(encoding="utf-8"))))
    print(f"bind (features + training): {', '.join(f'{s:.0f}' for s in seconds)} s\n")
    print("| line | floor | seeds 0, 1, 2 | median |\n|---|---:|---|---:|")
    for name in (*FLOOR, *ASKED):
        values = [row[name] for row in rows]
        shown = ", ".join(f"{value:.3g}" for value in values)
        print(f"| {name} | {FLOOR.get(name, '–')} | {shown} | {statistics.median(values):.3g} |")


def figures(report: dict[str, object]) -> dict[str, float]:
    """The lines of the floor out of a results.json."""
    found = {}
    for item in report["all_pairs"]["results"]:  # type: ignore[index]
        protocol = item["protocol"]
        found[protocol["query"], protocol["gallery"], protocol["subset"]] = item["scores"]
    rsicd, euro = "source=RSICD", "source=EuroSAT"
    return {
        "RSICD text→image R@10, %": 100 * found["text", "satellite", rsicd]["recall"]["10"],
        "RSICD image→text R@10, %": 100 * found["satellite", "text", rsicd]["recall"]["10"],
        "ground→satellite mAP, by scene class": found["ground", "satellite", ""]["mean_average_precision"],
        "audio→satellite mAP, by scene class": found["audio", "satellite", ""]["mean_average_precision"],
        "EuroSAT image→location R@10, %": 100 * found["satellite", "location", euro]["recall"]["10"],
        "audio→ground mAP, by scene class": found["audio", "ground", ""]["mean_average_precision"],
        "EuroSAT image→location median rank": found["satellite", "location", euro]["median_rank"],
    }


def geobind(*args: object) -> None:
    """Run a command; what it prints goes to standard error."""
    subprocess.run([sys.executable, "-m", "geobind", *map(str, args)], check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()

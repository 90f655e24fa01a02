"""Land cover of GeoLifeCLEF 2022's sample from the dense features of a space: mIoU by words and by a head.

Run from the project's root, with the data folder ../shared beside it, on a space that has not seen the places, such as
that of the recipe geolangbind-mini (benchmarks/sensors_real.py trains on captions written from these very maps):

    python benchmarks/segment_glc22.py --space spaces/geolangbind-mini --out FOLDER
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from pathlib import Path

import yaml

from geobind.plan import registry


def main() -> None:
    """Write the table and the task, then evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--space", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="Folder for the table, the task and the reports.")
    asked = parser.parse_args()
    out: Path = asked.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    table = out / "glc22.csv"
    masks = sorted(asked.data.resolve().glob("glc22_sample/patches-*/*/*/*_landcover.tif"))
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "split", "rgb", "cover"])
        for mask in masks:
            stem = mask.name.removesuffix("_landcover.tif")
            rows.writerow([stem, "test", mask.with_name(f"{stem}_rgb.jpg"), mask])
    dataset = {
        "type": "geotiff",
        "path": str(table),
        "id": "id",
        "split": "split",
        "images": {"rgb": {"file": "{rgb}", "bands": ["red", "green", "blue"]}, "classmap": {"file": "{cover}"}},
        "origin": "maps of land cover at the same places",
    }
    task = yaml.safe_load((registry() / "segmentation.yaml").read_text(encoding="utf-8"))["glc22"]
    path = out / "glc22.yaml"
    path.write_text(yaml.safe_dump({**task, "dataset": dataset}), encoding="utf-8")
    for head in ("linear", "decoder"):
        how = ("--segment", path, "--segment-head", head, "--space", asked.space, "--out", out / head)
        subprocess.run([sys.executable, "-m", "geobind", "evaluate", *map(str, how)], check=True)


if __name__ == "__main__":
    main()

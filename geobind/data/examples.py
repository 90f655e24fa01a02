"""Tiny made-up data sets that the core's own datasets are checked over."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from geobind.data.items import SPLITS

PLACES = 12


def manifest(folder: Path) -> dict[str, Any]:
    """Write a table of places with pictures of noise and captions; the keys of ``dataset: {type: manifest}``."""
    rng = np.random.default_rng(0)
    table = folder / "places.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["place", "satellite", "caption", "lat", "lon", "split"])
        for row in range(PLACES):
            picture = f"place_{row}.png"
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / picture)
            lat, lon = rng.uniform((-60, -180), (75, 180)).round(4).tolist()
            writer.writerow([f"p{row}", picture, f"made-up place number {row}", lat, lon, SPLITS[row % 4 % 3]])
    return {
        "path": str(table),
        "id": "place",
        "split": "split",
        "lat": "lat",
        "lon": "lon",
        "items": {
            "satellite": {"column": "satellite"},
            "text": {"column": "caption", "text": True},
            "location": {"lat": "lat", "lon": "lon"},
        },
        "origin": "made up",
    }


def resplit(folder: Path) -> dict[str, Any]:
    """Write the example of the manifest; the keys of ``dataset: {type: resplit}`` that split it anew."""
    return {"dataset": {"type": "manifest", **manifest(folder)}, "by": "random"}

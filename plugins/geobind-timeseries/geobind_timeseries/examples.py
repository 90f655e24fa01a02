"""Made-up items and a made-up table, for checks."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geobind_timeseries.dataset import synthesised


def item(index: int) -> NDArray[np.float32]:
    """Another series for every index, of unequal lengths."""
    return synthesised(str(index), 17.0 * index % 180 - 90)[: 365 - 30 * (index % 3)]


def data_set(folder: Path) -> dict[str, Any]:
    """Twelve places with a grey tile each, and a table of their January."""
    tiles, days = ["place,lat,lon,split,tile"], ["place,date,temperature"]
    for i, split in enumerate(["train"] * 6 + ["val"] * 3 + ["test"] * 3):
        Image.new("RGB", (32, 32), (20 * i, 90, 60)).save(folder / f"{i}.png")
        tiles.append(f"p{i},{10 * i - 50},{i},{split},{i}.png")
        values = enumerate(synthesised(str(i), 10 * i - 50)[:31, 0])
        days += [f"p{i},{date(2020, 1, 1) + timedelta(n)},{v if np.isfinite(v) else ''}" for n, v in values]
    (folder / "places.csv").write_text("\n".join(tiles) + "\n")
    (folder / "days.csv").write_text("\n".join(days) + "\n")
    columns = {"id": "place", "split": "split", "lat": "lat", "lon": "lon", "items": {"satellite": {"column": "tile"}}}
    places = {"type": "manifest", "path": str(folder / "places.csv"), "origin": "made up", **columns}
    return {"places": places, "table": str(folder / "days.csv"), "origin": "made up"}

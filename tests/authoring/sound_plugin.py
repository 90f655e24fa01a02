"""A sound one-file plugin: the tests break it in one way after the other, and see which check tells."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import geobind


class TideConfig(geobind.Config):
    width: int = 8
    """Width of the embedding."""


class HarboursConfig(geobind.Config):
    root: Path
    """Folder with `harbours.csv`, and an array of levels for each harbour."""
    scale: float = 1.0
    """Factor that levels are multiplied by."""


class Sharpness(geobind.Config):
    temperature: float = 0.1
    """Initial temperature."""


class PullConfig(geobind.Config):
    sharpness: Sharpness = Sharpness()
    """How sharp the softmax is."""


@geobind.hookimpl
def geobind_modalities():
    return [
        geobind.ModalitySpec(
            name="tide",
            item="float32 [4]: four water levels of a day",
            summary="Water levels at a harbour.",
            units="m",
            example=f"{__name__}:example_tide",
            preview=f"{__name__}:preview_tide",
            sound=f"{__name__}:sound_of_tide",
        ),
        geobind.ModalitySpec(
            name="harbour",
            item="a string: the harbour's name",
            summary="Names of harbours.",
            example=f"{__name__}:example_harbour",
        ),
    ]


@geobind.hookimpl
def geobind_encoders():
    return [
        geobind.EncoderSpec(
            name="linear", modality="tide", config=TideConfig, build=f"{__name__}:build_tide", summary="One layer."
        ),
        geobind.EncoderSpec(
            name="letters", modality="harbour", config=TideConfig, build=f"{__name__}:build_harbour", summary="A bag."
        ),
    ]


@geobind.hookimpl
def geobind_datasets():
    return [
        geobind.DatasetSpec(
            name="harbours",
            config=HarboursConfig,
            build=f"{__name__}:build_harbours",
            modalities=("tide", "harbour"),
            summary="Harbours and their tides.",
            example=f"{__name__}:example_harbours",
        )
    ]


@geobind.hookimpl
def geobind_losses():
    return [
        geobind.LossSpec(name="pull", config=PullConfig, build=f"{__name__}:build_pull", summary="A softmax loss."),
    ]


@geobind.hookimpl
def geobind_recipes():
    return [
        geobind.RecipeSpec(
            name="tides", path=str(Path(__file__).resolve().with_name("tides.yaml")), summary="Tides to harbours."
        )
    ]


def example_tide(index):
    import numpy as np

    return np.random.default_rng(index).normal(size=4).astype("float32")


def example_harbour(index):
    return f"Port Number {index}"


def preview_tide(item):
    return " ".join(f"{level:.1f} m" for level in item)


def sound_of_tide(item):
    return b"RIFF\0\0\0\0WAVE"


def build_tide(config):
    import torch

    class Tide(geobind.Encoder):
        embed_dim = config.width

        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, config.width)

        def preprocess(self, item, *, train, generator=None):
            return {"levels": torch.as_tensor(item)}

        def forward(self, batch):
            return self.layer(batch["levels"])

    return Tide()


def build_harbour(config):
    import torch

    class Letters(geobind.Encoder):
        embed_dim = config.width

        def __init__(self):
            super().__init__()
            self.letters = torch.nn.EmbeddingBag(256, config.width)

        def preprocess(self, item, *, train, generator=None):
            return {"letters": torch.tensor(list(item.encode()[:64].ljust(64)))}

        def forward(self, batch):
            return self.letters(batch["letters"])

    return Letters()


def example_harbours(folder):
    import numpy as np

    lines = ["id,lat,lon,split"]
    for row, split in enumerate(["train"] * 4 + ["val", "test"]):
        np.save(folder / f"h{row}.npy", example_tide(row))
        lines.append(f"h{row},{10 * row - 20},{30 * row - 170},{split}")
    (folder / "harbours.csv").write_text("\n".join(lines) + "\n")
    return {"root": str(folder)}


def read_rows(table):
    import csv

    from geobind.data.geo import check_lat_lon

    fix = "Mend the table."
    if not table.is_file():
        raise geobind.DataError("there is no table", where=str(table), fix=fix)
    try:
        rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    except ValueError as error:
        raise geobind.DataError(f"the table is no text: {error}", where=str(table), fix=fix) from error
    if not rows:
        raise geobind.DataError("the table is empty", where=str(table), fix=fix)
    for line, row in enumerate(rows, start=2):
        if list(row) != ["id", "lat", "lon", "split"] or row["split"] not in ("train", "val", "test"):
            raise geobind.DataError("the row makes no sense", where=f"{table}:{line}", fix=fix)
        check_lat_lon(row["lat"], row["lon"], where=f"{table}:{line}")
    if len({row["id"] for row in rows}) < len(rows):
        raise geobind.DataError("two rows have the same id", where=str(table), fix=fix)
    return rows


def read_levels(config, ids, index):
    import numpy as np

    path = config.root / f"{ids[index]}.npy"
    fix = "Replace or drop it."
    try:
        levels = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise geobind.DataError(f"{str(path)!r} cannot be read: {error}", fix=fix) from error
    return levels * np.float32(config.scale)


def read_name(ids, index):
    return f"Port {ids[index]}"


def build_harbours(config):
    import hashlib

    import numpy as np

    rows = read_rows(config.root / "harbours.csv")

    class Harbours(geobind.Dataset):
        modalities = ("tide", "harbour")

        @property
        def fingerprint(self):
            parts = [path.read_bytes() for path in sorted(config.root.iterdir())]
            return hashlib.sha256(b"\n".join([repr(config.scale).encode(), *parts])).hexdigest()[:16]

        def items(self, modality, split):
            if modality not in self.modalities:
                raise geobind.DataError(f"there is no {modality!r}", fix="Known: tide, harbour.")
            own = [row for row in rows if row["split"] == split]
            ids = [row["id"] for row in own]
            loaders = {"tide": partial(read_levels, config, ids), "harbour": partial(read_name, ids)}
            return geobind.Items(
                modality=modality,
                load=loaders[modality],
                place=np.array(ids, dtype=str),
                key=np.array([f"{name}-{config.scale}" for name in ids], dtype=str),
                lat_lon=np.array([(row["lat"], row["lon"]) for row in own], dtype="float64").reshape(-1, 2),
            )

        def origin(self, a, b):
            return "made up for tests"

    return Harbours()


def build_pull(config):
    import torch
    from torch.nn.functional import log_softmax

    class Pull(geobind.Loss):
        def __init__(self):
            super().__init__()
            self.log_scale = torch.nn.Parameter(-torch.tensor(config.sharpness.temperature).log())

        def forward(self, anchor, modality, positives):
            logits = anchor @ modality.T * self.log_scale.exp()
            targets = positives.mask().float()
            rows = log_softmax(logits, 1) * targets / targets.sum(1, keepdim=True)
            columns = log_softmax(logits, 0) * targets / targets.sum(0, keepdim=True)
            return -(rows.sum(1).mean() + columns.sum(0).mean()) / 2

        def clamp(self):
            with torch.no_grad():
                self.log_scale.clamp_(0, 4.6)

        def report(self):
            return {"temperature": (-self.log_scale).exp().item()}

    return Pull()

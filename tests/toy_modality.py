"""A one-file plugin for tests: two modalities of small vectors that share a hidden position per place."""

from __future__ import annotations

import geobind


class ToyConfig(geobind.Config):
    width: int = 16
    """Width of the features."""
    noise: float = 0.0
    """Standard deviation of the augmentation."""
    pretrained: bool = False
    """Claim pretrained weights."""


class ToyDataConfig(geobind.Config):
    places: int = 200
    """Number of places."""
    seed: int = 0
    """Seed."""
    bad: int = -1
    """Row whose item cannot be read."""
    bad_in: str = "toy_"
    """Beginning of the names of the modalities that it is bad in."""


@geobind.hookimpl
def geobind_modalities():
    return [
        geobind.ModalitySpec(name="toy_a", item="array [6]", summary="The anchor of the tests"),
        geobind.ModalitySpec(name="toy_b", item="array [6]", summary="A modality of the tests"),
        geobind.ModalitySpec(name="toy_c", item="array [6]", summary="Another modality of the tests"),
    ]


@geobind.hookimpl
def geobind_encoders():
    return [
        geobind.EncoderSpec(name=name, modality=f"toy_{m}", config=ToyConfig, build=f"toy_modality:build_{name}")
        for m in "abc"
        for name in ("toy", "toy_deep")
    ] + [
        geobind.EncoderSpec(
            name="toy_both", modality=("toy_b", "toy_c"), config=ToyConfig, build="toy_modality:build_toy_deep"
        )
    ]


@geobind.hookimpl
def geobind_datasets():
    return [
        geobind.DatasetSpec(
            name="toy", modalities=("toy_a", "toy_b", "toy_c"), config=ToyDataConfig, build="toy_modality:build_dataset"
        )
    ]


def build_toy(config, blocks=0):
    import torch
    from torch import nn

    class Toy(geobind.Encoder):
        throughput_batch = 32

        def __init__(self):
            super().__init__()
            self.embed_dim = config.width
            self.net = nn.Sequential(nn.Linear(6, config.width), nn.BatchNorm1d(config.width), nn.Dropout(0.1))
            self.deep = nn.Sequential(*(nn.Linear(config.width, config.width) for _ in range(blocks)))

        def load_pretrained(self):
            return "made up" if config.pretrained else "random"

        def preprocess(self, item, *, train, generator=None):
            x = torch.as_tensor(item, dtype=torch.float32)
            if train:
                x = x + config.noise * torch.randn(x.shape, generator=generator)
            return {"x": x}

        def forward(self, batch):
            return self.deep(self.net(batch["x"]))

        def describe_preprocessing(self):
            return {"noise": config.noise}

    return Toy()


def build_toy_deep(config):
    return build_toy(config, blocks=3)


def build_dataset(config):
    import numpy as np

    class ToyData(geobind.Dataset):
        modalities = ("toy_a", "toy_b", "toy_c")
        fingerprint = f"toy-{config.places}-{config.seed}"

        def __init__(self):
            rng = np.random.default_rng(config.seed)
            hidden = rng.normal(size=(config.places, 6)).astype("f4")
            self.values = {m: np.tanh(hidden @ rng.normal(size=(6, 6)).astype("f4")) for m in self.modalities}

        def content(self, modality, row):
            return f"{modality}-{config.places}-{config.seed}-{row}-{self.is_bad(modality, row)}"

        def is_bad(self, modality, row):
            return row == config.bad and modality.startswith(config.bad_in)

        def load(self, modality, rows, index):
            if self.is_bad(modality, rows[index]):
                raise geobind.DataError(f"row {config.bad} is bad", where="toy")
            return self.values[modality][rows[index]]

        def items(self, modality, split):
            from functools import partial

            cut = config.places * 7 // 10
            rows = np.arange(config.places)
            rows = {"train": rows[:cut], "val": rows[cut : cut + 20], "test": rows[cut + 20 :]}[split]
            return geobind.Items(
                modality=modality,
                load=partial(self.load, modality, rows),
                place=rows.astype(str),
                key=np.array([self.content(modality, row) for row in rows]),
            )

        def origin(self, a, b):
            return "made up for tests"

    return ToyData()

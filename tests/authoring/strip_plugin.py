"""A one-file plugin with a sound encoder, of which the tests make mutants by editing its text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

import geobind


class StripConfig(geobind.Config):
    width: int = 16
    """Width of the layers."""
    noise: float = 0.1
    """Standard deviation of the augmentation."""


@geobind.hookimpl
def geobind_modalities():
    return [
        geobind.ModalitySpec(
            name=__name__, item="float array [n, 4]", units="1", summary="Strips", example=f"{__name__}:example"
        )
    ]


@geobind.hookimpl
def geobind_encoders():
    return [
        geobind.EncoderSpec(
            name="net", modality=__name__, config=StripConfig, build=f"{__name__}:Net", summary="A small network"
        )
    ]


def strip(index):
    return np.random.default_rng(index).normal(size=(3 + index % 4, 4)).astype("f4")


def strip_file(index):
    path = Path(__file__).with_name(f"{index}.npy")
    np.save(path, strip(index))
    return path


def example(index):
    return strip(index)


def read(item):
    if isinstance(item, Path):
        try:
            item = np.load(item)
        except (OSError, ValueError, EOFError) as error:
            raise geobind.DataError(f"{item} cannot be read: {error}", fix="Replace or drop it.") from error
    if not isinstance(item, np.ndarray):
        raise geobind.DataError(f"{item!r} is no strip", fix="Give a float array [n, 4].")
    if not len(item):
        raise geobind.DataError("a strip has no rows", fix="Drop it.")
    if np.isnan(item).all():
        raise geobind.DataError("a strip holds no number", fix="Drop it.")
    if not np.isfinite(item).all():
        raise geobind.DataError("a strip has gaps", fix="Fill them.")
    return item


class Net(geobind.Encoder):
    def __init__(self, config):
        super().__init__()
        self.embed_dim = config.width
        self.noise = config.noise
        self.register_buffer("scale", torch.rand(4) + 0.5)
        self.inner = nn.Sequential(nn.Linear(4, config.width), nn.GELU(), nn.Dropout(0.1))
        self.norm = nn.BatchNorm1d(config.width)
        self.outer = nn.Linear(config.width, config.width)

    def preprocess(self, item, *, train, generator=None):
        x = torch.from_numpy(read(item).copy())
        if train:
            x = x + self.noise * torch.randn(x.shape, generator=generator)
        return {"x": x}

    def collate(self, samples):
        if not samples:
            raise geobind.DataError("a batch without samples", fix="Give one item at least.")
        rows = [sample["x"] for sample in samples]
        return {"x": pad_sequence(rows, batch_first=True), "length": torch.tensor([len(x) for x in rows])}

    def forward(self, batch):
        x, length = batch["x"], batch["length"]
        inside = torch.arange(x.shape[1], device=x.device) < length[:, None]
        features = self.inner(x * self.scale) * inside[:, :, None]
        pooled = self.norm(features.sum(dim=1) / length[:, None])
        out = self.outer(F.gelu(pooled))
        return out  # noqa: RET504 - mutants put something in between

    def describe_preprocessing(self):
        return {"noise": self.noise}

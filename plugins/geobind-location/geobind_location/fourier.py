"""A location encoder to train from nothing: Fourier features of the point on the unit sphere, and an MLP.

Random Fourier features: Rahimi & Recht 2007; Tancik et al. 2020, arXiv:2006.10739. Taken in space, not in degrees, they
know no date line and no poles. Shapes: B places, E = ``embed_dim``.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from geobind import Encoder
from geobind.data.geo import EARTH_RADIUS_KM
from geobind.encoder import Batch
from geobind_location import FourierConfig
from geobind_location.coordinates import read_lat_lon


class Fourier(Encoder):
    """``cos`` and ``sin`` of random plane waves through the sphere → MLP.

    Positions and phases are float64: at wavelengths of some km a phase is thousands of radians, of which bfloat16
    autocast, which leaves float64 alone, would keep nothing.
    """

    throughput_batch = 1024

    def __init__(self, config: FourierConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_dim = config.embed_dim
        generator = torch.Generator().manual_seed(config.seed)
        waves_per_radius = [EARTH_RADIUS_KM / wavelength for wavelength in config.wavelengths_km]
        shape = (config.features, 3)
        draws = [torch.randn(shape, generator=generator, dtype=torch.float64) * k for k in waves_per_radius]
        self.frequencies: Tensor
        self.register_buffer("frequencies", torch.cat(draws))
        widths = [2 * len(self.frequencies), *[config.width] * config.layers]
        hidden = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.GELU())]
        self.mlp = nn.Sequential(*hidden, nn.Linear(config.width, config.embed_dim))

    def preprocess(self, item: Any, *, train: bool, generator: torch.Generator | None = None) -> Batch:
        """``xyz [3]`` on the unit sphere, float64; when training, ``jitter_km`` away.

        Raises:
            DataError: Not a location.
        """
        lat, lon = map(math.radians, read_lat_lon(item))
        xyz = torch.tensor(
            [math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)], dtype=torch.float64
        )
        if train and self.config.jitter_km:
            step = torch.randn(3, generator=generator, dtype=torch.float64)
            # A step in space, brought back to the sphere: the same in every direction, at the poles as elsewhere.
            xyz = nn.functional.normalize(xyz + step * self.config.jitter_km / EARTH_RADIUS_KM, dim=0)
        return {"xyz": xyz}

    def forward(self, batch: Batch) -> Tensor:
        """``xyz [B, 3]`` → ``[B, E]``."""
        phase = 2 * torch.pi * batch["xyz"].double() @ self.frequencies.double().T
        embedding: Tensor = self.mlp(torch.cat((phase.cos(), phase.sin()), dim=1).float())
        return embedding

    def describe_preprocessing(self) -> dict[str, Any]:
        """How coordinates go in."""
        return {
            "coordinates": "(lat, lon) degrees, WGS84, as a point on the unit sphere",
            "wavelengths_km": list(self.config.wavelengths_km),
            "training": f"normal jitter of {self.config.jitter_km:g} km per axis",
        }


def build(config: FourierConfig) -> Fourier:
    """The encoder with random weights; it has no others."""
    return Fourier(config)

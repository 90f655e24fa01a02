"""GeoCLIP's location encoder (Vivanco Cepeda et al. 2023, arXiv:2309.16020), out of the package geoclip.

Shapes: B places.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from geobind import Encoder, needs
from geobind.encoder import Batch
from geobind.weights import load_torch
from geobind_location import GeoclipConfig, weights
from geobind_location.coordinates import read_lat_lon


class Geoclip(Encoder):
    """Equal Earth projection → random Fourier features at three scales → an MLP each → sum: 512-d.

    Coordinates, projection and phases are float64, where GeoCLIP itself has float32: at the finest scale a phase is
    thousands of radians. Rounding moves a pretrained unit-norm embedding by 1e-5 from batch to batch; under bfloat16
    autocast, which leaves float64 alone, the cosine to the exact one falls to 0.54.
    """

    embed_dim = 512
    throughput_batch = 1024

    def __init__(self, config: GeoclipConfig) -> None:
        super().__init__()
        self.pretrained = config.pretrained
        module = _location_encoder()
        self.project = module.equal_earth_projection
        self.encoder = module.LocationEncoder(from_pretrained=False)
        for capsule in self.encoder.children():
            # The frequencies are frozen parameters there; as buffers no trainer ever thaws them.
            features = capsule.capsule[0]
            frequencies = features.b.detach()
            del features.b
            features.register_buffer("b", frequencies)

    def load_pretrained(self) -> str:
        """Load the weights of the installed package, checked against their hash.

        Raises:
            WeightsError: The package has another version, or its file is altered.
        """
        if not self.pretrained:
            return "random"
        self.encoder.load_state_dict(load_torch(weights.geoclip_file()))
        return f"MP-16 (geoclip {weights.VERSION})"

    def preprocess(self, item: Any, *, train: bool, generator: torch.Generator | None = None) -> Batch:
        """``lat_lon [2]`` in degrees, float64.

        Raises:
            DataError: Not a location.
        """
        return {"lat_lon": torch.tensor(read_lat_lon(item), dtype=torch.float64)}

    def blocks(self) -> Sequence[nn.Module]:
        """None: its networks stand side by side, one per scale, so that no one is above another."""
        return []

    def forward(self, batch: Batch) -> Tensor:
        """``lat_lon [B, 2]`` → ``[B, 512]``."""
        position = self.project(batch["lat_lon"].double())
        total = torch.zeros(len(position), self.embed_dim, device=position.device)
        for capsule in self.encoder.children():
            frequencies, layers = capsule.capsule[0].b, capsule.capsule[1:]
            phase = 2 * torch.pi * position @ frequencies.double().T
            total = total + capsule.head(layers(torch.cat((phase.cos(), phase.sin()), dim=1).float()))
        return total

    def describe_preprocessing(self) -> dict[str, Any]:
        """How coordinates go in."""
        return {"coordinates": "(lat, lon) degrees, WGS84", "projection": "Equal Earth, as in GeoCLIP"}


def build(config: GeoclipConfig) -> Geoclip:
    """The encoder with random weights and frequencies."""
    return Geoclip(config)


def _location_encoder() -> ModuleType:
    with needs("geoclip", "pip install 'geobind-location[geoclip]'"), warnings.catch_warnings():
        # geoclip 1.3 decorates its Fourier features with it; newer torch warns.
        warnings.filterwarnings("ignore", ".*torch.jit.script")
        return import_module("geobind_location.geoclip_model.location_encoder")

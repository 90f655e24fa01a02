"""Where the weights of GeoCLIP's location encoder lie on this machine. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from geobind.weights import package_file
from geobind_location import GeoclipConfig

PACKAGE, VERSION = "geoclip", "1.3.0"
FILE = "geoclip/model/weights/location_encoder_weights.pth"
SHA256 = "94b80ae3af89fca78539e129dd2929d321247f5ceeeb0a31bc2c31041a253394"


def geoclip_file() -> Path:
    """The checkpoint.

    Raises:
        WeightsError: The package is absent or another version, or the file is altered.
    """
    return package_file(PACKAGE, VERSION, FILE, SHA256)


def of_geoclip(config: GeoclipConfig) -> str:
    """Where ``geoclip`` has its weights from.

    Raises:
        WeightsError: They are not there.
    """
    return str(geoclip_file()) if config.pretrained else "random"

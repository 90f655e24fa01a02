"""EfficientNet-Lite0 with ImageNet weights out of a package: real features where nothing can be downloaded.

Tan & Le, arXiv 1905.11946; the Lite variants drop squeeze-and-excitation and use ReLU6.
"""

from __future__ import annotations

from torch import nn

import geobind
from geobind.weights import load_torch
from geobind_satellite import EfficientNetLite0Config, weights
from geobind_satellite.checkpoints import fill
from geobind_satellite.images import View
from geobind_satellite.timm import TimmEncoder

with geobind.needs("timm", "pip install timm"):
    import timm

CLASSIFIER_TENSORS = 2


class EfficientNetLite0(TimmEncoder):
    """1280 average-pooled features."""

    # Measured on two CPU cores: larger batches fall out of the cache and are slower.
    throughput_batch = 16

    def __init__(self, config: EfficientNetLite0Config, net: nn.Module) -> None:
        # TensorFlow's normalisation of the Lite models, (x - 127) / 128.
        mean, std = (127 / 255,) * 3, (128 / 255,) * 3
        super().__init__(View(size=config.image_size, mean=mean, std=std), config.augment, net)
        self.pretrained = config.pretrained

    def load_pretrained(self) -> str:
        """ImageNet weights, TensorFlow's original ones converted.

        The file names its tensors as another implementation does, in the order timm has them.
        """
        if not self.pretrained:
            return "random"
        values = list(load_torch(weights.efficientnet_file()).values())[:-CLASSIFIER_TENSORS]
        phrase = f"ImageNet ({weights.PACKAGE} {weights.VERSION})"
        fill(self.net, dict(zip(self.net.state_dict(), values, strict=True)), source=phrase)
        return phrase


def build(config: EfficientNetLite0Config) -> EfficientNetLite0:
    """The network with random weights."""
    # The tf_ variant pads as TensorFlow does, which is what the weights were trained with.
    return EfficientNetLite0(config, timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0))

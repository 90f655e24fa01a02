"""YAMNet: MobileNet v1 on log-mel patches (github.com/tensorflow/models, research/audioset/yamnet).

Shapes: P patches of 96 frames × 64 mel bands.
"""

from __future__ import annotations

import math
import textwrap
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geobind import WeightsError
from geobind.weights import existing, file_sha256
from geobind_audio import YamnetConfig
from geobind_audio.decode import Samples
from geobind_audio.mel import LogMel
from geobind_audio.windows import WindowedEncoder

RATE = 16_000
PATCH_FRAMES, PATCH_HOP_FRAMES = 96, 48
MIN_SAMPLES = 15_600
"""Samples of one patch: 95 hops of 160 and a frame of 400."""
PATCH_HOP_SAMPLES = 160 * PATCH_HOP_FRAMES
CHANNELS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
"""Output channels of the depthwise-separable layers 2 … 14."""
HALVING = (3, 5, 7, 13)
"""Layers beside the first that halve the picture."""


class SameConv(nn.Conv2d):
    """3 × 3 convolution with TensorFlow's SAME padding, then ReLU; batch norm is folded into the weights.

    At stride 2 an even picture is padded right and below only, where torch's ``padding=1`` would shift it.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``[P, C, H, W]`` → ``[P, C', H / stride, W / stride]``."""
        before = 0 if self.stride[0] == 2 else 1
        return F.relu(super().forward(F.pad(x, (before, 1, before, 1))))


class Yamnet(WindowedEncoder):
    """The 1024-d layer below YAMNet's classifier, averaged over patches."""

    embed_dim = 1024
    throughput_batch = 4  # some 40 patches stay in a CPU's cache: measured three times as fast as 320
    filling = "padded with zeros to whole patches of 0.96 s, as YAMNet does"

    def __init__(self, config: YamnetConfig) -> None:
        super().__init__(rate=RATE, seconds=config.seconds, windows=config.windows)
        self.weights = config.weights
        self.log_mel = LogMel(RATE, 64, 125, 7500)
        layers: OrderedDict[str, nn.Module] = OrderedDict(layer1=SameConv(1, 32, 3, stride=2))
        width = 32
        for number, channels in enumerate(CHANNELS, start=2):
            depthwise = SameConv(width, width, 3, stride=2 if number in HALVING else 1, groups=width)
            pointwise = nn.Conv2d(width, channels, 1)
            layers[f"layer{number}"] = nn.Sequential(OrderedDict(dw=depthwise, pw=pointwise, relu=nn.ReLU()))
            width = channels
        self.layers = nn.Sequential(layers)
        for module in self.layers.modules():
            if isinstance(module, nn.Conv2d):
                # torch's default would fade the signal to nothing over 27 layers without normalisation.
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def load_pretrained(self) -> str:
        """Fill the layers from the npz that the config names; its classifier and its mel filters are not used.

        The filters there went through 8 bits; the exact ones are computed.

        Raises:
            WeightsError: The file is absent, something else, or of another network.
        """
        if self.weights is None:
            return "random"
        path = self.weights.expanduser()
        arrays = _read_npz(path)
        state = {_state_name(name): array for name, array in arrays.items() if name.startswith("layer")}
        try:
            self.layers.load_state_dict({name: torch.from_numpy(array).float() for name, array in state.items()})
        except RuntimeError as error:
            raise WeightsError(
                f"{str(path)!r} does not hold YAMNet: {textwrap.shorten(str(error), 300)}",
                fix="Give yamnet_dequantised_fp16.npz.",
            ) from error
        return f"AudioSet (YAMNet, {path.name}, SHA-256 {file_sha256(path)[:12]})"

    def features(self, samples: Samples) -> Tensor:
        """Overlapping log-mel patches ``[P, 96, 64]``, one every 0.48 s."""
        hops = max(0, math.ceil((len(samples) - MIN_SAMPLES) / PATCH_HOP_SAMPLES))
        padded = np.pad(samples, (0, MIN_SAMPLES + hops * PATCH_HOP_SAMPLES - len(samples)))
        return self.log_mel(padded).unfold(0, PATCH_FRAMES, PATCH_HOP_FRAMES).transpose(1, 2).contiguous()

    def embed(self, inputs: Tensor) -> Tensor:
        """Patches ``[P, 96, 64]`` → ``[P, 1024]``."""
        features: Tensor = self.layers(inputs[:, None])
        return features.mean(dim=(2, 3))

    def describe_preprocessing(self) -> dict[str, Any]:
        """The window policy and the patches inside a window."""
        patches = {"features": "log-mel, 64 bands 125-7500 Hz", "patch_seconds": 0.96, "patch_hop_seconds": 0.48}
        return super().describe_preprocessing() | patches


def build(config: YamnetConfig) -> Yamnet:
    """YAMNet with random weights."""
    return Yamnet(config)


def _read_npz(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    existing(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, OSError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{str(path)!r} is not an npz of plain arrays: {error}", fix="Download it again.") from error


def _state_name(name: str) -> str:
    """``layer2.dw.w`` → ``layer2.dw.weight``."""
    layer, _, kind = name.rpartition(".")
    return f"{layer}.{'weight' if kind == 'w' else 'bias'}"

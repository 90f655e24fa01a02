"""Patches of any bands (DOFA, arXiv 2403.15356 §3; GeoLangBind, arXiv 2503.06312).

Shapes: B batch, C bands, k side of a patch, T patches, d width of a token, M = 128 width of a code.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geobind_sensors.wavelengths import wavelength_code

CODE_DIM = 128
WEIGHT_TOKENS = 128
HEADS = 4
FEED_FORWARD = 2048
KERNEL_SCALE = 0.01
"""What the generator gives is multiplied by this."""


class CodeMlp(nn.Module):
    """Two layers beside the code of a wavelength."""

    def __init__(self) -> None:
        super().__init__()
        self.w1 = nn.Linear(CODE_DIM, CODE_DIM)
        self.w2 = nn.Linear(CODE_DIM, CODE_DIM)

    def forward(self, codes: Tensor) -> Tensor:
        """``[C, M]`` → ``[C, M]``."""
        return codes + F.relu(self.w2(F.relu(self.w1(codes))))


class KernelGenerator(nn.Module):
    """A small transformer over the codes of all bands, which gives each a kernel, and all of them one bias."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.weight_tokens = nn.Parameter(torch.empty(WEIGHT_TOKENS, CODE_DIM))
        self.bias_token = nn.Parameter(torch.empty(1, CODE_DIM))
        layer = nn.TransformerEncoderLayer(CODE_DIM, HEADS, FEED_FORWARD, dropout=0.0, activation="gelu")
        self.transformer_encoder = nn.TransformerEncoder(layer, num_layers=1, enable_nested_tensor=False)
        self.fc_weight = nn.Linear(CODE_DIM, patch * patch * width)
        self.fc_bias = nn.Linear(CODE_DIM, width)

    def mix(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """What kernels and bias are linear in: ``[C, M]`` and ``[M]``, from codes ``[C, M]``.

        Bands have no position here: in another order they give the same in that order.
        """
        mixed = self.transformer_encoder(torch.cat([self.weight_tokens, codes, self.bias_token]))
        return mixed[WEIGHT_TOKENS:-1] + codes, mixed[-1]

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Kernels ``[C, k·k·d]`` and bias ``[d]`` from codes ``[C, M]``."""
        bands, rest = self.mix(codes)
        return _scaled(self.fc_weight, bands), _scaled(self.fc_bias, rest)


def _scaled(layer: nn.Linear, inputs: Tensor) -> Tensor:
    """The layer's output times the scale, which is put into what goes in: of that there is far less."""
    return F.linear(KERNEL_SCALE * inputs, layer.weight, KERNEL_SCALE * layer.bias)


class DynamicPatchEmbed(nn.Module):
    """Stands where a timm ViT has its patch embedding, and takes ``(pixels, wavelengths)`` for pixels.

    Args:
        img_size: Side of the square in pixels.
        patch_size: Side of a patch, k.
        embed_dim: Width of a token, d.
        padding: Rows and columns of 0 around the image.
        told: Whether the wavelengths count; every band has the same code otherwise.
        _: What else timm says to a patch embedding.
    """

    def __init__(
        self, img_size: int, patch_size: int, embed_dim: int, *, padding: int = 0, told: bool = True, **_: Any
    ) -> None:
        super().__init__()
        self.patch, self.width, self.padding, self.told = patch_size, embed_dim, padding, told
        side = (img_size + 2 * padding) // patch_size
        self.grid_size = (side, side)
        self.num_patches = side * side
        self.weight_generator = KernelGenerator(patch_size, embed_dim)
        self.fclayer = CodeMlp()

    def init_weights(self) -> None:
        """Draw random weights; timm calls this after it has drawn those of the layers inside its own way."""
        generator = self.weight_generator
        nn.init.normal_(generator.weight_tokens, std=0.02)
        nn.init.normal_(generator.bias_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def codes(self, wavelengths: Tensor) -> Tensor:
        """``[C, M]`` of wavelengths ``[C]`` in µm."""
        told = wavelengths if self.told else torch.zeros_like(wavelengths)
        codes = wavelength_code(told, CODE_DIM).to(self.weight_generator.weight_tokens.dtype)
        return self.fclayer(codes)  # type: ignore[no-any-return]

    def kernels(self, wavelengths: Tensor) -> tuple[Tensor, Tensor]:
        """Kernels ``[C, k, k, d]`` and bias ``[d]`` of bands with these wavelengths ``[C]`` in µm."""
        kernels, bias = self.weight_generator(self.codes(wavelengths))
        return kernels.view(-1, self.patch, self.patch, self.width), bias

    def cut(self, pixels: Tensor) -> Tensor:
        """The patches ``[B, T, C·k·k]``, rows first, of pixels ``[B, C, H, W]``."""
        (rows, columns), k = self.grid_size, self.patch
        if self.padding:
            pixels = F.pad(pixels, [self.padding] * 4)
        whole = pixels[..., : rows * k, : columns * k].reshape(*pixels.shape[:2], rows, k, columns, k)
        return whole.permute(0, 2, 4, 1, 3, 5).reshape(len(pixels), rows * columns, -1)

    def forward(self, bands: tuple[Tensor, Tensor]) -> Tensor:
        """Tokens ``[B, T, d]``, rows first, of pixels ``[B, C, H, W]`` with wavelengths ``[C]`` in µm."""
        pixels, wavelengths = bands
        kernels, bias = self.kernels(wavelengths)
        # A convolution by whole patches is one product, and kernels are made in its order: with 202 bands twice as
        # fast on a CPU as a convolution, which has to turn them over first.
        return F.linear(self.cut(pixels), kernels.flatten(0, 2).mT, bias)

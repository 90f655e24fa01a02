"""Begin as a ViT for pictures: its trunk as it is, and a generator fitted to its patch kernels.

Shapes: d width of a token, k side of a patch, M width of a code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from geobind_satellite.checkpoints import fill
from geobind_satellite.images import View
from timm.layers.patch_embed import resample_patch_embed
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from geobind.errors import RecipeError, WeightsError
from geobind_sensors.vit import OpenClipStart, TimmStart
from geobind_sensors.vit.patches import KERNEL_SCALE, DynamicPatchEmbed
from geobind_sensors.vit.views import rgb_bands

if TYPE_CHECKING:
    from geobind_sensors.vit.encoder import DynamicVit

Weights = dict[str, Tensor]

PREFIX_TOKENS = ("cls_token", "reg_token")
OPEN_CLIP_NAMES = (
    ("conv1.", "patch_embed.proj."),
    ("positional_embedding", "pos_embed"),
    ("class_embedding", "cls_token"),
    ("ln_pre.", "norm_pre."),
    ("ln_post.", "norm."),
    ("transformer.resblocks.", "blocks."),
    (".ln_", ".norm"),
    (".ls_", ".ls"),
    (".attn.in_proj_", ".attn.qkv."),
    (".attn.out_proj.", ".attn.proj."),
    (".mlp.c_fc.", ".mlp.fc1."),
    (".mlp.c_proj.", ".mlp.fc2."),
)
"""OpenCLIP's names of what timm calls otherwise."""
ACTIVATIONS = {"GELU": "gelu", "GELUTanh": "gelu_tanh", "QuickGELU": "quick_gelu"}
"""timm's classes by our words."""


@dataclass(frozen=True, slots=True)
class Source:
    """A ViT for pictures with its weights."""

    weights: Weights
    """By timm's names; its position embeddings are ``[1, T, d]``."""
    heads: int
    activation: str
    view: View
    phrase: str
    """Where its weights come from."""


def load_start(encoder: DynamicVit, start: TimmStart | OpenClipStart) -> str:
    """Fill an encoder from another ViT, as :func:`begin_as` does.

    Raises:
        RecipeError: The source is no plain ViT, or has other sizes; the keys to change are named.
        WeightsError: Its weights are missing or altered.
    """
    return begin_as(encoder, _from_timm(start) if isinstance(start, TimmStart) else _from_open_clip(start))


def begin_as(encoder: DynamicVit, source: Source) -> str:
    """Fill an encoder from another ViT; a phrase on where the weights come from.

    The trunk is taken as it is, less class and register tokens; layer scale is multiplied into the weights. The last
    layer of the kernel generator is the one of least norm that gives red, green and blue the kernels of the source
    exactly, and with them pictures the same tokens; any other band gets a mixture of the three kernels, by how near
    its code is to theirs. The rest of the generator is random.

    Raises:
        RecipeError: The source has other sizes.
        WeightsError: It lacks tensors of a plain ViT, or has more.
    """
    weights = dict(source.weights)
    check_shape(encoder, weights, source.phrase, heads=source.heads, activation=source.activation)
    kernel = weights.pop("patch_embed.proj.weight")
    bias = weights.pop("patch_embed.proj.bias", kernel.new_zeros(len(kernel)))
    dropped = [name for name in PREFIX_TOKENS if weights.pop(name, None) is not None]
    if encoder.config.pool == "mean":
        weights = {name: value for name, value in weights.items() if not name.startswith("attn_pool.")}
    weights = without_layer_scale(weights)
    embed = encoder.trunk.patch_embed
    weights["pos_embed"] = resampled(weights["pos_embed"], embed.grid_size[0])
    own = {f"patch_embed.{name}": value for name, value in embed.state_dict().items()}
    fill(encoder.trunk, weights | own, source=source.phrase)
    fit_kernels(embed, *for_our_pixels(resample_patch_embed(kernel, [embed.patch] * 2), bias, source.view))
    less = f", without {' and '.join(dropped)}" if dropped else ""
    fitted = (
        "kernels fitted to red, green and blue" if embed.told else "one kernel for all bands, the mean of its three"
    )
    return f"{source.phrase}{less}; {fitted}"


def check_shape(encoder: DynamicVit, weights: Mapping[str, Tensor], phrase: str, **also: Any) -> None:
    """Compare a network's sizes with those that its weights show, by timm's names, and with what is said beside them.

    Raises:
        RecipeError: Some differ; says which keys to set.
        WeightsError: These are not the weights of a ViT with learnt positions.
    """
    first = "blocks.0.mlp.fc1.weight"
    if first not in weights or "pos_embed" not in weights:
        raise WeightsError(f"{phrase} is not a ViT with learnt positions", fix="Begin with another model.")
    config = encoder.config
    hidden, width = weights[first].shape
    numbers = [int(block[1]) for name in weights if (block := re.match(r"blocks\.(\d+)\.", name))]
    found = {"width": width, "depth": max(numbers) + 1, "pre_norm": "norm_pre.weight" in weights, **also}
    ours: dict[str, Any] = dict(zip(("width", "depth", "heads"), config.shape, strict=False))
    ours |= {"pre_norm": config.pre_norm, "activation": config.activation}
    wrong = {key: value for key, value in found.items() if ours[key] != value}
    if int(width * config.shape[3]) != hidden and "width" not in wrong:
        wrong["mlp_ratio"] = math.ceil(1e4 * hidden / width) / 1e4  # rounded down it would give one neuron less
    if config.pool == "map" and "attn_pool.latent" not in weights:
        wrong["pool"] = "mean"
    if wrong:
        told = ", ".join(f"{key}: {str(value).lower()}" for key, value in wrong.items())
        raise RecipeError(f"{phrase} is of another network than the config", fix=f"Set {told}.")


def without_layer_scale(weights: Weights) -> Weights:
    """Multiply the factors of a layer scale (arXiv 2103.17239) into the layers before them, which gives the same."""
    scaled = {name: value for name, value in weights.items() if not re.search(r"\.ls[12]\.gamma$", name)}
    for name in weights.keys() - scaled.keys():
        block, _, number = name.removesuffix(".gamma").rpartition(".ls")
        layer = f"{block}.{'attn.proj' if number == '1' else 'mlp.fc2'}"
        scaled[f"{layer}.weight"] = weights[name][:, None] * scaled[f"{layer}.weight"]
        scaled[f"{layer}.bias"] = weights[name] * scaled[f"{layer}.bias"]
    return scaled


def resampled(positions: Tensor, grid: int) -> Tensor:
    """Position embeddings ``[1, grid², d]`` of those of a square grid, whose class and register tokens are left out."""
    places = math.isqrt(positions.shape[1]) ** 2
    found: Tensor = resample_abs_pos_embed(positions[:, -places:], [grid, grid], num_prefix_tokens=0)
    return found


def for_our_pixels(kernel: Tensor, bias: Tensor, view: View) -> tuple[Tensor, Tensor]:
    """The same patch embedding for pictures that are standardised our way, not the source's.

    Args:
        kernel: ``[d, 3, k, k]`` for pictures standardised as ``view`` says.
        bias: ``[d]``.
        view: The preprocessing of the source.
    """
    ours, theirs = (
        torch.tensor(values, dtype=torch.float64)
        for values in (
            [(band.mean, band.std) for band in rgb_bands()],
            [(255 * mean, 255 * std) for mean, std in zip(view.mean, view.std, strict=True)],
        )
    )
    shift = (ours[:, 0] - theirs[:, 0]) / theirs[:, 1]
    exact = kernel.double()
    return (
        exact * (ours[:, 1] / theirs[:, 1]).view(1, 3, 1, 1),
        bias.double() + (exact.sum(dim=(2, 3)) * shift).sum(dim=1),
    )


@torch.no_grad()
def fit_kernels(embed: DynamicPatchEmbed, kernel: Tensor, bias: Tensor) -> None:
    """Set the last layers of the generator so that red, green and blue get ``kernel [d, 3, k, k]`` and ``bias [d]``.

    Least squares of least norm, weights and biases together; exact unless all bands have one code.
    """
    generator = embed.weight_generator
    wavelengths = torch.tensor([band.wavelength for band in rgb_bands()], device=generator.fc_weight.weight.device)
    bands, rest = generator.mix(embed.codes(wavelengths))
    for layer, given, wanted in (
        (generator.fc_weight, bands, kernel.permute(1, 2, 3, 0).flatten(1)),
        (generator.fc_bias, rest[None], bias[None]),
    ):
        rows = torch.cat([given.double(), given.new_ones(len(given), 1).double()], dim=1)
        solution = torch.linalg.pinv(rows) @ (wanted.to(rows) / KERNEL_SCALE)
        layer.weight.copy_(solution[:-1].T)
        layer.bias.copy_(solution[-1])


def _from_timm(start: TimmStart) -> Source:
    from geobind_satellite.timm import build

    tower = build(start.tower)
    phrase = tower.load_pretrained()
    return _of_trunk(tower.net, tower.view, phrase, start.model)


def _from_open_clip(start: OpenClipStart) -> Source:
    from geobind_satellite.open_clip import build_image

    tower = build_image(start.tower)
    phrase = tower.load_pretrained()
    if hasattr(tower.visual, "trunk"):
        return _of_trunk(tower.visual.trunk, tower.view, phrase, start.model)
    if not hasattr(tower.visual, "transformer"):
        raise _no_vit(start.model, type(tower.visual).__name__)
    weights = open_clip_as_timm(tower.visual.state_dict())
    heads = tower.visual.transformer.resblocks[0].attn.num_heads
    return Source(weights, heads, "quick_gelu" if tower.clip.quick_gelu else "gelu", tower.view, phrase)


def open_clip_as_timm(weights: Mapping[str, Tensor]) -> Weights:
    """The weights of OpenCLIP's own ``VisionTransformer`` by timm's names; the projection is left out."""
    renamed: Weights = {}
    for name, value in weights.items():
        for theirs, ours in OPEN_CLIP_NAMES:
            name = name.replace(theirs, ours)
        renamed[name] = value[None] if name == "pos_embed" else value
    renamed.pop("proj", None)
    return renamed


def _of_trunk(net: Any, view: View, phrase: str, name: str) -> Source:
    if type(net) is not VisionTransformer:
        raise _no_vit(name, type(net).__name__)
    block: Any = net.blocks[0]
    activation = type(block.mlp.act).__name__
    return Source(net.state_dict(), block.attn.num_heads, ACTIVATIONS.get(activation, activation), view, phrase)


def _no_vit(model: str, kind: str) -> RecipeError:
    return RecipeError(f"{model!r} is a {kind}, no plain ViT", fix="Begin with a ViT, such as vit_base_patch16_224.")

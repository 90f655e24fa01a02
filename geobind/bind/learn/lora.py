"""Low-rank adapters of an encoder (LoRA, Hu et al., arXiv 2106.09685): put in, trained, merged into its weights.

A weight W acts as W + (α / r) · B A, with A drawn at random and B zero at first. Linear layers and convolutions are
adapted by ``peft``, whose adapters stand beside a layer and work on its input. Attention's own projection matrices, and
linear layers whose owner may read their weight without calling them, are adapted in the weight itself
(:mod:`torch.nn.utils.parametrize`): there ``peft`` would be passed by, or change the weight by rounding at every step
and count the output projection's adapter twice.

Shapes: W ``[O, I]``, A ``[r, I]``, B ``[O, r]``.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from geobind.config import Lora
from geobind.encoder import Encoder
from geobind.errors import RecipeError, needs
from geobind.progress import say

if TYPE_CHECKING:
    from peft import LoraModel

ALL_LINEAR = "all-linear"
PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
"""What :class:`torch.nn.MultiheadAttention`, and attention written after it, calls its input projections."""


class Adapters:
    """The adapters in an encoder, put in on construction; they alone of it require gradients then.

    Args:
        encoder: Changed in place, and without effect on what it computes until the adapters have learnt.
        config: Rank, scale, dropout and targets. What is adapted in the weight itself knows no dropout.

    Raises:
        RecipeError: The targets are no regular expression, or match nothing that can be adapted.
        PluginError: ``peft`` is not installed.
    """

    def __init__(self, encoder: Encoder, config: Lora) -> None:
        layers, weights = _targets(encoder, config.targets)
        encoder.requires_grad_(False)
        self._encoder = encoder
        self._peft = _inject(encoder, layers, config) if layers else None
        self._weights = weights
        for module, name in weights:
            parametrize.register_parametrization(module, name, LowRank(getattr(module, name), config))

    @property
    def dropouts(self) -> list[nn.Module]:
        """The modules that drop out before adapters."""
        return [module.lora_dropout for module in _peft_layers(self._encoder).values()]

    def merge(self) -> None:
        """Add the adapters to the weights and take them out: the encoder's modules and state are plain again."""
        self._tell_idle()
        if self._peft is not None:
            self._peft.merge_and_unload()
        for module, name in self._weights:
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)

    def _tell_idle(self) -> None:
        """Some networks read a layer's weight without calling the layer; an adapter there learns nothing."""
        layers = _peft_layers(self._encoder)
        idle = [name for name, layer in layers.items() if not any(b.weight.any() for b in layer.lora_B.values())]
        if idle and len(idle) < len(layers):
            say(f"lora: {len(idle)} of {len(layers)} adapters learnt nothing, as that of {idle[0]}")


class LowRank(nn.Module):
    """W → W + (α / r) · B A."""

    def __init__(self, weight: Tensor, config: Lora) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.scale = config.alpha / config.rank
        self.A = nn.Parameter(torch.empty(config.rank, inputs))
        self.B = nn.Parameter(torch.zeros(outputs, config.rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))  # as peft draws it, and on the CPU for any device
        self.to(weight.device)

    def forward(self, weight: Tensor) -> Tensor:
        """``[O, I]``."""
        return weight + self.scale * self.B @ self.A


def _targets(encoder: Encoder, targets: str) -> tuple[list[str], list[tuple[nn.Module, str]]]:
    """Names of layers that ``peft`` adapts, and weights that are adapted themselves, as (module, name)."""
    try:
        pattern = re.compile(targets)
    except re.error as error:
        raise RecipeError(f"lora.targets = {targets!r} is no regular expression: {error}") from error
    layers, weights, known = [], [], []
    for name, module in encoder.named_modules():
        linear = isinstance(module, nn.Linear) and module.weight.requires_grad
        own = [key for key in PROJECTIONS if isinstance(getattr(module, key, None), nn.Parameter)]
        if linear and _reads_children(encoder.get_submodule(name.rpartition(".")[0])):
            own = ["weight"]
        if not own and not linear and not _is_plain_convolution(module):
            continue
        known.append(name)
        if not (linear or own if targets == ALL_LINEAR else pattern.fullmatch(name)):
            continue
        weights += [(module, weight) for weight in own]
        if not own:
            layers.append(name)
    if not layers and not weights:
        some = ", ".join(known[:: max(1, len(known) // 8)]) or "none"
        raise RecipeError(
            f"lora.targets = {targets!r} fits no module of {type(encoder).__name__}",
            fix=f"Give a regular expression for the whole names of modules, which are such as: {some}.",
        )
    return layers, weights


def _reads_children(module: nn.Module) -> bool:
    """Whether a module may read its layers' weights past them, and tell what to do by a layer's class.

    Attention and towers that have parameters of their own do; torch's transformer layers do in evaluation mode.
    """
    return isinstance(module, nn.TransformerEncoderLayer) or next(module.parameters(recurse=False), None) is not None


def _is_plain_convolution(module: nn.Module) -> bool:
    """Grouped ones cannot be merged by ``peft``."""
    return isinstance(module, nn.Conv1d | nn.Conv2d) and module.groups == 1 and module.weight.requires_grad


def _inject(encoder: Encoder, layers: list[str], config: Lora) -> LoraModel:
    with needs("peft", "pip install 'geobind[lora]'"):
        from peft import LoraConfig, LoraModel
    settings = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # declared as int, used as a factor
        lora_dropout=config.dropout,
        target_modules=rf"encoder\.({'|'.join(map(re.escape, layers))})",
    )
    # In a holder, because peft reads `.config` of what it is given and encoders have their own.
    return LoraModel(nn.ModuleDict({"encoder": encoder}), settings, "default")


def _peft_layers(encoder: Encoder) -> dict[str, Any]:
    return {name: module for name, module in encoder.named_modules() if hasattr(module, "lora_dropout")}

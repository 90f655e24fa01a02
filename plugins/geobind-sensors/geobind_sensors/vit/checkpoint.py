"""The published GeoLangBind weights, whose image tower has our names under ``visual.trunk.``.

They are open_clip models, both with ``pool: map``: ``earthflow/GeoLB-ViT-B-16-SigLIP`` (``size: base``, patches of 16
in 224 pixels) and ``earthflow/GeoLB-ViT-14-SigLIP-so400m-384-EO`` (``size: so400m``, patches of 14 in 384 pixels).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from geobind_satellite.checkpoints import describe_file, fill, read_state
from torch import Tensor

from geobind.errors import RecipeError, WeightsError
from geobind_sensors.vit import GEOLB_LICENCE, GeolbStart
from geobind_sensors.vit.start import check_shape, resampled
from geobind_sensors.vit.weights import geolb_file

if TYPE_CHECKING:
    from geobind_sensors.vit.encoder import DynamicVit

TRUNK = "visual.trunk."
KERNELS = "patch_embed.weight_generator.fc_weight.bias"
"""One value for each of a kernel."""


def load_geolb(encoder: DynamicVit, start: GeolbStart) -> str:
    """Fill an encoder from a GeoLangBind checkpoint; a phrase on where the weights come from and what was left out.

    Position embeddings are resampled to another image size.

    Raises:
        RecipeError: The config has other sizes; the keys to change are named.
        WeightsError: It is missing, lacks a tensor, or its licence is not accepted.
    """
    path = geolb_file(start)
    source = describe_file(path) if Path(start.checkpoint).exists() else f"GeoLangBind {start.checkpoint}"
    found = read_state(path)
    weights = {name.removeprefix(TRUNK): value for name, value in found.items() if name.startswith(TRUNK)}
    _check_patch(encoder, weights, source)
    check_shape(encoder, weights, source)
    grid = encoder.trunk.patch_embed.grid_size[0]
    weights["pos_embed"] = resampled(weights["pos_embed"], grid)
    wanted = encoder.trunk.state_dict().keys()
    fill(encoder.trunk, {name: weights[name] for name in wanted & weights.keys()}, source=source)
    return f"{source} ({GEOLB_LICENCE}){left_out(name for name in found if name.removeprefix(TRUNK) not in wanted)}"


def left_out(names: Iterable[str]) -> str:
    """``; tensors left out: 1 of logit_scale, 148 of text``, or nothing."""
    parts = Counter(
        TRUNK + name.removeprefix(TRUNK).partition(".")[0] if name.startswith(TRUNK) else name.partition(".")[0]
        for name in names
    )
    told = ", ".join(f"{parts[part]} of {part}" for part in sorted(parts))
    return f"; tensors left out: {told}" if told else ""


def _check_patch(encoder: DynamicVit, weights: Mapping[str, Tensor], source: str) -> None:
    if KERNELS not in weights or "pos_embed" not in weights:
        raise WeightsError(f"{source} holds no GeoLangBind image tower", fix=f"Its tensors begin with {TRUNK}.")
    patch = round((len(weights[KERNELS]) / weights["pos_embed"].shape[2]) ** 0.5)
    if patch != encoder.config.patch:
        raise RecipeError(f"{source} has patches of {patch} pixels", fix=f"Set patch: {patch}.")

"""Any timm network with pooled features. Shapes: B batch, T places, E embedding width, d width of the last layer."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import geobind
from geobind.encoder import Batch
from geobind.errors import RecipeError, WeightsError
from geobind.weights import hub_file
from geobind_satellite import TimmConfig
from geobind_satellite.checkpoints import describe_file, fill, read_state
from geobind_satellite.images import ImageEncoder, View, check_patches

with geobind.needs("timm", "pip install timm"):
    import timm
    from timm.data.config import resolve_model_data_config


class TimmEncoder(ImageEncoder):
    """A timm network whose classifier is taken off."""

    def __init__(self, view: View, augment: str, net: Any) -> None:
        super().__init__(view, augment)
        self.embed_dim = int(net.head_hidden_size)
        self.net: Any = net  # a Module; timm declares no type for what its networks share

    def pixels(self, batch: Batch) -> Tensor:
        """The normalised squares; channels last makes convolutions on a CPU up to half as fast again."""
        return super().pixels(batch).contiguous(memory_format=torch.channels_last)

    def forward(self, batch: Batch) -> Tensor:
        """``[B, E]`` from the squares ``[B, 3, H, W]``."""
        features: Tensor = self.net(self.pixels(batch))
        return features

    def tokens(self, batch: Batch) -> Tensor:
        """Features of the last layer by place ``[B, T, d]``, rows of the picture first."""
        maps: list[Tensor] = self.net.forward_intermediates(
            self.pixels(batch), indices=1, norm=True, intermediates_only=True, output_fmt="NCHW"
        )
        return maps[-1].flatten(2).mT

    def blocks(self) -> list[nn.Module]:
        """Those of all stages, in networks that have stages."""
        return inside_stages(super().blocks())


class PretrainedTimm(TimmEncoder):
    """A network that a recipe names."""

    def __init__(self, config: TimmConfig, view: View, net: Any) -> None:
        super().__init__(view, config.augment, net)
        self.config = config

    def load_pretrained(self) -> str:
        """The weights timm has for the model, or those of a checkpoint."""
        if self.config.pretrained is False:
            return "random"
        if isinstance(self.config.pretrained, str):
            path = Path(self.config.pretrained)
            state, phrase = read_state(path), describe_file(path)
        else:
            repo, name = published(self.config.model)
            state, phrase = read_state(hub_file(repo, name)), f"timm {repo}"
        try:
            filled = _network(self.config, state)
        except (RuntimeError, KeyError) as error:
            raise WeightsError(
                f"{phrase} does not fit {self.config.model!r}: {' '.join(str(error).split()).rstrip('. ')}",
                fix="Name the model that the weights were made for.",
            ) from error
        fill(self.net, filled.state_dict(), source=phrase)
        return phrase


def build(config: TimmConfig) -> PretrainedTimm:
    """The network with random weights, and the preprocessing that timm records for it.

    Raises:
        RecipeError: timm has no such model, or it cannot have that image size.
    """
    net = _network(config, None)
    data = resolve_model_data_config(net)  # type: ignore[no-untyped-call]
    if data["crop_mode"] not in ("center", "squash"):
        raise RecipeError(f"{config.model!r} wants its pictures cropped by {data['crop_mode']!r}", fix="Take another.")
    view = View(
        size=config.image_size or data["input_size"][-1],
        mean=data["mean"],
        std=data["std"],
        interpolation=data["interpolation"],
        fit="squash" if data["crop_mode"] == "squash" else "crop",
        crop=data["crop_pct"],
    )
    return PretrainedTimm(config, view, net)


def published(model: str) -> tuple[str, str]:
    """The hub repository and the file in it with timm's weights of a model.

    Raises:
        RecipeError: timm has no such model or tag.
        WeightsError: It has none on the hub.
    """
    cfg = _record(model)
    if cfg is None or not cfg.hf_hub_id:
        raise WeightsError(
            f"timm has no weights of {model!r} on the hub",
            fix="Give the path of a checkpoint, or pretrained: false for random weights.",
        )
    return cfg.hf_hub_id, cfg.hf_hub_filename or "model.safetensors"


def _record(model: str) -> Any:
    """What timm knows of a model's published weights, None if it has none."""
    if not timm.is_model(model):
        close = ", ".join(get_close_matches(model, timm.list_models(), n=4, cutoff=0.4))
        raise RecipeError(
            f"timm has no model {model!r}", fix=f"{f'Near: {close}. ' if close else ''}See `timm.list_models()`."
        )
    try:
        return timm.get_pretrained_cfg(model)
    except RuntimeError as error:
        raise RecipeError(str(error).rstrip("."), fix=f"Tags: {', '.join(_tags(model)) or 'none'}.") from error


def _network(config: TimmConfig, state: dict[str, Tensor] | None) -> Any:
    """The network, filled with ``state`` if that is given.

    The classifier is taken off last: with it in place, timm refuses a checkpoint that lacks anything.
    """
    _record(config.model)
    overlay = None if state is None else {"state_dict": state, "custom_load": False}
    net: Any = timm.create_model(config.model, pretrained=state is not None, pretrained_cfg_overlay=overlay)
    net.reset_classifier(0)
    if config.image_size is not None:
        set_image_size(net, config.image_size, name=config.model)
    return net


def inside_stages(blocks: Sequence[nn.Module]) -> list[nn.Module]:
    """The blocks inside of stages, which are sequences of them or name them ``blocks``; other blocks as they are."""
    rows = [block if isinstance(block, nn.Sequential) else getattr(block, "blocks", [block]) for block in blocks]
    return [block for row in rows for block in row if next(block.parameters(), None) is not None]


def set_image_size(net: Any, size: int, *, name: str) -> None:
    """Tell a timm network the side of its pictures; position embeddings are resampled, convolutions need not know.

    Raises:
        RecipeError: The network cannot have that size.
    """
    if hasattr(net, "set_input_size"):
        check_patches(size, max(getattr(getattr(net, "patch_embed", None), "patch_size", (1,))), name=name)
        net.set_input_size(img_size=size)
    elif net.pretrained_cfg.get("fixed_input_size"):
        raise RecipeError(f"{name} has a fixed image size", fix="Leave out image_size.")


def _tags(model: str) -> list[str]:
    base = model.partition(".")[0]
    return [name.partition(".")[2] for name in timm.list_pretrained(f"{base}.*")]

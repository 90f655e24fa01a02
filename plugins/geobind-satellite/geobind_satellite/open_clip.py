"""The two towers of a CLIP, each built and filled without the other (Radford et al., arXiv 2103.00020).

Shapes: B batch, H = W pixels, T tokens, E embedding width, d width of the image network.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

import geobind
from geobind.encoder import Batch
from geobind.errors import RecipeError, WeightsError
from geobind.weights import hub_file
from geobind_satellite import OpenClipConfig, OpenClipImageConfig
from geobind_satellite.checkpoints import fill, read_state
from geobind_satellite.clip_models import FOLDER, Architecture, architecture, find_weights
from geobind_satellite.images import ImageEncoder, View, check_patches
from geobind_satellite.texts import read_text
from geobind_satellite.timm import inside_stages, set_image_size

with geobind.needs("open_clip", "pip install open_clip_torch"):
    from open_clip import CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP, SimpleTokenizer  # type: ignore[import-untyped]
    from open_clip.model import (  # type: ignore[import-untyped]
        convert_to_custom_text_state_dict,
        resize_pos_embed,
    )
    from open_clip.tokenizer import HFTokenizer  # type: ignore[import-untyped]
    from open_clip.transformer import VisionTransformer  # type: ignore[import-untyped]

MAKING = Lock()
"""Held while a tokenizer is made: items are prepared in threads."""

# The side of a CLIP that is not wanted is built as small as it goes, and dropped.
NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 1, "heads": 1, "layers": 1}
NO_VISION = {"image_size": 1, "patch_size": 1, "width": 1, "head_width": 1, "layers": 1}


class OpenClipImage(ImageEncoder):
    """The image tower, projection included."""

    def __init__(self, config: OpenClipImageConfig, clip: Architecture, view: View, visual: Any) -> None:
        super().__init__(view, config.augment)
        self.config, self.clip = config, clip
        self.embed_dim = clip.embed_dim
        self.visual: Any = visual  # a Module; OpenCLIP declares no type for what its towers share

    def load_pretrained(self) -> str:
        """Fill the tower from the CLIP checkpoint that the config names."""
        found = find_weights(self.config)
        if found is None:
            return "random"
        path, phrase = found
        state = read_state(path)
        if self.config.image_size is None:
            fill(self.visual, _side(state, "visual."), source=phrase)
        elif self.clip.vision.get("timm_model_name"):
            # timm resamples position embeddings inside a network, so the weights go through one of their own size.
            published = _visual(self.clip, None)
            fill(published, _side(state, "visual."), source=phrase)
            set_image_size(published.trunk, self.config.image_size, name=self.clip.name)
            fill(self.visual, published.state_dict(), source=phrase)
        else:
            resize_pos_embed(state, self)
            fill(self.visual, _side(state, "visual."), source=phrase)
        return phrase

    def forward(self, batch: Batch) -> Tensor:
        """``[B, E]`` from the squares ``[B, 3, H, W]``."""
        return _pooled(self.visual(self.pixels(batch)))

    def tokens(self, batch: Batch) -> Tensor:
        """Features of the last layer by place ``[B, T, d]``, rows of the picture first; without the projection."""
        out = self.visual.forward_intermediates(
            self.pixels(batch),
            indices=1,
            # With an attentional pooler (CoCa) the last norm has the width of what follows the pooler.
            normalize_intermediates=not self.clip.vision.get("attentional_pool", False),
            intermediates_only=True,
            output_fmt="NCHW",
        )
        last: Tensor = out["image_intermediates"][-1]
        return last.flatten(2).mT

    def blocks(self) -> list[nn.Module]:
        """Those of the transformer; of all stages, in networks that have stages."""
        return inside_stages(super().blocks())

    def depths(self) -> dict[str, int]:
        """The projection is a parameter of the tower itself, and comes last."""
        return _with_last(super().depths(), "visual.proj", self.blocks())


class OpenClipText(geobind.Encoder):
    """The text tower, projection included."""

    def __init__(self, config: OpenClipConfig, clip: Architecture, text: Any) -> None:
        super().__init__()
        self.config, self.clip = config, clip
        self.embed_dim = clip.embed_dim
        self.text: Any = text
        self._tokenizer: Any = None

    @property
    def tokenizer(self) -> Any:
        """The model's own, made when it is first asked for: like the weights, it may be on the hub.

        Raises:
            WeightsError: It is, and the hub does not answer; or its vocabulary is missing.
        """
        if self._tokenizer is None:
            with MAKING:
                if self._tokenizer is None:
                    self._tokenizer = _tokenizer(self.config, self.clip)
        return self._tokenizer

    def load_pretrained(self) -> str:
        """Fill the tower from the CLIP checkpoint that the config names, and bring its tokenizer."""
        _ = self.tokenizer
        found = find_weights(self.config)
        if found is None:
            return "random"
        path, phrase = found
        state = _side(convert_to_custom_text_state_dict(read_state(path)), "text.")
        # Checkpoints of Hugging Face towers from before transformers 4.31 carry this constant.
        state.pop("transformer.embeddings.position_ids", None)
        fill(self.text, state, source=phrase)
        return phrase

    def preprocess(self, item: Any, *, train: bool, generator: torch.Generator | None = None) -> Batch:
        """``{"tokens": int64 [T]}``, padded or cut to the model's context length.

        Raises:
            DataError: Not a string, or nothing but blanks.
            WeightsError: As for :attr:`tokenizer`.
        """
        return {"tokens": self.tokenizer(read_text(item))[0]}

    def forward(self, batch: Batch) -> Tensor:
        """``[B, E]`` from tokens ``[B, T]``."""
        return _pooled(self.text(batch["tokens"]))

    def depths(self) -> dict[str, int]:
        """The projection is a parameter of the tower itself, and comes last."""
        return _with_last(super().depths(), "text.text_projection", self.blocks())

    def describe_preprocessing(self) -> dict[str, Any]:
        """The tokenizer and its context length; longer texts are cut."""
        return {"tokenizer": type(self.tokenizer).__name__, "context_length": self.tokenizer.context_length}


def build_image(config: OpenClipImageConfig) -> OpenClipImage:
    """The image tower with random weights.

    Raises:
        RecipeError: No such model, or an inline one that makes no sense.
        WeightsError: The model's card is on the hub, and the hub does not answer.
    """
    clip = architecture(config)
    visual = _visual(clip, config.image_size)
    size = config.image_size or clip.vision.get("image_size", CLIPVisionCfg.image_size)
    cfg = clip.preprocess
    if not isinstance(size, int) or cfg["resize_mode"] not in ("shortest", "squash"):
        raise RecipeError(
            f"{clip.name} wants pictures of {size} pixels fitted by {cfg['resize_mode']!r}",
            fix="Only squares fitted by 'shortest' or 'squash' are supported.",
        )
    view = View(
        size=size,
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
        interpolation="bilinear" if cfg["interpolation"] == "bilinear" else "bicubic",
        fit="squash" if cfg["resize_mode"] == "squash" else "crop",
    )
    return OpenClipImage(config, clip, view, visual)


def build_text(config: OpenClipConfig) -> OpenClipText:
    """The text tower with random weights.

    Raises:
        RecipeError: No such model, or an inline one that makes no sense.
        WeightsError: The model's card is on the hub, and the hub does not answer.
    """
    clip = architecture(config)
    text_cfg = dict(clip.text)
    if name := text_cfg.get("hf_model_name"):
        # Fetched here, because transformers would try for minutes where there is no hub.
        text_cfg |= {"hf_model_name": str(hub_file(name, "config.json").parent), "hf_model_pretrained": False}
    return OpenClipText(config, clip, _assemble(clip, NO_VISION, text_cfg).text)


def _visual(clip: Architecture, image_size: int | None) -> Any:
    vision_cfg = {**clip.vision, "timm_model_pretrained": False}
    if image_size is not None:
        vision_cfg["image_size"] = image_size
    visual = _assemble(clip, vision_cfg, NO_TEXT).visual
    if image_size is not None:
        if hasattr(visual, "trunk"):
            set_image_size(visual.trunk, image_size, name=clip.name)
        elif isinstance(visual, VisionTransformer):
            check_patches(image_size, max(visual.patch_size), name=clip.name)
    return visual


def _assemble(clip: Architecture, vision_cfg: dict[str, Any], text_cfg: dict[str, Any]) -> Any:
    """A CLIP with its towers apart, as ``.visual`` and ``.text``, whichever class the model has in OpenCLIP."""
    try:
        return CustomTextCLIP(clip.embed_dim, vision_cfg, text_cfg, quick_gelu=clip.quick_gelu)
    except (TypeError, RuntimeError, AssertionError) as error:
        raise RecipeError(f"{clip.name} cannot be built: {error}", fix="Check its vision_cfg and text_cfg.") from error


def _tokenizer(config: OpenClipConfig, clip: Architecture) -> Any:
    """The model's tokenizer: OpenCLIP's own BPE out of its wheel, or one from the hub or the model's folder."""
    options = {
        "context_length": clip.text.get("context_length", CLIPTextCfg.context_length),
        **clip.text.get("tokenizer_kwargs", {}),
    }
    source = clip.text.get("hf_tokenizer_name")
    if not source:
        return SimpleTokenizer(**options)
    if isinstance(config.model, str) and config.model.startswith(FOLDER):
        source = config.model.removeprefix(FOLDER)
    else:
        hub_file(source, "tokenizer_config.json")
    tokenizer = HFTokenizer(source, tokenizer_mode=clip.text.get("tokenizer_mode"), **options)
    # transformers returns a tokenizer of a handful of special tokens, silently, when the vocabulary is missing.
    if len(tokenizer.tokenizer) < 1000:
        raise WeightsError(
            f"the tokenizer {source!r} holds {len(tokenizer.tokenizer)} tokens: its vocabulary is missing",
            fix=f"Run `hf download {source}` where there is a network, and copy the cache folder here.",
        )
    return tokenizer


def _side(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors of one tower, without their prefix."""
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _with_last(depths: dict[str, int], projection: str, blocks: Sequence[nn.Module]) -> dict[str, int]:
    """The depths with a projection behind all blocks; in some towers it is a layer, and has its place already."""
    return depths | ({projection: len(blocks) + 1} if projection in depths else {})


def _pooled(output: Any) -> Tensor:
    """CoCa's towers return ``(pooled, tokens)``."""
    pooled: Tensor = output[0] if isinstance(output, tuple) else output
    return pooled

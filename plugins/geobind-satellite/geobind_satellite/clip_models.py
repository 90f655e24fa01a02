"""Which CLIP a config means: its architecture, its preprocessing, and where its weights are.

Names, tags and cards are OpenCLIP's own. Nothing but a model on the hub needs a network, and that fails in seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import geobind
from geobind.errors import RecipeError, WeightsError, nearest
from geobind.weights import hub_file
from geobind_satellite import OpenClipConfig
from geobind_satellite.checkpoints import describe_file

with geobind.needs("open_clip", "pip install open_clip_torch"):
    import open_clip  # type: ignore[import-untyped]
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME  # type: ignore[import-untyped]
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict  # type: ignore[import-untyped]

CARD = "open_clip_config.json"
HUB, FOLDER = "hf-hub:", "local-dir:"


@dataclass(frozen=True, slots=True)
class Architecture:
    """A CLIP without its weights."""

    name: str
    embed_dim: int
    vision: dict[str, Any]
    """OpenCLIP's ``vision_cfg``."""
    text: dict[str, Any]
    """OpenCLIP's ``text_cfg``."""
    quick_gelu: bool
    preprocess: dict[str, Any]
    """OpenCLIP's ``PreprocessCfg``: mean, std, interpolation, resize_mode."""


def architecture(config: OpenClipConfig) -> Architecture:
    """Look a config's model up.

    Raises:
        RecipeError: No such model.
        WeightsError: Its card is on the hub, and the hub does not answer.
    """
    card = _card(config)
    model = card.get("model_cfg", card)
    return Architecture(
        name=config.model if isinstance(config.model, str) else "the inline model",
        embed_dim=model["embed_dim"],
        vision=model["vision_cfg"],
        text=model["text_cfg"],
        quick_gelu=model.get("quick_gelu", False),
        preprocess=merge_preprocess_dict(PreprocessCfg(), card.get("preprocess_cfg", {})),
    )


def find_weights(config: OpenClipConfig, hub: Callable[[str, str], Path] = hub_file) -> tuple[Path, str] | None:
    """The checkpoint that a config names, and a phrase on where it comes from; None for random weights.

    Args:
        config: What names it.
        hub: ``(repository, file) -> path``, for what is on the hub.

    Raises:
        WeightsError: It is not on this machine and cannot be fetched, or is neither a tag nor a file.
    """
    model = config.model
    if isinstance(model, str) and model.startswith(HUB):
        repo = model.removeprefix(HUB)
        return _hub_weights(repo, hub), f"OpenCLIP {repo}"
    if isinstance(model, str) and model.startswith(FOLDER):
        path = _folder_weights(Path(model.removeprefix(FOLDER)))
        return path, describe_file(path)
    if config.pretrained is None:
        return None
    if tag := _tag(config):
        repo, _, filename = tag["hf_hub"].rpartition("/")
        return _hub_weights(repo, hub, filename), f"OpenCLIP {model} {config.pretrained} ({repo})"
    path = Path(config.pretrained)
    if not path.is_file():
        tags = open_clip.list_pretrained_tags_by_model(_builtin_name(model)) if isinstance(model, str) else []
        raise WeightsError(
            f"pretrained = {config.pretrained!r} is neither a file nor a tag of {model!r}",
            fix=nearest(config.pretrained, tags),
        )
    return path, describe_file(path)


def _card(config: OpenClipConfig) -> dict[str, Any]:
    """The content of the model's ``open_clip_config.json``, or what it would be for a model that OpenCLIP knows."""
    model = config.model
    if isinstance(model, dict):
        return model
    if model.startswith(HUB):
        return _read_card(hub_file(model.removeprefix(HUB), CARD))
    if model.startswith(FOLDER):
        return _read_card(Path(model.removeprefix(FOLDER)) / CARD)
    name = _builtin_name(model)
    known = open_clip.get_model_config(name)
    if known is None:
        close = ", ".join(get_close_matches(name, open_clip.list_models(), n=4, cutoff=0.4))
        raise RecipeError(
            f"OpenCLIP has no model {model!r}",
            fix=f"{f'Near: {close}. ' if close else ''}`open_clip.list_models()` lists all.",
        )
    if tag := _tag(config):
        # The activation belongs to the weights: OpenAI's were trained with QuickGELU under the plain model's name.
        known["quick_gelu"] = tag.get("quick_gelu", False)
    return {"model_cfg": known, "preprocess_cfg": tag or _agreed_preprocessing(name)}


def _tag(config: OpenClipConfig) -> dict[str, Any]:
    """OpenCLIP's entry of the model and tag; empty when ``pretrained`` is no tag."""
    if not isinstance(config.model, str) or config.pretrained is None:
        return {}
    entry: dict[str, Any] = open_clip.get_pretrained_cfg(_builtin_name(config.model), config.pretrained)
    return entry


def _agreed_preprocessing(name: str) -> dict[str, Any]:
    """What all published weights of a model agree on, so that a checkpoint given by its path is fed as they are."""
    tags = [open_clip.get_pretrained_cfg(name, tag) for tag in open_clip.list_pretrained_tags_by_model(name)]
    keys = ("mean", "std", "interpolation", "resize_mode")
    return {key: tags[0][key] for key in keys if tags and all(tag[key] == tags[0][key] for tag in tags)}


def _builtin_name(model: str) -> str:
    """OpenAI's spelling ``ViT-B/32`` is OpenCLIP's ``ViT-B-32``."""
    return model.replace("/", "-")


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        card["model_cfg"]["embed_dim"], card["model_cfg"]["vision_cfg"], card["model_cfg"]["text_cfg"]
    except FileNotFoundError:
        raise RecipeError(f"{str(path)!r} does not exist", fix=f"A model folder holds {CARD}.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise RecipeError(f"{str(path)!r} describes no CLIP: {error!r}", fix="It is written by open_clip.") from error
    return card


def _hub_weights(repo: str, hub: Callable[[str, str], Path], filename: str = "") -> Path:
    """The named file of a repository, or its safetensors, or its torch file."""
    names: list[str] = [filename] if filename else [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME]
    errors: list[WeightsError] = []
    for name in names:
        try:
            return hub(repo, name)
        except WeightsError as error:
            errors.append(error)
    raise errors[0]


def _folder_weights(folder: Path) -> Path:
    for name in (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME):
        path: Path = folder / name
        if path.is_file():
            return path
    raise WeightsError(
        f"the model folder {str(folder)!r} holds no weights",
        fix=f"Put {HF_SAFE_WEIGHTS_NAME} or {HF_WEIGHTS_NAME} there.",
    )

"""Where the weights of the dynamic ViT lie. Imports nothing heavy by itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from geobind.errors import WeightsError
from geobind.weights import existing, hub_cached, hub_file
from geobind_sensors.vit import GEOLB_LICENCE, DynamicVitConfig, GeolbStart, TimmStart

GEOLB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""What open_clip calls a checkpoint on the hub."""


def of_dynamic_vit(config: DynamicVitConfig) -> str:
    """Where ``dynamic_vit`` has the weights from that it begins with.

    Raises:
        RecipeError: timm or OpenCLIP has no such model.
        WeightsError: They are not there, or their licence is not accepted.
    """
    from geobind_satellite.weights import of_open_clip, of_timm

    start = config.start
    if start is None:
        return "random"
    if isinstance(start, GeolbStart):
        return str(geolb_file(start, hub_cached))
    if isinstance(start, TimmStart):
        return of_timm(start.tower)
    return of_open_clip(start.tower)


def geolb_file(start: GeolbStart, hub: Callable[[str, str], Path] = hub_file) -> Path:
    """The checkpoint of a published GeoLangBind tower: a path, or out of a repository of the hub.

    Args:
        start: What names it.
        hub: ``(repository, file) -> path``.

    Raises:
        WeightsError: It is not there; or it is on the hub, and the licence is not accepted: then nothing is asked of
            the hub, nor of what is already here from there.
    """
    path = Path(start.checkpoint)
    if path.is_dir():
        files = [path / name for name in GEOLB_FILES if (path / name).is_file()]
        return files[0] if files else existing(path / GEOLB_FILES[0])
    if (
        path.is_file()
        or not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", start.checkpoint)
        or path.suffix in (".safetensors", ".bin", ".pt")
    ):
        return existing(path)
    if start.accept_licence is None:
        raise WeightsError(
            f"the weights {start.checkpoint} are licensed {GEOLB_LICENCE}: not for commercial use, and their authors"
            " are to be named",
            fix=f"If you agree, say so in the recipe: `start: {{accept_licence: {GEOLB_LICENCE}}}`.",
        )
    absent: list[WeightsError] = []
    for name in GEOLB_FILES:
        try:
            return hub(start.checkpoint, name)
        except WeightsError as error:
            absent.append(error)
    raise absent[0]

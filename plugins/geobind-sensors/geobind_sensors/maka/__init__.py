"""MaKA: a contrastive loss, and beside it the dense features of several frozen teachers (arXiv 2503.06312).

Only the configuration and the spec are here; nothing imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import Field, field_validator, model_validator

import geobind
from geobind.errors import GeobindError
from geobind.plugins import get_plugins

TEACHING = "satellite"
"""The modality whose encoders can teach."""


@contextmanager
def _at_its_key() -> Iterator[None]:
    """Of a ValueError pydantic notes the key, and so a recipe's line is told."""
    try:
        yield
    except GeobindError as error:
        raise ValueError(str(error).rstrip(".")) from error


class Teacher(geobind.Config):
    """A frozen image tower that the student is to see as much as."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """What it is called in messages; each teacher another."""
    encoder: dict[str, Any]
    """``{type: NAME, …}``: an encoder of the modality satellite that has dense features, such as ``timm``,
    ``open_clip`` or ``efficientnet_lite0``."""
    bands: tuple[str, ...] | None = None
    """The three bands it sees as red, green and blue; null for those that a composite takes by itself."""
    weight: float = Field(1.0, gt=0)
    """Its share of the sum; GeoLangBind has 2 for SigLIP and 1 for every other."""
    translate: bool = True
    """Whether the student's features pass a translator, which learns, before they are compared. Without it they are
    only resized to the teacher's grid, and must be as wide as the teacher's."""

    @field_validator("encoder")
    @classmethod
    def _known_encoder(cls, encoder: dict[str, Any]) -> dict[str, Any]:
        with _at_its_key():
            get_plugins().encoder(TEACHING, encoder)
        return encoder


class Distances(geobind.Config):
    """How far student and teacher are apart: the weighted sum of three."""

    mse: float = Field(1.0, ge=0)
    """Weight of the mean squared error."""
    smooth_l1: float = Field(1.0, ge=0)
    """Weight of the mean smooth L1 distance."""
    cosine: float = Field(1.0, ge=0)
    """Weight of 1 - cosine of all features of an item laid in one row."""

    @model_validator(mode="after")
    def _check(self) -> Distances:
        if not self.mse + self.smooth_l1 + self.cosine:
            raise ValueError("all distances have the weight 0")
        return self


class MakaConfig(geobind.Config):
    """A contrastive loss, and the distance to several teachers."""

    contrastive: dict[str, Any] = Field(default_factory=lambda: {"type": "siglip"})
    """``{type: NAME, …}``: what the pairs are scored by."""
    teachers: tuple[Teacher, ...]
    """Who teaches."""
    weight: float = Field(1.0, gt=0)
    """Of the teachers' sum beside the contrastive loss."""
    distances: Distances = Distances()
    """Weights of the three distances."""

    @field_validator("contrastive")
    @classmethod
    def _known_loss(cls, contrastive: dict[str, Any]) -> dict[str, Any]:
        if contrastive.get("type") == "maka":
            raise ValueError("the contrastive loss inside maka is maka again; name all teachers in one")
        with _at_its_key():
            get_plugins().loss(contrastive)
        return contrastive

    @field_validator("teachers")
    @classmethod
    def _told_apart(cls, teachers: tuple[Teacher, ...]) -> tuple[Teacher, ...]:
        if not teachers:  # min_length would be told of a single teacher that is wrong, too
            raise ValueError("name one, or take the contrastive loss alone")
        names = [teacher.name for teacher in teachers]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"teachers are given twice: {', '.join(sorted(twice))}")
        return teachers


def specs() -> list[geobind.LossSpec]:
    """The loss."""
    return [
        geobind.LossSpec(
            name="maka",
            config=MakaConfig,
            build="geobind_sensors.maka.loss:build",
            summary="Any contrastive loss, and the dense features of several frozen teachers",
            example={
                "teachers": [
                    {"name": name, "encoder": {"type": "timm", "model": model, "pretrained": False, "image_size": 32}}
                    for name, model in (("vit", "test_vit"), ("resnet", "test_resnet"))
                ]
            },
        )
    ]

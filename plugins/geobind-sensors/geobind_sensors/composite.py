"""Image towers of ``geobind-satellite`` for sensors: they see three bands of an image as a picture. Only specs."""

from __future__ import annotations

from dataclasses import replace

import geobind_satellite

import geobind
from geobind_sensors.modalities import SENSOR_MODALITIES

TOWERS = ("open_clip", "timm", "efficientnet_lite0")


def specs() -> list[geobind.EncoderSpec]:
    """The towers, with the configs they have for satellite pictures."""
    towers = {spec.name: spec for spec in geobind_satellite.geobind_encoders()}
    return [
        replace(
            towers[name],
            modality=SENSOR_MODALITIES(),
            build=f"geobind_sensors.composite_tower:{name}",
            summary=f"{towers[name].summary.rstrip('.')}; it sees three bands as a picture.",
        )
        for name in TOWERS
    ]

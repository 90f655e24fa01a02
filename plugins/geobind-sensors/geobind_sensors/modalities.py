"""The modalities of sensors: those that are always there, one per sensor that a user declares, and maps of classes."""

from __future__ import annotations

import geobind
from geobind_sensors.sensors import user_modalities

ITEM = "SensorImage with any bands; or a picture (path, PIL image, uint8 array [H, W, 3]), seen as red, green, blue"
UNITS = "as the image's bands say: reflectance, dB, K, m or 0 … 255"

SUMMARIES = {
    "rgb": "A colour picture from above.",
    "multispectral": "An image with a few optical bands: Landsat, NAIP, or any other sensor's.",
    "sentinel2": "An image of Sentinel-2, any of its 13 bands.",
    "sar": "A radar image of any sensor.",
    "sentinel1": "A radar image of Sentinel-1, VV and VH.",
    "hyperspectral": "An image with many narrow bands, such as EnMAP's 202.",
    "infrared": "A thermal infrared image: temperatures, or the grey values of a camera.",
    "elevation": "Heights around a place, or relief as a colour picture.",
}
MODALITIES = tuple(SUMMARIES)
"""Modalities that a sensor may name; one that names none is a modality of its own."""
CLASSMAP = "classmap"
"""The modality of maps of classes: its images have codes and no sensor."""


def SENSOR_MODALITIES() -> tuple[str, ...]:
    """The modalities whose items are images of sensors, the user's included; ``rgb`` comes first."""
    return (*MODALITIES, *user_modalities())


def specs() -> list[geobind.ModalitySpec]:
    """All of them."""
    user = user_modalities()
    sensors = [
        geobind.ModalitySpec(
            name=name,
            item=ITEM,
            summary=SUMMARIES.get(name, f"An image of the sensor {name}, which a file of yours declares."),
            units=UNITS,
            example=f"geobind_sensors.examples:{name}",
            preview="geobind_sensors.pictures:preview",
            declared=user.get(name, ""),
        )
        for name in SENSOR_MODALITIES()
    ]
    classmap = geobind.ModalitySpec(
        name=CLASSMAP,
        item="Map of classes, such as land cover or climate: integer array [H, W] of codes",
        summary="What class each spot around a place has; for scoring maps, not for encoding.",
        units="1 (codes of classes)",
        example="geobind_sensors.examples:classmap",
        preview="geobind_sensors.pictures:preview_classes",
    )
    return [*sensors, classmap]

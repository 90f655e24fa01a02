"""Loads, but names what is not there."""

import geobind


class NetConfig(geobind.Config):
    """A network."""

    width: int = 8
    """Width."""


@geobind.hookimpl
def geobind_modalities():
    return [geobind.ModalitySpec(name="half", item="array [4]", summary="Half a plugin", preview="json:__name__")]


@geobind.hookimpl
def geobind_encoders():
    return [geobind.EncoderSpec(name="net", modality="half", config=NetConfig, build="geobind_half:bild")]


@geobind.hookimpl
def geobind_recipes():
    return [geobind.RecipeSpec(name="half", path="nowhere/half.yaml")]

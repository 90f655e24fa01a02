"""Written for a plugin API that is spoken no more."""

import geobind

GEOBIND_PLUGIN_API = -1


@geobind.hookimpl
def geobind_modalities():
    return [geobind.ModalitySpec(name="too_old", item="array [4]", summary="Of the past")]

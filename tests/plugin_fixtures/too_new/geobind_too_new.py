"""Written for a plugin API that does not exist yet."""

import geobind

GEOBIND_PLUGIN_API = 99


@geobind.hookimpl
def geobind_modalities():
    return [geobind.ModalitySpec(name="too_new", item="array [4]", summary="Of the future")]

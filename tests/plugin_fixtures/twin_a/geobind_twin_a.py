"""One of two distributions that bring a plugin of one name."""

import geobind


@geobind.hookimpl
def geobind_modalities():
    return [geobind.ModalitySpec(name="twin_a", item="array [4]", summary="Of a twin")]

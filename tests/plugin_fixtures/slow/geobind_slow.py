"""Takes its time to import."""

import time

import geobind

time.sleep(0.35)


@geobind.hookimpl
def geobind_modalities():
    return [geobind.ModalitySpec(name="slow", item="array [4]", summary="Of a slow plugin")]

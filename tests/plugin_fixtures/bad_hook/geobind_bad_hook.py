"""A hook that returns something else than a list of specs."""

import geobind


@geobind.hookimpl
def geobind_encoders():
    return {"net": "geobind_bad_hook:build"}

"""A misspelt hook."""

import geobind


@geobind.hookimpl
def geobind_modalitys():
    return []

"""What a plugin's author needs: a scaffold to start from, and checks that say when the plugin is sound.

Names are loaded when they are first used: a plugin's tests import this before torch is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geobind.authoring.checks.run import examine as examine
    from geobind.authoring.parametrize import parametrize_with_checks as parametrize_with_checks

_HOMES = {
    "examine": "geobind.authoring.checks.run",
    "parametrize_with_checks": "geobind.authoring.parametrize",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'geobind.authoring' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

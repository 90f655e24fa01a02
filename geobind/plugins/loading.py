"""Import one plugin and ask its hooks; whatever is wrong with it is raised here, and is told by who asked."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from geobind import hookspecs
from geobind.errors import PluginError, nearest
from geobind.modality import (
    PLUGIN_API,
    Config,
    DatasetSpec,
    EncoderSpec,
    LossSpec,
    ModalitySpec,
    RecipeSpec,
    Spec,
    TrackerSpec,
)
from geobind.plugins.record import label, taken_names
from geobind.progress import say

SPEC_OF: dict[str, type[Spec]] = {
    "geobind_modalities": ModalitySpec,
    "geobind_encoders": EncoderSpec,
    "geobind_datasets": DatasetSpec,
    "geobind_losses": LossSpec,
    "geobind_recipes": RecipeSpec,
    "geobind_trackers": TrackerSpec,
}
"""What each hook returns a list of."""
HOOKS = tuple(name for name in dir(hookspecs) if name.startswith("geobind_"))
"""All hooks, ``geobind_cli`` included."""


def api_of(plugin: Any) -> int:
    """The plugin API that a plugin says it is written for; this one's when it says nothing.

    Raises:
        PluginError: It says something that is no whole number.
    """
    api = getattr(plugin, "GEOBIND_PLUGIN_API", PLUGIN_API)
    if not isinstance(api, int):
        raise PluginError(f"GEOBIND_PLUGIN_API is {api!r}", fix=f"Write a whole number, such as {PLUGIN_API}.")
    return api


def refuse_mistaken_hooks(plugin: Any) -> None:
    """Refuse a plugin with a misspelt or unmarked hook, or none: pluggy would take it, and it would do nothing.

    Raises:
        PluginError: With what is wrong.
    """
    marked = set()
    for name in dir(plugin):
        value = getattr(plugin, name, None)
        options = getattr(value, "geobind_impl", None)
        if options is not None:
            marked.add(name)
            hook = options["specname"] or name
            if hook not in HOOKS:
                raise PluginError(f"{hook!r} is no hook of geobind", where=_line_of(value), fix=nearest(hook, HOOKS))
        elif name in HOOKS and callable(value):
            raise PluginError(
                f"{name!r} is not marked as a hook", where=_line_of(value), fix="Write @geobind.hookimpl above it."
            )
    if not marked:
        raise PluginError("it has no hook", fix="Mark a function such as geobind_modalities with @geobind.hookimpl.")


def specs_of(manager: pluggy.PluginManager, name: str, plugin: Any) -> Iterator[Spec]:
    """Ask a registered plugin's hooks for its specs, one hook after the other.

    Raises:
        PluginError: A hook returns something else than a list of sound specs.
    """
    for hook, kind in SPEC_OF.items():
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if implementation.plugin is plugin:
                start = time.perf_counter()
                found = implementation.function()
                trace(f"{name}: {hook} in {1000 * (time.perf_counter() - start):.1f} ms -> {_shown(found)}")
                where = _line_of(implementation.function)
                if not isinstance(found, list | tuple) or not all(isinstance(spec, kind) for spec in found):
                    raise PluginError(
                        f"{hook} of plugin {name!r} returned {_shown(found)}, not a list of {kind.__name__}",
                        where=where,
                    )
                for spec in found:
                    _refuse_unusable(spec, where)
                yield from found


def without_declared(specs: Iterable[Spec], others: Iterable[Spec], owner: str) -> tuple[Spec, ...]:
    """Leave out modalities that a file of the user's declares where a plugin brings one of that name.

    A word in such a file would otherwise break a plugin; each that is left out is told in a sentence.

    Args:
        specs: Of one plugin.
        others: Of another one.
        owner: Its name.

    Returns:
        What is left of ``specs``; encoders serve those modalities no more.
    """
    brought = {spec.name for spec in others if isinstance(spec, ModalitySpec) and not spec.declared}
    kept: list[Spec] = []
    lost = set()
    for spec in specs:  # modalities come first
        if isinstance(spec, ModalitySpec) and spec.declared and spec.name in brought:
            lost.add(spec.name)
            what = f"{label(spec)} is left out: plugin {owner!r} brings one of that name"
            say(str(PluginError(what, where=spec.declared, fix="Give it another name there.")))
        elif isinstance(spec, EncoderSpec) and lost.intersection(spec.modalities):
            if served := tuple(name for name in spec.modalities if name not in lost):
                kept.append(replace(spec, modality=served))
        else:
            kept.append(spec)
    return tuple(kept)


def refuse_taken(specs: Iterable[Spec], taken: dict[str, str]) -> None:
    """Refuse two specs of one name.

    Args:
        specs: Of the plugin.
        taken: The names of what others brought, and which plugin that was.

    Raises:
        PluginError: With the name that is taken.
    """
    own: set[str] = set()
    for spec in specs:
        for name in taken_names(spec):
            if name in own:
                raise PluginError(f"it brings {name} twice", fix="Give each a name of its own.")
            if owner := taken.get(name):
                raise PluginError(f"{name} is already provided by plugin {owner!r}")
            own.add(name)


def import_file(path: Path) -> ModuleType:
    """Import a one-file plugin under its stem, so that its specs can say ``build="my_modality:build"``.

    Raises:
        PluginError: A module is already called so.
    """
    name = path.stem
    found = PathFinder.find_spec(name)
    elsewhere = found is not None and found.origin is not None and Path(found.origin).resolve() != path.resolve()
    if elsewhere or name in sys.stdlib_module_names:
        raise PluginError(f"another module is called {name!r}", where=str(path), fix="Give the file another name.")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def trace(line: str) -> None:
    """Tell a step of loading on stderr where ``GEOBIND_TRACE_PLUGINS=1``."""
    if os.environ.get("GEOBIND_TRACE_PLUGINS") == "1":
        print(f"geobind plugins: {line}", file=sys.stderr)


def _refuse_unusable(spec: Spec, where: str) -> None:
    """A spec whose config is no Config would fail far from here, for somebody else."""
    if not isinstance(spec.name, str) or not spec.name:
        raise PluginError(f"the name of a {type(spec).__name__} is {spec.name!r}, not a word", where=where)
    config = getattr(spec, "config", Config)
    if not (isinstance(config, type) and issubclass(config, Config)):
        raise PluginError(
            f"the config of {label(spec)} is {config!r}", where=where, fix="Derive it from geobind.Config."
        )


def _shown(found: Any) -> str:
    if isinstance(found, list | tuple):
        known = tuple(SPEC_OF.values())
        parts = [label(part) if isinstance(part, known) else _shown(part) for part in found]
        return f"[{', '.join(parts)}]"
    text = " ".join(repr(found).split())
    return text if len(text) <= 60 else f"{text[:57]}…"


def _line_of(function: Any) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""

"""Find plugins, load each in isolation, keep a record of what happened, and resolve names to specs.

pluggy's own entry-point loading stops at the first plugin that fails to import and hides the
second of two with one name; here a bad plugin is a record with a reason, raised only to whoever names it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pluggy
from pydantic import ValidationError

from geobind import hookspecs
from geobind.errors import PluginError, RecipeError, explain, nearest
from geobind.modality import (
    PLUGIN_API,
    Choice,
    DatasetSpec,
    EncoderSpec,
    LossSpec,
    ModalitySpec,
    RecipeSpec,
    Spec,
    TrackerSpec,
)

GROUP = "geobind"
HOOKS = (
    "geobind_modalities",
    "geobind_encoders",
    "geobind_datasets",
    "geobind_losses",
    "geobind_recipes",
    "geobind_trackers",
)
B = TypeVar("B", EncoderSpec, DatasetSpec, LossSpec)
N = TypeVar("N", ModalitySpec, TrackerSpec)
S = TypeVar("S", ModalitySpec, EncoderSpec, DatasetSpec, LossSpec, RecipeSpec, TrackerSpec)


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """What became of one plugin."""

    name: str
    origin: str
    """``module (distribution version)``, or the path of a one-file plugin."""
    status: str
    """``ok``, ``broken``, ``duplicate``, ``incompatible`` or ``blocked``."""
    reason: str = ""
    hooks: tuple[str, ...] = ()
    specs: tuple[Spec, ...] = field(default=(), repr=False)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form, as ``geobind plugins list --json`` prints it."""
        return {
            "name": self.name,
            "status": self.status,
            "origin": self.origin,
            "reason": self.reason,
            "hooks": list(self.hooks),
            "provides": [_label(spec) for spec in self.specs],
        }


class Plugins:
    """All plugins of this process: their records, and the specs of the sound ones."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(GROUP)
        self.manager.add_hookspecs(hookspecs)
        self.records: list[PluginRecord] = []

    def load_installed(self) -> None:
        """Load every entry point of the group ``geobind``, in name order.

        ``GEOBIND_PLUGINS`` (a comma list) limits loading to those names, ``GEOBIND_BLOCK_PLUGINS`` leaves
        names out, and ``GEOBIND_STRICT_PLUGINS=1`` raises at the first unsound plugin.
        """
        allowed, blocked = _names("GEOBIND_PLUGINS"), _names("GEOBIND_BLOCK_PLUGINS") or set()
        for entry in sorted(entry_points(group=GROUP), key=lambda e: (e.name, e.value)):
            origin = _origin(entry)
            if entry.name != "core" and (entry.name in blocked or (allowed is not None and entry.name not in allowed)):
                self._record(PluginRecord(entry.name, origin, "blocked", "left out by an environment variable"))
                continue
            self._load(entry.name, origin, entry.load)

    def load_file(self, path: Path) -> None:
        """Load a one-file plugin (``--plugin ./my_modality.py``); its failure is raised, since it was named.

        The file becomes importable under its stem, so that its specs can say ``build="my_modality:build"``.
        """
        if not path.is_file():
            raise PluginError(f"plugin file {str(path)!r} does not exist", fix="Give the path of a Python file.")
        self._load(path.stem, str(path), lambda: _import_file(path))
        self._raise_if_unsound(self.records[-1])

    def _load(self, name: str, origin: str, load: Callable[[], Any]) -> None:
        """Import, register and ask one plugin, turning whatever goes wrong into a record."""
        if any(r.name == name and r.status == "ok" for r in self.records):
            self._record(PluginRecord(name, origin, "duplicate", f"another plugin is already called {name!r}"))
            return
        try:
            module = load()
            api = int(getattr(module, "GEOBIND_PLUGIN_API", PLUGIN_API))
            if not PLUGIN_API - 1 <= api <= PLUGIN_API:
                reason = f"written for plugin API {api}; this geobind speaks {PLUGIN_API - 1} and {PLUGIN_API}"
                self._record(PluginRecord(name, origin, "incompatible", reason))
                return
            self._refuse_unknown_hooks(module)
            self.manager.register(module, name=name)
        except Exception as error:
            self._record(PluginRecord(name, origin, "broken", f"{type(error).__name__}: {error}"))
            return
        callers = self.manager.get_hookcallers(module) or []
        record = PluginRecord(name, origin, "ok", hooks=tuple(sorted(caller.name for caller in callers)))
        try:
            specs = tuple(self._specs_of(module))
            self._refuse_taken_names(specs)
            self._record(replace(record, specs=specs))
        except Exception as error:
            self.manager.unregister(module)
            self._record(replace(record, status="broken", reason=f"{type(error).__name__}: {error}"))

    def _refuse_unknown_hooks(self, module: ModuleType) -> None:
        """A misspelt hook would register silently and do nothing."""
        known = {name for name in dir(hookspecs) if name.startswith("geobind_")}
        for name in dir(module):
            if getattr(getattr(module, name, None), "geobind_impl", None) is not None and name not in known:
                raise PluginError(f"{name!r} is no hook of geobind", fix=nearest(name, known))

    def _specs_of(self, module: ModuleType) -> Iterator[Spec]:
        for hook in HOOKS:
            function = getattr(module, hook, None)
            if getattr(function, "geobind_impl", None) is not None:
                yield from function()  # type: ignore[misc]

    def _refuse_taken_names(self, specs: Iterable[Spec]) -> None:
        taken = {_label(spec): record.name for record in self.records for spec in record.specs}
        for spec in specs:
            if owner := taken.get(_label(spec)):
                raise PluginError(f"{_label(spec)} is already provided by plugin {owner!r}")

    def _record(self, record: PluginRecord) -> None:
        self.records.append(record)
        if os.environ.get("GEOBIND_STRICT_PLUGINS") == "1" and record.status not in ("ok", "blocked"):
            self._raise_if_unsound(record)

    @staticmethod
    def _raise_if_unsound(record: PluginRecord) -> None:
        if record.status != "ok":
            raise PluginError(
                f"plugin {record.name!r} is {record.status}: {record.reason}",
                where=record.origin,
                fix="Mend, update or uninstall it; `geobind plugins list` shows every plugin.",
            )

    # -- resolving ---------------------------------------------------------------------------------

    def specs(self, kind: type[S]) -> list[S]:
        """All specs of one kind that sound plugins brought."""
        return [spec for record in self.records for spec in record.specs if isinstance(spec, kind)]

    def modality(self, name: str) -> ModalitySpec:
        """The spec of a modality; raises PluginError naming what exists."""
        return self._named("modality", self.specs(ModalitySpec), name)

    def tracker(self, name: str) -> TrackerSpec:
        """The spec of a tracker; raises PluginError naming what exists."""
        return self._named("tracker", self.specs(TrackerSpec), name)

    def encoder(self, modality: str, config: dict[str, Any]) -> Choice[EncoderSpec]:
        """Resolve ``encoder: {type: …}`` of a modality and validate its keys."""
        return self._choose("encoder", [s for s in self.specs(EncoderSpec) if s.modality == modality], config, modality)

    def dataset(self, config: dict[str, Any]) -> Choice[DatasetSpec]:
        """Resolve ``dataset: {type: …}`` and validate its keys."""
        return self._choose("dataset", self.specs(DatasetSpec), config)

    def loss(self, config: dict[str, Any]) -> Choice[LossSpec]:
        """Resolve ``loss: {type: …}`` and validate its keys."""
        return self._choose("loss", self.specs(LossSpec), config)

    def _named(self, what: str, specs: Iterable[N], name: str) -> N:
        by_name = {spec.name: spec for spec in specs}
        if name not in by_name:
            self._raise_if_named(name)
            raise PluginError(f"unknown {what} {name!r}", fix=nearest(name, by_name) + self._suspects())
        return by_name[name]

    def _choose(
        self,
        what: str,
        specs: Iterable[B],
        config: dict[str, Any],
        modality: str = "",
    ) -> Choice[B]:
        by_name = {spec.name: spec for spec in specs}
        values = dict(config)
        name = values.pop("type", None)
        if name not in by_name:
            self._raise_if_named(str(name))
            scope = f" for modality {modality!r}" if modality else ""
            raise PluginError(f"unknown {what} {name!r}{scope}", fix=nearest(str(name), by_name) + self._suspects())
        spec = by_name[name]
        try:
            return Choice(spec, spec.config.model_validate(values))
        except ValidationError as error:
            sentences = (explain(dict(item), spec.config.model_fields) for item in error.errors())
            raise RecipeError("; ".join(sentences), where=f"{what} {name!r}") from error

    def _raise_if_named(self, name: str) -> None:
        """When a user names something of an unsound plugin, its reason is the answer."""
        for record in self.records:
            if record.status != "ok" and name in (record.name, f"geobind-{record.name}"):
                self._raise_if_unsound(record)

    def _suspects(self) -> str:
        """Plugins that did not load, since an unknown name may well be theirs."""
        unsound = [f"{r.name!r} is {r.status} ({r.reason})" for r in self.records if r.status != "ok"]
        return f" Not loaded: plugin {'; plugin '.join(unsound)}." if unsound else ""


@cache
def get_plugins() -> Plugins:
    """The plugins of this process, loaded once."""
    plugins = Plugins()
    plugins.load_installed()
    return plugins


def _label(spec: Spec) -> str:
    kind = type(spec).__name__.removesuffix("Spec").lower()
    return f"{kind} {spec.modality}/{spec.name}" if isinstance(spec, EncoderSpec) else f"{kind} {spec.name}"


def _origin(entry: EntryPoint) -> str:
    dist = entry.dist
    return f"{entry.value} ({dist.name} {dist.version})" if dist else entry.value


def _names(variable: str) -> set[str] | None:
    value = os.environ.get(variable)
    return None if value is None else {name.strip() for name in value.split(",") if name.strip()}


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module

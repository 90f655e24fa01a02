"""All plugins of a process: a record of each, and the specs of the sound ones by name.

pluggy's own entry-point loading stops at the first plugin that fails to import and hides the
second of two with one name; here a bad plugin is a record with a reason, raised only to whoever names it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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
    TrackerSpec,
)
from geobind.plugins.keys import config_at
from geobind.plugins.loading import (
    api_of,
    import_file,
    refuse_mistaken_hooks,
    refuse_taken,
    specs_of,
    trace,
    without_declared,
)
from geobind.plugins.record import PluginRecord, place_of, sentence, taken_names

if TYPE_CHECKING:
    import typer

    from geobind.data.items import Dataset

GROUP = "geobind"
CURES = {
    "broken": "Mend, update or uninstall it.",
    "duplicate": "Uninstall one of the two.",
    "incompatible": "Update it, or geobind.",
    "blocked": "Change GEOBIND_PLUGINS or GEOBIND_BLOCK_PLUGINS.",
    "absent": "Install it, or mend GEOBIND_PLUGINS.",
}
"""What to do about a plugin that did not load."""
B = TypeVar("B", EncoderSpec, DatasetSpec, LossSpec)
N = TypeVar("N", ModalitySpec, TrackerSpec)
S = TypeVar("S", ModalitySpec, EncoderSpec, DatasetSpec, LossSpec, RecipeSpec, TrackerSpec)


class Plugins:
    """All plugins of this process: their records, and the specs of the sound ones."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(GROUP)
        self.manager.add_hookspecs(hookspecs)
        self.records: list[PluginRecord] = []

    def load_installed(self) -> None:
        """Load every entry point of the group ``geobind``, in name order.

        ``GEOBIND_PLUGINS`` (a comma list) limits loading to those names, ``GEOBIND_BLOCK_PLUGINS`` leaves
        names out, ``GEOBIND_STRICT_PLUGINS=1`` raises at the first unsound plugin, and ``GEOBIND_TRACE_PLUGINS=1``
        tells every step on stderr.
        """
        allowed, blocked = _names("GEOBIND_PLUGINS"), _names("GEOBIND_BLOCK_PLUGINS") or set()
        entries = sorted(entry_points(group=GROUP), key=lambda e: (e.name, e.value))
        for entry in entries:
            if entry.name != "core" and (entry.name in blocked or (allowed is not None and entry.name not in allowed)):
                self._record(PluginRecord(entry.name, entry, "blocked", "left out by an environment variable"))
            else:
                self._load(entry.name, entry, entry.load)
        known = {entry.name for entry in entries}
        for name in sorted((allowed or set()) - known):
            reason = f"it is named, but not installed. {nearest(name, known)}".rstrip(".")
            self._record(PluginRecord(name, "GEOBIND_PLUGINS", "absent", reason))

    def load_file(self, path: Path) -> None:
        """Load a one-file plugin (``--plugin ./my_modality.py``); its failure is raised, since it was named.

        The file becomes importable under its stem, so that its specs can say ``build="my_modality:build"``.
        """
        if not path.is_file():
            raise PluginError(f"plugin file {str(path)!r} does not exist", fix="Give the path of a Python file.")
        self._load(path.stem, path, lambda: import_file(path))
        self._raise_if_unsound(self.records[-1])

    def add_commands(self, app: typer.Typer) -> None:
        """Let sound plugins add commands to the command line; one that fails is recorded as broken, and adds none."""
        import typer
        from typer.main import get_command

        for hook in list(self.manager.hook.geobind_cli.get_hookimpls()):
            own = typer.Typer()
            try:
                trace(f"{hook.plugin_name}: geobind_cli")
                hook.function(*(own for _ in hook.argnames))
                if own.registered_commands or own.registered_groups:
                    get_command(own)  # wrong annotations would fail with all others' commands, and take them along
                app.registered_commands += own.registered_commands
                app.registered_groups += own.registered_groups
            except (Exception, SystemExit) as error:
                self.manager.unregister(name=hook.plugin_name)
                at = next(i for i, r in enumerate(self.records) if (r.name, r.status) == (hook.plugin_name, "ok"))
                record = self.records.pop(at)
                where = place_of(error, record.package)
                self._record(replace(record, status="broken", reason=sentence(error), where=where, specs=()))

    def _load(self, name: str, source: EntryPoint | Path, load: Callable[[], Any]) -> None:
        """Import, register and ask one plugin, turning whatever goes wrong into a record."""
        record = PluginRecord(name, source, "ok")
        if any(r.name == name and r.status == "ok" for r in self.records):
            self._record(replace(record, status="duplicate", reason=f"another plugin is already called {name!r}"))
            return
        start = time.perf_counter()
        try:
            with redirect_stdout(sys.stderr):  # a plugin that prints must not end up in the JSON of a list
                record = self._asked(record, load())
        except (Exception, SystemExit) as error:
            if self.manager.has_plugin(name):
                self.manager.unregister(name=name)
            record = replace(record, status="broken", reason=sentence(error), where=place_of(error, record.package))
        self._record(replace(record, seconds=time.perf_counter() - start))

    def _asked(self, record: PluginRecord, plugin: Any) -> PluginRecord:
        """Register an imported plugin and ask its hooks."""
        record = replace(record, api=api_of(plugin))
        if record.api not in (PLUGIN_API - 1, PLUGIN_API):
            reason = f"written for plugin API {record.api}; this geobind speaks {PLUGIN_API - 1} and {PLUGIN_API}"
            return replace(record, status="incompatible", reason=reason)
        refuse_mistaken_hooks(plugin)
        self.manager.register(plugin, name=record.name)
        specs = tuple(specs_of(self.manager, record.name, plugin))
        for at, other in enumerate(self.records):
            self.records[at] = replace(other, specs=without_declared(other.specs, specs, record.name))
            specs = without_declared(specs, other.specs, other.name)
        taken = {name: other.name for other in self.records for spec in other.specs for name in taken_names(spec)}
        refuse_taken(specs, taken)
        callers = self.manager.get_hookcallers(plugin) or []
        return replace(record, hooks=tuple(sorted(caller.name for caller in callers)), specs=specs)

    def _record(self, record: PluginRecord) -> None:
        self.records.append(record)
        reason = f": {record.reason}" if record.reason else ""
        trace(f"{record.name}: {record.status} in {1000 * record.seconds:.1f} ms{reason}")
        if os.environ.get("GEOBIND_STRICT_PLUGINS") == "1" and record.unsound:
            self._raise_if_unsound(record)

    @staticmethod
    def _raise_if_unsound(record: PluginRecord) -> None:
        if record.status != "ok":
            raise PluginError(
                f"plugin {record.name!r} is {record.status}: {record.reason}",
                where=", ".join(filter(None, (record.where, record.origin))),
                fix=f"{CURES[record.status]} `geobind plugins list` shows every plugin.",
            )

    # -- resolving ---------------------------------------------------------------------------------

    def specs(self, kind: type[S]) -> list[S]:
        """All specs of one kind that sound plugins brought."""
        return [spec for record in self.records for spec in record.specs if isinstance(spec, kind)]

    def record(self, name: str) -> PluginRecord:
        """The record of a sound plugin.

        Raises:
            PluginError: None is called so, or it did not load, with the reason.
        """
        for record in self.records:
            if (record.name, record.status) == (name, "ok"):
                return record
        self.raise_if_named(name)
        raise PluginError(f"no plugin is called {name!r}", fix=nearest(name, {r.name for r in self.records}))

    def modality(self, name: str) -> ModalitySpec:
        """The spec of a modality; raises PluginError naming what exists."""
        return self._named("modality", self.specs(ModalitySpec), name)

    def tracker(self, name: str) -> TrackerSpec:
        """The spec of a tracker; raises PluginError naming what exists."""
        return self._named("tracker", self.specs(TrackerSpec), name)

    def encoder(self, modality: str, config: dict[str, Any]) -> Choice[EncoderSpec]:
        """Resolve ``encoder: {type: …}`` of a modality and validate its keys."""
        found = [spec for spec in self.specs(EncoderSpec) if modality in spec.modalities]
        return self._choose("encoder", found, config, modality)

    def dataset(self, config: dict[str, Any]) -> Choice[DatasetSpec]:
        """Resolve ``dataset: {type: …}`` and validate its keys."""
        return self._choose("dataset", self.specs(DatasetSpec), config)

    def loss(self, config: dict[str, Any]) -> Choice[LossSpec]:
        """Resolve ``loss: {type: …}`` and validate its keys."""
        return self._choose("loss", self.specs(LossSpec), config)

    def raise_if_named(self, name: str) -> None:
        """When a user names an unsound plugin, or something called like it, its reason is the answer.

        Raises:
            PluginError: The name is that of a plugin that did not load.
        """
        for record in self.records:
            if record.status != "ok" and name in (record.name, f"geobind-{record.name}"):
                self._raise_if_unsound(record)

    def suspects(self) -> str:
        """Plugins that did not load, for the end of an error on an unknown name: it may well be theirs."""
        unsound = [f"{r.name!r} is {r.status} ({r.reason})" for r in self.records if r.status != "ok"]
        return f" Not loaded: plugin {'; plugin '.join(unsound)}." if unsound else ""

    def _named(self, what: str, specs: Iterable[N], name: str) -> N:
        by_name = {spec.name: spec for spec in specs}
        if name not in by_name:
            self.raise_if_named(name)
            raise PluginError(f"unknown {what} {name!r}", fix=nearest(name, by_name) + self.suspects())
        return by_name[name]

    def _choose(self, what: str, specs: Iterable[B], config: dict[str, Any], modality: str = "") -> Choice[B]:
        by_name = {spec.name: spec for spec in specs}
        values = dict(config)
        name = values.pop("type", None)
        if name not in by_name:
            self.raise_if_named(str(name))
            scope = f" for modality {modality!r}" if modality else ""
            raise PluginError(f"unknown {what} {name!r}{scope}", fix=nearest(str(name), by_name) + self.suspects())
        spec = by_name[name]
        try:
            return Choice(spec, spec.config.model_validate(values))
        except ValidationError as error:
            sentences = (
                explain(dict(item), config_at(spec.config, item["loc"][:-1]).model_fields) for item in error.errors()
            )
            raise RecipeError("; ".join(sentences), where=f"{what} {name!r}") from error


@cache
def get_plugins() -> Plugins:
    """The plugins of this process, loaded once."""
    plugins = Plugins()
    plugins.load_installed()
    return plugins


def build_dataset(settings: dict[str, Any]) -> Dataset:
    """Build a dataset of any plugin from what a recipe would say of it, e.g. ``{"type": "world", "n": 600}``.

    For datasets that add a modality at the places of another.

    Raises:
        PluginError: No sound plugin brings the type.
        RecipeError: A key or value is wrong.
    """
    return get_plugins().dataset(settings).build()  # type: ignore[no-any-return]


def _names(variable: str) -> set[str] | None:
    value = os.environ.get(variable)
    return None if value is None else {name.strip() for name in value.split(",") if name.strip()}

"""All that can be told of a plugin without building anything of it: for ``geobind plugins show``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import Distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from geobind.errors import GeobindError, PluginError, nearest
from geobind.modality import EncoderSpec, RecipeSpec, Spec, load_object
from geobind.plugins.catalogue import Plugins
from geobind.plugins.keys import keys_of
from geobind.plugins.record import PluginRecord, label, sentence

NAMED = ("build", "preview", "sound", "example", "weights")
"""Fields of specs that may name something to import."""


def records_of(plugins: Plugins, name: str) -> list[PluginRecord]:
    """The records of a plugin: several, when several distributions bring one of that name.

    Args:
        plugins: All plugins.
        name: The plugin's name, or that of its distribution.

    Raises:
        PluginError: No plugin is called so; says which one brings what is.
    """
    if named := [record for record in plugins.records if name == record.name]:
        return named
    wanted = _plain(name)
    found = [r for r in plugins.records if r.distribution and _plain(r.distribution.metadata["Name"]) == wanted]
    if found:
        return found
    for record in plugins.records:
        for spec in record.specs:
            if name == spec.name or label(spec).endswith(f" {name}"):
                raise PluginError(
                    f"no plugin is called {name!r}, but the plugin {record.name!r} brings {label(spec)}",
                    fix=f"See `geobind plugins show {record.name}`.",
                )
    raise PluginError(f"no plugin is called {name!r}", fix=nearest(name, {record.name for record in plugins.records}))


def about(record: PluginRecord) -> dict[str, Any]:
    """What is known of a plugin, JSON-able: where it is from, and all of what it brings with every key."""
    known = record.as_dict()
    known["file"] = file_of(record)
    known["distribution"] = _distribution(record.distribution) if record.distribution else None
    known["provides"] = [_spec(spec) for spec in record.specs]
    return known


def file_of(record: PluginRecord) -> str:
    """The file or folder of a plugin's package, without importing it; empty where there is none."""
    if isinstance(record.source, Path):
        return str(record.source.resolve())
    try:
        found = find_spec(record.package) if record.package else None
    except ValueError:  # a module without a spec
        return ""
    return (found.origin or next(iter(found.submodule_search_locations or ()), "")) if found else ""


def weights_of(spec: EncoderSpec) -> tuple[bool | None, str]:
    """Whether the weights of an encoder's default config are on this machine.

    Returns:
        True, False, or None where that cannot be said; and where they are, or how to bring them.
    """
    if not spec.weights:
        return None, "loads none"
    if missing := [name for name, field in spec.config.model_fields.items() if field.is_required()]:
        return None, f"depends on {', '.join(missing)}"
    try:
        return True, str(load_object(spec.weights)(spec.config()))
    except GeobindError as error:
        return False, sentence(error)


def unimportable(record: PluginRecord) -> Iterator[tuple[Spec, str, str]]:
    """What a plugin's specs name and cannot be had: the spec, what is named, and why. Imports torch, builds nothing."""
    for spec in record.specs:
        for field in NAMED:
            path = getattr(spec, field, "")
            if not isinstance(path, str) or not path:
                continue
            try:
                if not callable(load_object(path)):
                    yield spec, f"{field} {path!r}", "it cannot be called"
            except (Exception, SystemExit) as error:
                cause = error.__cause__ if isinstance(error, PluginError) and error.__cause__ else error
                yield spec, f"{field} {path!r}", sentence(cause)
        if isinstance(spec, RecipeSpec) and not Path(spec.path).is_file():
            yield spec, f"path {spec.path!r}", "there is no such file"


def _distribution(distribution: Distribution) -> dict[str, str]:
    known = distribution.metadata.json
    links = dict(link.split(", ", 1) for link in known.get("project_url", ()) if ", " in link)
    named = {name.lower(): link for name, link in links.items()}
    pages = (known.get("home_page"), named.get("homepage"), named.get("repository"), *links.values())
    return {
        "name": str(known["name"]),
        "version": str(known["version"]),
        "summary": str(known.get("summary", "")),
        "licence": str(known.get("license_expression") or known.get("license", "")),
        "page": str(next(filter(None, pages), "")),
    }


def _spec(spec: Spec) -> dict[str, Any]:
    """A spec as JSON: its label, then each field that says something, then the keys of its config."""
    config = getattr(spec, "config", None)
    fields = {name: getattr(spec, name) for name in spec.__dataclass_fields__ if name != "config"}
    shown = {name: value for name, value in fields.items() if value}
    told = {"label": label(spec), **{k: dict(v) if isinstance(v, dict) else v for k, v in shown.items()}}
    if config is not None:
        told["config"] = [asdict(key) for key in keys_of(config)]
    return told


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")

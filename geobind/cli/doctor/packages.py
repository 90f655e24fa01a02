"""Plugins, their weights, the model hub, and what is optional."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version

from geobind.cli.doctor.finding import Finding, ails, note, ok

FOR_DEVELOPERS = {"all", "dev", "docs", "test"}
"""Extras that nobody misses who uses geobind."""
REQUIREMENT = re.compile(r"^([\w.-]+).*;.*\bextra\s*==\s*['\"]([\w.-]+)['\"]")
"""A line of ``Requires-Dist`` that belongs to an extra: the package, and the extra."""


def plugins() -> Iterator[Finding]:
    """Plugins that did not load, or load slowly."""
    from geobind.plugins import get_plugins
    from geobind.plugins.catalogue import CURES
    from geobind.plugins.record import SLOW_S

    records = get_plugins().records
    sound = [record.name for record in records if record.status == "ok"]
    left_out = [record.name for record in records if record.status == "blocked"]
    yield ok("plugins", ", ".join(sound) + (f"; left out: {', '.join(left_out)}" if left_out else ""))
    for record in records:
        if record.unsound:
            where = f" ({record.where})" if record.where else ""
            cure = f"{CURES[record.status]} `geobind plugins show {record.name}` says more."
            yield ails(f"plugin {record.name}", f"{record.status}: {record.reason}{where}", cure)
        elif record.slow:
            found = f"takes {record.seconds:.2f} s to import, and every command waits for it"
            cure = f"Its author should import what is heavy where it is used; {SLOW_S} s is enough for specs."
            yield note(f"plugin {record.name}", found, cure)


def weights() -> Iterator[Finding]:
    """Whether the weights of every encoder, as it is configured by default, are on this machine."""
    from geobind.modality import EncoderSpec
    from geobind.plugins import get_plugins
    from geobind.plugins.about import weights_of
    from geobind.plugins.record import label, sentence

    encoders: dict[tuple[str, type], list[EncoderSpec]] = {}
    for spec in get_plugins().specs(EncoderSpec):
        if spec.weights:
            encoders.setdefault((spec.weights, spec.config), []).append(spec)
    for specs in encoders.values():
        name = f"weights of {', '.join(label(spec).removeprefix('encoder ') for spec in specs)}"
        try:
            here, found = weights_of(specs[0])
        except Exception as error:
            yield ails(name, sentence(error), f"Report it to the author of the plugin that names {specs[0].weights!r}.")
            continue
        if here is False:
            what, _, cure = found.partition(". ")
            yield note(name, f"absent: {what}", cure or "Bring them, or name others in the recipe.")
        elif here and found != "random":
            yield ok(name, found)


def model_hub() -> Iterator[Finding]:
    """Whether weights could be downloaded."""
    from geobind.weights import hub_answers

    if hub_answers():
        yield ok("model hub", "answers")
    else:
        cure = "None is needed for weights inside packages, in the hub's cache, and in files that a recipe names."
        yield note("model hub", "does not answer", cure)


def extras() -> Iterator[Finding]:
    """What geobind and its plugins can use, but do not need."""
    from geobind.plugins import get_plugins

    found = {
        record.distribution.metadata["Name"]: record.distribution
        for record in get_plugins().records
        if record.distribution
    }
    for owner, dist in sorted({"geobind": distribution("geobind"), **found}.items()):
        for extra, packages in _extras(dist).items():
            installed = {package: _version(package) for package in packages}
            name, absent = f"extra {owner}[{extra}]", [package for package, v in installed.items() if v is None]
            if absent:
                yield note(name, f"{', '.join(absent)} absent", f"If you need it: `pip install '{owner}[{extra}]'`")
            else:
                yield ok(name, ", ".join(f"{package} {v}" for package, v in installed.items()))


def _extras(dist: Distribution) -> dict[str, list[str]]:
    """The packages of each extra that users may want."""
    found: dict[str, list[str]] = {}
    for line in dist.requires or ():
        if (parts := REQUIREMENT.match(line)) and parts[2] not in FOR_DEVELOPERS:
            found.setdefault(parts[2], []).append(parts[1])
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

"""What the core and the first-party plugins bring, with the keys of every config, from their specs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from geobind.modality import DatasetSpec, EncoderSpec, LossSpec, ModalitySpec, Spec
from geobind.plugins import PluginRecord, Plugins
from geobind_docs.directory import entries as directory
from geobind_docs.keys import entries, sections
from geobind_docs.markdown import code, line, prose

CORE = "core"


@cache
def first_party() -> tuple[PluginRecord, ...]:
    """The core and the first-party plugins, as installed."""
    plugins = Plugins()
    plugins.load_installed()
    names = [CORE, *(plugin["name"] for plugin in directory() if plugin["party"] == "first")]
    return tuple(plugins.record(name) for name in names)


def write() -> str:
    """A section for each plugin, and in it one for each thing it brings."""
    return "\n\n".join(part for record in first_party() for part in _plugin(record))


def _plugin(record: PluginRecord) -> Iterator[str]:
    yield f"## {record.name}"
    yield code(record.origin)
    for spec in record.specs:
        word = type(spec).__name__.removesuffix("Spec").lower()
        yield f"### {word} `{spec.name}`"
        yield " ".join(f"{fact.rstrip('.')}." for fact in _facts(spec) if fact)
        if isinstance(spec, EncoderSpec | DatasetSpec | LossSpec):
            yield prose(spec.config.__doc__)
            anchors = f"{record.name} {word} {spec.name} "
            yield from (entries(config, path, anchors=anchors) for path, config in sections(spec.config))


def _facts(spec: Spec) -> Iterator[str]:
    yield line(spec.summary)
    match spec:
        case ModalitySpec():
            yield f"An item: {line(spec.item)}"
            yield f"Units: {line(spec.units)}" if spec.units not in ("", "1") else ""
        case EncoderSpec():
            yield f"For {', '.join(map(code, spec.modalities))}"
            yield f"Licence of the weights: {line(spec.licence)}" if spec.licence else ""
        case DatasetSpec():
            yield f"Modalities: {', '.join(map(code, spec.modalities))}" if spec.modalities else ""
            yield f"Licence: {line(spec.licence)}" if spec.licence else ""

"""Nothing that a user can name lacks a word of help, or is missing from the reference that is written from the code."""

from __future__ import annotations

import dataclasses
import inspect
import re
from html.parser import HTMLParser
from importlib import import_module
from importlib.metadata import distribution, entry_points
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, HttpUrl
from sphinx.pycode import ModuleAnalyzer
from typer.main import get_command

import geobind
from geobind import cli, hookspecs, modality
from geobind.authoring.checks.check import CHECKS
from geobind.authoring.checks.run import MODULES
from geobind.config import Recipe
from geobind.evaluate.results import Protocol
from geobind.evaluate.scores import Scores
from geobind.modality import DatasetSpec, EncoderSpec, LossSpec, ModalitySpec
from geobind.plugins import Plugins
from geobind.plugins.keys import keys_of
from geobind.space.records import SpaceRecord

ROOT = Path(__file__).resolve().parents[2]


class Sections(HTMLParser):
    """The code of a page, by the anchor of the section it stands in; and all of its anchors."""

    def __init__(self, path):
        super().__init__()
        self.code, self.anchors, self._open, self._in_code = {}, set(), [], 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        anchor = dict(attrs).get("id")
        if anchor:
            self.anchors.add(anchor)
        if tag == "section":
            self._open.append(anchor)
        elif tag == "code":
            self._in_code += 1
            self.code.setdefault(self._open[-1] if self._open else "", []).append("")

    def handle_endtag(self, tag):
        if tag == "section":
            self._open.pop()
        elif tag == "code":
            self._in_code -= 1

    def handle_data(self, data):
        if self._in_code:
            self.code[self._open[-1] if self._open else ""][-1] += data

    def all_code(self):
        return {code for found in self.code.values() for code in found}


@pytest.fixture(scope="module")
def reference(site):
    return lambda page: Sections(site / f"reference/{page}.html")


def documented_fields(kind):
    """Field of a dataclass → its docstring."""
    told = ModuleAnalyzer.for_module(kind.__module__).find_attr_docs()
    return {f.name: " ".join(told.get((kind.__name__, f.name), ())).strip() for f in dataclasses.fields(kind)}


def first_party():
    """Records of the core and of the plugins of this repository, as installed."""
    plugins = Plugins()
    plugins.load_installed()
    folders = {folder.name for folder in (ROOT / "plugins").iterdir()}
    return [r for r in plugins.records if r.distribution and r.distribution.name in {*folders, "geobind"}]


def test_every_hook(reference):
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("geobind_")}
    page = reference("hooks")
    assert len(hooks) >= 7
    for name, hook in hooks.items():
        assert inspect.getdoc(hook), name
        assert name.replace("_", "-") in page.anchors


@pytest.mark.parametrize("kind", modality.Spec.__args__, ids=lambda kind: kind.__name__)
def test_every_field_of_a_spec(reference, kind):
    page = reference("hooks")
    assert kind.__doc__
    assert not [name for name, text in documented_fields(kind).items() if not text]
    for name in documented_fields(kind):
        assert f"{kind.__name__.lower()}-{name}" in page.anchors


def commands():
    """Every command and group with its words."""

    def walk(words, command):
        yield words, command
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk((*words, name), inner)

    return walk(("geobind",), get_command(cli.app))


def test_every_command_and_option(reference):
    page = reference("cli")
    seen = 0
    for words, command in commands():
        assert command.help, words
        if not command.params:
            continue
        told = " ".join(page.code["-".join(words)])
        for parameter in command.params:
            seen += 1
            assert parameter.help, (words, parameter.name)
            if parameter.param_type_name == "option":
                assert set(parameter.opts) <= set(re.split(r"[\s,]+", told)), (words, parameter.opts)
            else:
                assert (parameter.metavar or parameter.name.upper()) in told, (words, parameter.name)
    assert seen > 80


def test_every_key_of_a_recipe(reference):
    code = reference("recipe").all_code()
    keys = list(keys_of(Recipe))
    assert "stages[].optim.lr" in {key.key for key in keys}
    assert not [key.key for key in keys if not key.help]
    assert not {key.key for key in keys} - code


def test_every_component_of_a_first_party_plugin_and_its_keys(reference):
    page = reference("components")
    records = first_party()
    assert {"core", "satellite", "world"} <= {record.name for record in records}
    for record in records:
        anchors = [a for a in page.code if a == record.name or a.startswith(f"{record.name}-")]
        told = page.all_code()
        assert record.name in page.anchors or anchors
        for spec in record.specs:
            assert spec.name in told
            assert isinstance(spec, EncoderSpec | DatasetSpec | LossSpec) or spec.summary
            if isinstance(spec, EncoderSpec | DatasetSpec | LossSpec):
                assert spec.summary, spec
                keys = list(keys_of(spec.config))
                assert not [key.key for key in keys if not key.help], spec
                assert not {key.key for key in keys} - told, spec


def test_every_public_name(reference):
    anchors = reference("api").anchors | reference("base-classes").anchors
    specs = reference("hooks").anchors
    for name in geobind.__all__:
        assert f"geobind.{name}" in anchors or name.lower() in specs, name
        assert name == "hookimpl" or inspect.getdoc(getattr(geobind, name)), name


def test_every_conformance_check(reference):
    for module in MODULES:
        import_module(f"geobind.authoring.checks.{module}")
    code = reference("checks").all_code()
    assert len(CHECKS) > 20
    for check in CHECKS:
        assert check.summary.endswith("."), check.name
        assert check.name in code


def test_every_figure(reference):
    anchors = reference("metrics").anchors
    one = Scores({10: 0}, {1.0: 0}, 0, 0, 0, 0, {10: 0}, {10: 0}, {10: 0})
    for name in one.named():
        general = name.lower().replace("10", "k").replace("1%", "p")
        assert re.sub(r"[^a-z]+", "-", general).strip("-") in {re.sub(r"[^a-z]+", "-", a) for a in anchors}, name
    assert all(documented_fields(Scores).values())


def test_every_key_of_files(reference):
    code = reference("files").all_code()
    assert set(SpaceRecord.model_fields) <= code
    assert set(documented_fields(Protocol)) <= code
    assert all(documented_fields(Protocol).values())


def test_every_variable_and_exit_code(reference):
    code = reference("environment").all_code()
    sources = [path for folder in ("geobind", "plugins") for path in (ROOT / folder).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources if "tests" not in path.parts)
    named = set(re.findall(r"""["'](GEOBIND_[A-Z_]+)["']""", text)) - {"GEOBIND_PLUGIN_API"}  # a name of a module
    assert len(named) >= 6
    assert named <= code
    page = (ROOT / "docs/reference/environment.md").read_text()
    for number in (0, 1, cli.EXIT_MISTAKE, cli.EXIT_INTERRUPTED):
        assert f"| {number} |" in page


# -- the directory of plugins ---------------------------------------------------------------------


class Entry(BaseModel):
    """What an entry of ``registry/plugins.yaml`` must be."""

    model_config = ConfigDict(extra="forbid")

    name: str
    distribution: str
    summary: str
    modalities: list[str]
    licence: str
    party: str
    links: dict[str, HttpUrl] = {}


def directory():
    values = yaml.safe_load((ROOT / "registry/plugins.yaml").read_text(encoding="utf-8"))
    assert values.keys() == {"plugins"}
    return [Entry.model_validate(entry) for entry in values["plugins"]]


def test_the_directory_is_well_formed(site):
    entries = directory()
    for names in ([e.name for e in entries], [e.distribution for e in entries]):
        assert len(set(names)) == len(names)
    code = Sections(site / "plugins.html").all_code()
    for entry in entries:
        assert entry.party in ("first", "third")
        assert entry.party == "first" or entry.links, f"{entry.name}: say where it can be found"
        assert entry.summary.endswith(".")
        assert entry.distribution in code


def test_the_directory_has_every_first_party_plugin_as_it_is():
    installed = {e.name: e for e in entry_points(group="geobind")}
    mine = {entry.name: entry for entry in directory() if entry.party == "first"}
    assert {entry.distribution for entry in mine.values()} == {folder.name for folder in (ROOT / "plugins").iterdir()}
    records = {record.name: record for record in first_party()}
    for name, entry in mine.items():
        about = distribution(entry.distribution).metadata
        assert installed[name].dist.name == entry.distribution
        assert (about["Summary"], about["License-Expression"]) == (entry.summary, entry.licence)
        assert {s.name for s in records[name].specs if isinstance(s, ModalitySpec)} == set(entry.modalities)

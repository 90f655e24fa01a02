"""The loader: each plugin on its own, a record for each, and errors only for who names a bad one."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from geobind import modality
from geobind.errors import PluginError, RecipeError
from geobind.modality import RecipeSpec
from geobind.plugins import Plugins, catalogue, loading
from geobind.plugins.keys import keys_of

FIXTURES = Path(__file__).with_name("plugin_fixtures")
"""Plugins as an installer leaves them: a folder each, with a module and its dist-info."""

GOOD = """
import geobind
class C(geobind.Config):
    width: int = 3
@geobind.hookimpl
def geobind_modalities():
    return [geobind.ModalitySpec(name="{name}", item="x", summary="y")]
@geobind.hookimpl
def geobind_encoders():
    return [geobind.EncoderSpec(name="enc", modality="{name}", config=C, build="{module}:build")]
"""


RETURNS = """
import geobind
class C(geobind.Config):
    pass
spec = geobind.EncoderSpec(name="net", modality="m", config=C, build="a:b")
@geobind.hookimpl
def geobind_encoders():
    return {}
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Pretend that modules with these sources are installed plugins."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(**sources):
        entries = []
        for name, source in sources.items():
            module = f"fake_{name}_{tmp_path.name.replace('-', '_')}"
            name = name.rstrip("_")  # `good_` is a second plugin called `good`
            (tmp_path / f"{module}.py").write_text(source.format(name=name, module=module))
            entries.append(EntryPoint(name, module, "geobind"))
        monkeypatch.setattr(catalogue, "entry_points", lambda group: entries)
        plugins = Plugins()
        plugins.load_installed()
        return plugins

    return install


@pytest.fixture
def installed(monkeypatch):
    """Load what is installed beside the first-party plugins: the real entry points, of folders put on the path."""

    def installed(*names):
        for name in names:
            monkeypatch.syspath_prepend(FIXTURES / name)
        plugins = Plugins()
        plugins.load_installed()
        return plugins

    known = set(sys.modules)
    yield installed
    for name in set(sys.modules) - known:
        if getattr(sys.modules[name], "__file__", None) and str(FIXTURES) in sys.modules[name].__file__:
            del sys.modules[name]


def only(plugins, name):
    (found,) = (record for record in plugins.records if record.name == name)
    return found


def status(plugins):
    return {record.name: record.status for record in plugins.records}


def test_a_broken_plugin_takes_no_other_down_and_is_raised_when_named(install):
    plugins = install(good=GOOD, broken="import a_module_that_is_not_there")
    assert status(plugins) == {"broken": "broken", "good": "ok"}
    assert plugins.modality("good").item == "x"
    with pytest.raises(PluginError, match="plugin 'broken' is broken: ModuleNotFoundError.*a_module_that_is_not_there"):
        plugins.modality("broken")
    with pytest.raises(PluginError, match="unknown modality 'other'.*Not loaded: plugin 'broken'"):
        plugins.modality("other")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('operator torchvision::nms does not exist')", "RuntimeError: operator"),
        ("import geobind\n@geobind.hookimpl\ndef geobind_modalitys(): return []", "no hook.*geobind_modalities"),
        ("import geobind\n@geobind.hookimpl\ndef geobind_encoders(x): return []", "geobind_encoders"),
        ("import geobind\n@geobind.hookimpl\ndef geobind_encoders(): return 1/0", r"ZeroDivisionError.*\.py:3, "),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("x = (", r"SyntaxError.*\.py:1, "),
        ("import geobind\ndef geobind_modalities(): return []", "not marked as a hook.*@geobind.hookimpl"),
        ("import geobind", "it has no hook"),
        ("GEOBIND_PLUGIN_API = '1'", "GEOBIND_PLUGIN_API is '1'. Write a whole number"),
        (RETURNS.format("None"), "geobind_encoders of plugin 'bad' returned None, not a list of EncoderSpec"),
        (RETURNS.format("['net']"), r"returned \['net'\], not a list of EncoderSpec"),
        (
            RETURNS.format("[geobind.ModalitySpec(name='m', item='x', summary='y')]"),
            r"returned \[modality m\], not a list of EncoderSpec",
        ),
        (RETURNS.format("[spec, spec]"), "it brings encoder m/net twice"),
        (
            RETURNS.format("[geobind.EncoderSpec(name='', modality='m', config=C, build='a:b')]"),
            "name .* is '', not a word",
        ),
        (RETURNS.format("[geobind.EncoderSpec(name='n', modality='m', config=dict, build='a:b')]"), "geobind.Config"),
    ],
)
def test_what_is_wrong_is_recorded(install, source, reason):
    plugins = install(good=GOOD, bad=source)
    record = next(r for r in plugins.records if r.name == "bad")
    assert record.status == "broken"
    with pytest.raises(PluginError, match=reason):
        plugins.modality("bad")
    assert plugins.modality("good")


def test_a_second_plugin_of_one_name_and_a_taken_spec_are_refused(install):
    plugins = install(good=GOOD, good_=GOOD, thief=GOOD.replace("{name}", "good"))
    assert [r.status for r in plugins.records if r.name == "good"] == ["ok", "duplicate"]
    thief = next(r for r in plugins.records if r.name == "thief")
    assert thief.status == "broken" and "already provided by plugin 'good'" in thief.reason


DECLARES = """
import geobind
class C(geobind.Config):
    pass
@geobind.hookimpl
def geobind_modalities():
    names = "good", "own"
    return [geobind.ModalitySpec(name=n, item="x", summary="y", declared=f"{{n}}.yaml:3") for n in names]
@geobind.hookimpl
def geobind_encoders():
    both = geobind.EncoderSpec(name="both", modality=("good", "own"), config=C, build="a:b")
    return [both, geobind.EncoderSpec(name="one", modality="good", config=C, build="a:b")]
"""


@pytest.mark.parametrize("first", ["users", "good"])
def test_a_modality_of_the_users_yields_to_one_that_a_plugin_brings(install, first, capsys):
    sources = {"users": DECLARES, "good": GOOD}
    plugins = install(**{name: sources[name] for name in sorted(sources, key=lambda name: name != first)})
    assert status(plugins) == {"users": "ok", "good": "ok"}
    assert {spec.name: spec.declared for spec in plugins.specs(modality.ModalitySpec)} == {
        "good": "",
        "own": "own.yaml:3",
    }
    served = {spec.name: spec.modalities for spec in plugins.specs(modality.EncoderSpec)}
    assert served == {"both": ("own",), "enc": ("good",)}
    told = "modality good is left out: plugin 'good' brings one of that name (good.yaml:3). Give it another name there."
    assert capsys.readouterr().err.split("\n") == [told, ""]


def test_tracing_tells_each_step_of_each_plugin_on_stderr(install, monkeypatch, capsys):
    sources = {"good": GOOD, "bad": "raise ValueError('no')", "chatty": f"print('hello')\n{GOOD}"}
    install(**sources)
    assert (capsys.readouterr().out, capsys.readouterr().err) == ("", "")
    monkeypatch.setenv("GEOBIND_TRACE_PLUGINS", "1")
    install(**sources)
    told = capsys.readouterr().err.splitlines()
    steps = ("geobind_modalities", "geobind_encoders", "ok")
    assert [line.partition(" in ")[0] for line in told] == [
        "geobind plugins: bad: broken",
        *(f"geobind plugins: {name}: {step}" for name in ("chatty", "good") for step in steps),
    ]
    assert told[0].endswith("ms: ValueError: no") and told[-2].endswith(" ms -> [encoder good/enc]")


def test_environment_variables_limit_block_and_make_strict(install, monkeypatch):
    monkeypatch.setenv("GEOBIND_BLOCK_PLUGINS", "good")
    assert status(install(good=GOOD)) == {"good": "blocked"}
    monkeypatch.delenv("GEOBIND_BLOCK_PLUGINS")
    monkeypatch.setenv("GEOBIND_PLUGINS", "other")
    limited = install(good=GOOD)
    assert status(limited) == {"good": "blocked", "other": "absent"}
    with pytest.raises(PluginError, match=r"unknown modality 'mine'.*'other' is absent \(it is named"):
        limited.modality("mine")
    with pytest.raises(PluginError, match=r"plugin 'good' is blocked.*Change GEOBIND_PLUGINS"):
        limited.modality("good")
    monkeypatch.setenv("GEOBIND_PLUGINS", "good")
    assert status(install(good=GOOD)) == {"good": "ok"}
    monkeypatch.delenv("GEOBIND_PLUGINS")
    monkeypatch.setenv("GEOBIND_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match="broken"):
        install(bad="raise ValueError('no')")


def test_a_sound_plugin_is_found_behind_a_broken_one_of_its_name(install):
    plugins = install(good_="raise ValueError('no')", good=GOOD)
    assert [r.status for r in plugins.records] == ["broken", "ok"]
    assert plugins.record("good").status == "ok" and plugins.modality("good")


def test_a_hook_may_have_another_name(install):
    renamed = GOOD.replace(
        "@geobind.hookimpl\ndef geobind_mod", '@geobind.hookimpl(specname="geobind_modalities")\ndef mod'
    )
    assert install(good=renamed).modality("good").item == "x"


COMMAND = """
import geobind
@geobind.hookimpl
def geobind_cli(app):
    @app.command("{name}")
    def hello(times: int = 1):
        print("hello " * times)
"""


@pytest.mark.parametrize("mistake", ["    raise RuntimeError('no')", "    hello.__annotations__['times'] = int | str"])
def test_a_plugin_adds_commands_and_one_that_fails_adds_none(install, mistake):
    app = typer.Typer()
    app.command("own")(lambda: print("own"))
    plugins = install(good=COMMAND, bad=COMMAND + mistake)
    plugins.add_commands(app)
    assert status(plugins) == {"good": "ok", "bad": "broken"}
    assert [command.name for command in app.registered_commands] == ["own", "good"]
    assert CliRunner().invoke(app, ["good", "--times", "2"]).output == "hello hello \n"
    assert CliRunner().invoke(app, ["own"]).output == "own\n"


def test_records_are_json(install):
    plugins = install(good=GOOD, bad="raise ValueError('no')")
    records = {r["name"]: r for r in json.loads(json.dumps([r.as_dict() for r in plugins.records]))}
    assert records["good"]["provides"] == ["modality good", "encoder good/enc"]
    assert records["bad"]["reason"] == "ValueError: no" and records["bad"]["where"].endswith(".py:1")
    assert (records["good"]["api"], records["bad"]["api"]) == (modality.PLUGIN_API, None)
    assert 0 < records["good"]["seconds"] < 5


def test_one_file_plugin(tmp_path):
    path = tmp_path / "my_modality.py"
    path.write_text(GOOD.format(name="mine", module="my_modality"))
    plugins = Plugins()
    plugins.load_file(path)
    assert plugins.encoder("mine", {"type": "enc"}).as_dict() == {"type": "enc", "width": 3}
    with pytest.raises(PluginError, match="does not exist"):
        plugins.load_file(tmp_path / "none.py")
    path.with_name("bad_one.py").write_text("import nothing_like_it")
    with pytest.raises(PluginError, match="nothing_like_it"):
        plugins.load_file(path.with_name("bad_one.py"))


@pytest.mark.parametrize("name", ["json", "pluggy", "text_wrap"])
def test_a_one_file_plugin_must_not_hide_another_module(tmp_path, name):
    path = tmp_path / f"{name}.py"
    path.write_text(GOOD.format(name="mine", module=name))
    if name == "text_wrap":
        Plugins().load_file(path)
        assert sys.modules.pop(name).__file__ == str(path)
        return
    with pytest.raises(PluginError, match=f"another module is called '{name}'.*Give the file another name"):
        Plugins().load_file(path)


def test_a_builder_that_is_not_there_is_told(install):
    plugins = install(good=GOOD)
    with pytest.raises(PluginError, match=r":build' cannot be imported"):
        plugins.encoder("good", {"type": "enc"}).build()


def test_first_party_plugins_come_through_the_door():
    from geobind.plugins import get_plugins

    sound = {record.name for record in get_plugins().records if record.status == "ok"}
    assert {"core", "satellite", "ground", "text", "audio", "location", "world"} <= sound


# -- real installed distributions --------------------------------------------------------------------


def test_installed_beside_the_others_each_ends_as_a_record_with_its_reason(installed):
    names = ("bad_hook", "broken", "exits", "slow", "too_new", "too_old", "twin_a", "twin_b", "typo")
    plugins = installed(*names)
    first_party = {"core", "satellite", "ground", "text", "audio", "location", "world"}
    assert first_party <= {record.name for record in plugins.records if record.status == "ok"}
    broken = only(plugins, "broken")
    assert (broken.status, broken.version) == ("broken", "1.0")
    assert broken.reason == "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"
    assert broken.where == f"{FIXTURES / 'broken/geobind_broken.py'}:3"
    assert broken.origin == "geobind_broken (geobind-broken 1.0)"
    assert only(plugins, "exits").reason == "SystemExit: no licence server answers"
    assert "geobind_encoders of plugin 'bad_hook' returned {'net'" in only(plugins, "bad_hook").reason
    assert "Did you mean 'geobind_modalities'?" in only(plugins, "typo").reason
    assert only(plugins, "slow").status == "ok" and only(plugins, "slow").slow and only(plugins, "slow").seconds > 0.35
    assert [r.status for r in plugins.records if r.name == "twin"] == ["ok", "duplicate"]
    assert plugins.modality("twin_a") and not any(
        spec.name == "twin_b" for spec in plugins.specs(modality.ModalitySpec)
    )
    for name, api in (("too_new", 99), ("too_old", -1)):
        assert only(plugins, name).status == "incompatible" and f"plugin API {api}" in only(plugins, name).reason
    assert not any(record.slow for record in plugins.records if record.name in first_party)


FROZEN = {
    "frozen_api_1": "36014122a0a32a03e24dec2094b1fa4c633dd06746da1d9dcc4c967f48b1ab7f",
    "frozen_api_1_full": "4c9b6bbc884b0e20d536cbfcffe233876d8395404a01e4e1c13ba1ce7e80a08c",
}


@pytest.mark.parametrize("folder", FROZEN)
def test_plugins_frozen_at_api_1_load_for_ever(installed, monkeypatch, folder):
    """The oldest plugins of the window, and those that said their version, are what strangers have published."""
    source = (FIXTURES / folder / f"{folder}.py").read_bytes()
    assert hashlib.sha256(source).hexdigest() == FROZEN[folder], "a published plugin cannot be edited: add another one"
    for now in (modality.PLUGIN_API, 2):
        speak(monkeypatch, now)
        plugins = installed(folder)
        name = folder.replace("frozen_api_1", "frozen")
        record = plugins.record(name)
        assert (record.status, record.api, record.hooks) == ("ok", 1, loading.HOOKS)
        assert plugins.modality(name).preview == f"{folder}:preview"
        assert [spec.path for spec in plugins.specs(RecipeSpec) if spec.name == name] == [
            str(FIXTURES / folder / f"{name}.yaml")
        ]
        net = plugins.encoder(name, {"type": "net", "width": 3}).build()
        batch = net.collate([net.preprocess([1.0, 2.0, 3.0, 4.0], train=False)] * 2)
        assert net(batch).shape == (2, 3) and net.load_pretrained() == "random"
        data = plugins.dataset({"type": name, "places": 5}).build()
        assert len(data.items(name, "train")) == 5
        loss = plugins.loss({"type": name, "scale": 2.0}).build()
        assert loss(net(batch), net(batch) + 1, None).item() == pytest.approx(2.0)
        tracker = modality.load_object(plugins.tracker(name).build)(FIXTURES, {})
        tracker.close("finished")
        assert tracker.told == ["finished"]
        app = typer.Typer()
        plugins.add_commands(app)
        assert CliRunner().invoke(app, [name]).output == "frozen at plugin API 1\n"


def speak(monkeypatch, api):
    for module in (catalogue, loading):
        monkeypatch.setattr(module, "PLUGIN_API", api)


@pytest.mark.parametrize(
    ("speaks", "written_for", "expected"),
    [
        (1, -1, "incompatible"),
        (1, 0, "ok"),
        (1, 1, "ok"),
        (1, 2, "incompatible"),
        (2, 1, "ok"),
        (2, 3, "incompatible"),
        (3, 1, "incompatible"),
        (3, 2, "ok"),
        (3, 3, "ok"),
        (3, None, "ok"),
    ],
)
def test_the_window_is_this_api_and_the_one_before(install, monkeypatch, speaks, written_for, expected):
    speak(monkeypatch, speaks)
    says = "" if written_for is None else f"\nGEOBIND_PLUGIN_API = {written_for}\n"
    plugins = install(good=GOOD + says)
    assert status(plugins) == {"good": expected}
    if expected == "incompatible":
        match = f"written for plugin API {written_for}; this geobind speaks {speaks - 1} and {speaks}.*Update it"
        with pytest.raises(PluginError, match=match):
            plugins.modality("good")


# -- keys --------------------------------------------------------------------------------------------


def test_keys_are_told_in_the_words_of_yaml(install):
    source = '''
from pathlib import Path
from typing import Annotated, Any, Literal
from pydantic import Field
import geobind
class Inner(geobind.Config):
    path: Path
    """Where it is."""
class Outer(geobind.Config):
    width: int | None = Field(None, ge=1, lt=9)
    """Two
    lines."""
    kind: Literal["mean", "max"] = "mean"
    scales: tuple[Annotated[float, Field(gt=0)], ...] = (1.0, 2.0)
    shares: tuple[float, float] = (0.5, 0.5)
    name: str = Field("a", pattern="^a")
    inner: Inner = Inner(path=Path("x"))
    by: dict[str, Inner] = Field(default_factory=dict)
    free: dict[str, Any] | bool = False
@geobind.hookimpl
def geobind_losses():
    return [geobind.LossSpec(name="l", config=Outer, build="a:b")]
'''
    spec = install(keyed=source).loss({"type": "l"}).spec
    assert [(key.key, key.type, key.default, key.help) for key in keys_of(spec.config)] == [
        ("width", "whole number ≥ 1, < 9 or null", "null", "Two lines."),
        ("kind", "mean | max", '"mean"', ""),
        ("scales", "list of number > 0", "[1.0, 2.0]", ""),
        ("shares", "[number, number]", "[0.5, 0.5]", ""),
        ("name", "text matching ^a", '"a"', ""),
        ("inner", "Inner", "see below", ""),
        ("inner.path", "path", "required", "Where it is."),
        ("by", "mapping of text to Inner", "{}", ""),
        ("by.NAME.path", "path", "required", "Where it is."),
        ("free", "mapping of text to anything or true or false", "false", ""),
    ]


UNION = """
from typing import Annotated, Literal
from pydantic import Field
import geobind
class Plain(geobind.Config):
    weight: float = 1.0
class Hub(geobind.Config):
    type: Literal["hub"]
    licence: bool = False
class File(geobind.Config):
    type: Literal["file"]
    path: str = ""
class Outer(geobind.Config):
    width: int = 3
    parts: list[Plain] = []
    start: Annotated[Hub | File, Field(discriminator="type")] | None = None
@geobind.hookimpl
def geobind_losses():
    return [geobind.LossSpec(name="l", config=Outer, build="a:b")]
"""


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"with": 3}, "'with'. Did you mean 'width'? Known: parts, start, width (loss 'l')."),
        ({"parts": [{}, {"wieght": 2}]}, "'parts.1.wieght'. Did you mean 'weight'? Known: weight (loss 'l')."),
        ({"start": {"type": "hub", "license": 1}}, "'start.hub.license'. Did you mean 'licence'? Known: licence, type"),
        ({"start": {"type": "file", "pth": "x"}}, "'start.file.pth'. Did you mean 'path'? Known: path, type"),
    ],
)
def test_an_unknown_key_is_told_beside_the_keys_of_its_own_config(install, values, told):
    with pytest.raises(RecipeError, match=re.escape(f"unknown key {told}")):
        install(keyed=UNION).loss({"type": "l", **values})

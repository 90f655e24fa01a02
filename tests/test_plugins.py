"""The loader: each plugin on its own, a record for each, and errors only for who names a bad one."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint

import pytest

from geobind import plugins as plugins_module
from geobind.errors import PluginError
from geobind.plugins import Plugins

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
        monkeypatch.setattr(plugins_module, "entry_points", lambda group: entries)
        plugins = Plugins()
        plugins.load_installed()
        return plugins

    return install


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
        ("import geobind\n@geobind.hookimpl\ndef geobind_encoders(): return 1/0", "ZeroDivisionError"),
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


@pytest.mark.parametrize(("api", "expected"), [(0, "ok"), (1, "ok"), (2, "incompatible"), (-1, "incompatible")])
def test_api_window(install, api, expected):
    assert status(install(good=GOOD + f"\nGEOBIND_PLUGIN_API = {api}\n")) == {"good": expected}


def test_environment_variables_limit_block_and_make_strict(install, monkeypatch):
    monkeypatch.setenv("GEOBIND_BLOCK_PLUGINS", "good")
    assert status(install(good=GOOD)) == {"good": "blocked"}
    monkeypatch.delenv("GEOBIND_BLOCK_PLUGINS")
    monkeypatch.setenv("GEOBIND_PLUGINS", "other")
    assert status(install(good=GOOD)) == {"good": "blocked"}
    monkeypatch.delenv("GEOBIND_PLUGINS")
    monkeypatch.setenv("GEOBIND_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match="broken"):
        install(bad="raise ValueError('no')")


def test_records_are_json(install):
    plugins = install(good=GOOD, bad="raise ValueError('no')")
    records = {r["name"]: r for r in json.loads(json.dumps([r.as_dict() for r in plugins.records]))}
    assert records["good"]["provides"] == ["modality good", "encoder good/enc"]
    assert records["bad"]["reason"] == "ValueError: no"


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


def test_a_builder_that_is_not_there_is_told(install):
    plugins = install(good=GOOD)
    with pytest.raises(PluginError, match=r":build' cannot be imported"):
        plugins.encoder("good", {"type": "enc"}).build()


def test_first_party_plugins_come_through_the_door():
    from geobind.plugins import get_plugins

    sound = {record.name for record in get_plugins().records if record.status == "ok"}
    assert {"core", "satellite", "ground", "text", "audio", "location", "world"} <= sound

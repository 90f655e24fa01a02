import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from geobind_sensors import examples, show
from geobind_sensors.modalities import MODALITIES, SENSOR_MODALITIES, specs
from geobind_sensors.sensors import conventions, find_sensor, load_sensors, make_image, user_modalities
from typer.testing import CliRunner

from geobind.errors import DataError, RecipeError
from geobind.plugins import Plugins

DRONE = """\
drone:
  bands: {green: 0.56, red: 0.65, red_edge: 0.73, nir: 0.84}
  scale: 0.0001
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder, and a function that writes its sensors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GEOBIND_SENSORS", raising=False)

    def write(text: str, name: str = "sensors.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


# -- the registry ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(load_sensors()))
def test_every_sensor_says_what_it_is_and_where_its_numbers_are_from(name):
    sensor = load_sensors()[name]
    entry = sensor.entry
    assert entry.summary.endswith(".") and "\n" not in entry.summary
    assert entry.source and sensor.modality in MODALITIES and len(sensor.names) >= 1
    for band in sensor.bands(tuple(entry.bands)):
        assert band.units != "unstated"
        assert band.wavelength or band.conventions, f"{band.name} has no wavelength, and no convention has one"
        assert (band.mean is None) == (band.std is None)
    for convention in entry.conventions:
        assert all(band.wavelength for band in sensor.bands(convention=convention))


def test_every_convention_is_of_use_to_some_sensor():
    used = {name for sensor in load_sensors().values() for name in sensor.entry.conventions}
    assert used == set(conventions())


def test_sentinel_2_is_what_esa_says():
    sensor = load_sensors()["sentinel2"]
    assert len(sensor.entry.bands) == 13 and "B10" not in sensor.names
    (red,) = sensor.bands(["red"])
    assert (red.name, red.wavelength, red.width, red.units) == ("B04", 0.6646, 0.030, "reflectance")
    lengths = [band.wavelength for band in sensor.bands()]
    assert lengths == sorted(lengths)
    assert len(load_sensors()["sentinel2_l1c"].bands()) == 13


def test_the_physical_wavelength_of_radar_is_the_speed_of_light_over_its_frequency():
    lengths = [band.wavelength for band in load_sensors()["sentinel1"].bands(convention="physical")]
    assert lengths == pytest.approx([299_792.458 / 5.405] * 2, abs=0.1)  # µm · GHz


def test_conventions_for_radar_conflict_and_none_is_taken_unasked():
    sensor = load_sensors()["sentinel1"]
    assert [band.wavelength for band in sensor.bands()] == [None, None]
    found = {name: tuple(b.wavelength for b in sensor.bands(convention=name)) for name in sensor.entry.conventions}
    assert found["dofa_v1"] == (3.75, 3.75) and found["dofa_v2"] == (5.405, 5.405) and found["clay"] == (3.5, 4.0)
    image = make_image(np.ones((2, 3, 3)), "sentinel1")
    with pytest.raises(DataError, match=r"bands VV, VH without a wavelength.*: dofa_v1, dofa_v2, clay, physical\."):
        image.wavelengths()


def test_what_a_convention_does_not_know_it_does_not_give():
    with pytest.raises(DataError, match=r"'geolangbind' has no wavelength for band VV.*dofa_v1, dofa_v2, clay"):
        load_sensors()["sentinel1"].bands(convention="geolangbind")
    with pytest.raises(DataError, match=r"unknown convention 'dofa_v3'.*Did you mean 'dofa_v"):
        load_sensors()["sentinel1"].bands(convention="dofa_v3")


def test_a_convention_replaces_wavelengths_where_it_has_one():
    """The nine nominal wavelengths of GeoLangBind's Sentinel-2; another band keeps its own."""
    sensor = load_sensors()["sentinel2"]
    nine = sensor.bands(["B04", "B03", "B02", "B05", "B06", "B07", "B08", "B11", "B12"], "geolangbind")
    assert [band.wavelength for band in nine] == [0.665, 0.56, 0.49, 0.705, 0.74, 0.783, 0.842, 1.61, 2.19]
    assert sensor.bands(["B8A"], "geolangbind")[0].wavelength == 0.8647
    relief = load_sensors()["relief"].bands(convention="geolangbind")
    assert [band.wavelength for band in relief] == [0.665, 0.56, 0.49]


# -- bands and values -----------------------------------------------------------------------------


def test_bands_come_in_any_order_by_name_or_common_name():
    sensor = load_sensors()["sentinel2"]
    assert [band.name for band in sensor.bands(["nir", "B02", "B10"])] == ["B08", "B02", "B10"]
    with pytest.raises(DataError, match=r"'sentinel2' has no band 'B4'.*Did you mean 'B04'"):
        sensor.bands(["B4"])
    with pytest.raises(DataError, match="'B04' of 'sentinel2' is named twice"):
        sensor.bands(["red", "B04"])


def test_numbers_become_values():
    numbers = np.array([[[0, 10_000]], [[3_000, 1]]], dtype=np.uint16)
    image = make_image(numbers, "sentinel2_baseline4", ["red", "nir"], where="a row")
    np.testing.assert_allclose(image.values, [[[-0.1, 0.9]], [[0.2, -0.0999]]], rtol=1e-6)
    assert image.values.dtype == np.float32 and image.where == "a row"
    np.testing.assert_array_equal(image.valid, [[False, True]])  # 0 is no data, in any of the bands
    landsat = make_image(np.full((2, 1, 1), 40_000, np.uint16), "landsat8", ["red", "B10"])
    np.testing.assert_allclose(landsat.values.ravel(), [0.9, 149 + 136.7208], rtol=1e-6)


def test_numbers_that_are_values_stay_as_they_are():
    numbers = np.zeros((3, 2, 2), dtype=np.uint8)
    image = make_image(numbers, "rgb")
    assert image.values is numbers and image.valid is None


def test_no_data_is_masked():
    image = make_image(np.array([[[1.0, np.nan, -9999.0]]]), "elevation", nodata=-9999, convention="geobind")
    np.testing.assert_array_equal(image.valid, [[True, False, False]])
    assert image.wavelengths() == (100.0,)


@pytest.mark.parametrize("shape", [(13, 4, 4), (4, 4), (4, 4, 12)])
def test_an_array_that_the_bands_do_not_fit_is_refused(shape):
    with pytest.raises(DataError, match=rf"shape {re.escape(str(list(shape)))} for 12 bands of 'sentinel2': B01, B02"):
        make_image(np.zeros(shape), "sentinel2")


# -- sensors of the user --------------------------------------------------------------------------


def test_a_sensor_takes_five_lines(here):
    path = here(DRONE)
    sensor = find_sensor("drone")
    assert (sensor.modality, sensor.where) == ("drone", "sensors.yaml:1")
    assert path.is_file() and [band.wavelength for band in sensor.bands()] == [0.56, 0.65, 0.73, 0.84]
    image = make_image(np.full((2, 3, 3), 5000, np.uint16), "drone", ["nir", "red"])
    np.testing.assert_allclose(image.values, 0.5)
    assert image.wavelengths() == (0.84, 0.65)


def test_a_sensor_of_the_user_is_a_modality_of_its_own(here):
    here(DRONE + "mast: {modality: infrared, bands: {lwir: 10.5}}\n")
    assert tuple(user_modalities()) == ("drone",)
    assert SENSOR_MODALITIES()[0] == "rgb" and SENSOR_MODALITIES()[-1] == "drone"
    plugins = Plugins()
    plugins.load_installed()
    assert plugins.record("sensors").status == "ok"
    modality = plugins.modality("drone")
    assert modality.example == "geobind_sensors.examples:drone"
    assert examples.drone(0).names == ("green", "red", "red_edge", "nir")
    choice = plugins.encoder("drone", {"type": "timm", "model": "test_vit", "pretrained": False, "image_size": 32})
    assert choice.spec.modalities[-1] == "drone"


def test_without_files_of_the_user_there_is_what_the_registry_has(here):
    assert user_modalities() == {}
    assert specs()[-1].name == "classmap"


def test_more_files_are_named_by_a_variable(here, monkeypatch):
    one, two = here(DRONE, "one.yaml"), here("mast: {bands: {lwir: 10.5}}\n", "two.yaml")
    monkeypatch.setenv("GEOBIND_SENSORS", os.pathsep.join(map(str, (one, two))))
    assert tuple(user_modalities()) == ("drone", "mast")
    here("boat: {bands: {pan: 0.6}}\n")
    assert tuple(user_modalities()) == ("boat", "drone", "mast")
    monkeypatch.setenv("GEOBIND_SENSORS", str(one.with_name("sensors.yaml")))  # the one that is read anyway
    assert tuple(user_modalities()) == ("boat",)
    monkeypatch.setenv("GEOBIND_SENSORS", "absent.yaml")
    with pytest.raises(RecipeError, match=r"no file of sensors 'absent.yaml'.*GEOBIND_SENSORS"):
        load_sensors()


def test_a_changed_file_is_read_again(here):
    here(DRONE)
    assert tuple(user_modalities()) == ("drone",)
    here(DRONE.replace("drone", "glider"))
    assert tuple(user_modalities()) == ("glider",)


def test_a_sensor_can_be_laid_over_another(here):
    here(
        "mine:\n  like: sentinel2\n  offset: -0.1\n  left_out: [B01, B10]\n"
        "  bands: {B04: {wavelength: 0.66}, B02: 0.48}\n"
        "twin: {like: mine, modality: multispectral}\n"
    )
    sensor, base = find_sensor("mine"), find_sensor("sentinel2")
    assert sensor.modality == "sentinel2" and find_sensor("twin").modality == "multispectral"
    assert len(sensor.names) == 11 and list(sensor.entry.bands) == list(base.entry.bands)
    red, blue = sensor.bands(["B04", "B02"])
    assert (red.wavelength, red.mean, blue.wavelength) == (0.66, base.bands(["B04"])[0].mean, 0.48)
    assert (sensor.said("B04", "scale"), sensor.said("B04", "offset")) == (0.0001, -0.1)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a:\n  bands: {red: 0.65}\n  scal: 2\n", 3, "unknown key 'scal'. Did you mean 'scale'"),
        ("a:\n  bands:\n    red: {wavelenght: 1}\n", 3, "Did you mean 'wavelength'"),
        ("a:\n  bands:\n    red: 650\n", 3, "wavelengths are in µm, and 650 nm are 0.65 µm"),
        ("a:\n  bands:\n    red: 0.65\n    nir: -1\n", 4, "a wavelength is above 0 µm"),
        ("a:\n  bands:\n    red: 0.65\n    red: 0.66\n", 4, "key 'red' is given twice"),
        ("a: {bands: {}}\n", 1, "at least 1"),
        ("a:\n  scale: 1\n", 1, "key 'bands' is missing"),
        ("a:\n  bands: {x: {common: red}, y: {common: red}}\n", 1, "several bands are called 'red'"),
        ("a:\n  bands: {red: 0.6, y: {common: red}}\n", 1, "the name of one band and the common name of another"),
        ("a:\n  bands: {x: {mean: 1, std: 2}}\n", 1, "need `statistics`"),
        ("a:\n  bands:\n    x: {mean: 1}\n", 3, "mean and std come together"),
        ("a:\n  bands: {x: 0.6}\n  composite: [x, x, x]\n", 1, "is not three bands"),
        ("a:\n  bands: {x: 0.6}\n  left_out: [y]\n", 1, "left_out: no band 'y'"),
        ("a:\n  bands: {x: 0.6}\n  left_out: [x]\n", 1, "left_out names all bands"),
        ("a:\n  bands: {x: 0.6}\n  display: [3, 1]\n", 1, "is not [low, high]"),
        ("a:\n  bands: {x: 0.6}\n  scale: 0\n", 1, "scale = 0"),
        ("a:\n  bands: {x: 0.6}\n  modality: satellite\n", 1, "modality 'satellite' is not for sensors"),
        ("a:\n  bands: {x: 0.6}\n  like: sentinel3\n", 3, "Did you mean 'sentinel"),
        (
            "a:\n  bands: {x: {}}\n  conventions:\n    clai: {x: 1}\n",
            4,
            "unknown convention 'clai' (sensors.yaml:4). Did you mean 'clay'",
        ),
        ("a:\n  bands: {x: 0.6}\n  like: [sentinel2]\n", 3, "no sensor ['sentinel2'] to be like"),
        ("conventions: [own]\n", 1, "conventions = ['own'] are no mapping of names"),
        ("conventions:\n  own: {summary: A., source: B., sauce: me}\n", 2, "Did you mean 'source'"),
        ("sentinel2: {bands: {x: 0.6}}\n", 1, "there is a sensor 'sentinel2' already, in "),
        ("My Drone: {bands: {x: 0.6}}\n", 1, "a sensor is called 'My Drone'"),
        ("sar: {bands: {x: 0.6}}\n", 1, "sensor 'sar' names no modality, and there is one called like it"),
        ("classmap: {bands: {x: 0.6}}\n", 1, "sensor 'classmap' names no modality, and there is one called like it"),
        ("a: [\n", 2, "not valid YAML"),
    ],
)
def test_a_fault_is_told_with_its_line_and_takes_nothing_else_down(here, capsys, text, line, said):
    here(text)
    with pytest.raises(RecipeError, match=re.escape(said)) as told:
        load_sensors()
    assert f"(sensors.yaml:{line})" in str(told.value)
    assert user_modalities() == {}
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence == f"sensors of sensors.yaml are left out: {told.value}"
    assert find_sensor("sentinel2").name == "sentinel2"
    listed = CliRunner().invoke(show.app, ["list"])
    assert listed.exit_code == 0 and "sentinel2" in listed.stdout
    assert listed.stderr == "", "it is told once"
    assert CliRunner().invoke(show.app, ["show", "sentinel1"]).exit_code == 0


def test_a_modality_of_another_plugin_is_not_the_users(here, capsys):
    """Whether that plugin is loaded before this one or after it, it is the user's word that yields."""
    here("text: {bands: {red: 0.65}}\n" + DRONE + "audio: {bands: {red: 0.65}}\n")
    plugins = Plugins()
    plugins.load_installed()
    assert {plugins.record(name).status for name in ("audio", "sensors", "text")} == {"ok"}
    assert [plugins.modality(name).declared for name in ("audio", "drone", "text")] == ["", "sensors.yaml:2", ""]
    for name in ("timm", "dynamic_vit"):
        (served,) = {s.modalities for s in plugins.record("sensors").specs if s.name == name}
        assert served == (*MODALITIES, "drone")
    assert capsys.readouterr().err.splitlines() == [
        f"modality {name} is left out: plugin '{name}' brings one of that name (sensors.yaml:{line}). "
        "Give it another name there."
        for name, line in (("audio", 5), ("text", 1))
    ]


def test_a_file_that_declares_a_sensor_again_is_left_out_of_lists(here, monkeypatch, capsys):
    monkeypatch.setenv("GEOBIND_SENSORS", str(here(DRONE + "mast: {bands: {lwir: 10.5}}\n", "more.yaml")))
    here(DRONE)
    assert user_modalities() == {"drone": "sensors.yaml:1"}
    assert re.search(r"sensors of .*more.yaml are left out: there is a sensor 'drone' already", capsys.readouterr().err)


def test_a_convention_of_the_user(here):
    here(
        "conventions: {own: {summary: Mine., source: me}}\n"
        "lidar:\n  modality: elevation\n  bands: {canopy: {units: m}}\n  conventions: {own: {canopy: 50}}\n"
    )
    assert find_sensor("lidar").bands(convention="own")[0].wavelength == 50
    with pytest.raises(DataError, match="'own' has no wavelength for band VV"):
        load_sensors()["sentinel1"].bands(convention="own")


def test_two_files_cannot_declare_one_sensor(here, monkeypatch):
    monkeypatch.setenv("GEOBIND_SENSORS", str(here(DRONE, "more.yaml")))
    here(DRONE)
    with pytest.raises(RecipeError, match=r"there is a sensor 'drone' already, in sensors.yaml:1 .*more.yaml:1"):
        load_sensors()


# -- the command ----------------------------------------------------------------------------------


def test_sensors_are_listed_and_shown(here):
    here(DRONE)
    listed = CliRunner().invoke(show.app, ["list"])
    assert listed.exit_code == 0 and "drone" in listed.stdout and "0.56 … 0.84" in listed.stdout
    shown = CliRunner().invoke(show.app, ["show", "sentinel1", "--convention", "clay"]).stdout
    assert "3.5" in shown and "dofa_v1: Sentinel-1 as 3.75 µm" in shown and "SSL4EO-S12" in shown
    enmap = CliRunner().invoke(show.app, ["show", "enmap"]).stdout
    assert "B224" in enmap and "B100" not in enmap
    assert "B100" in CliRunner().invoke(show.app, ["show", "enmap", "--all"]).stdout


def test_sensors_are_shown_as_json(here):
    values = json.loads(CliRunner().invoke(show.app, ["show", "sentinel2", "--json"]).stdout)
    assert values["bands"]["B04"]["wavelength"] == 0.6646 and values["modality"] == "sentinel2"
    assert set(json.loads(CliRunner().invoke(show.app, ["list", "--json"]).stdout)) == set(load_sensors())

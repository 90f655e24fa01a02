"""Each way in which a plugin, a modality or a recipe can be broken is told by one check, and sound ones pass."""

from __future__ import annotations

import re

import pytest

from geobind.authoring.checks.subjects import ModalitySubject, PluginSubject, RecipeSubject
from geobind.errors import PluginError

SLOW = {"import_is_cheap"}
"""Starts a process: asked for where it is what the mutant is about."""


def test_a_sound_plugin_fails_nothing(failing):
    assert failing(PluginSubject | ModalitySubject | RecipeSubject) == {}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("from pathlib import Path", "from pathlib import Path\nimport numpy", "importing it loads numpy"),
        ("def geobind_losses():\n", "def geobind_losses():\n    import torch\n", "importing it loads torch"),
        ("def geobind_losses():\n", "def geobind_losses():\n    import time; time.sleep(0.31)\n", "takes 0.3"),
    ],
)
def test_an_expensive_import_is_told(failing, tmp_path, monkeypatch, old, new, words):
    import torch  # noqa: F401 - so that this process does not meet the empty one that the other is to import

    (tmp_path / "torch.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    found = failing(PluginSubject, (old, new))
    assert found.keys() == {"import_is_cheap"}
    assert words in found["import_is_cheap"]


PLUGIN = {
    "a tuple for a list": (
        "hooks_return_lists_of_specs",
        "geobind_recipes returns a tuple",
        (
            "def geobind_recipes():\n    return [",
            "def geobind_recipes():\n    return *[",
            'Tides to harbours."\n        )\n    ]',
            'Tides to harbours."\n        )\n    ],',
        ),
    ),
    "names that count": (
        "hooks_return_lists_of_specs",
        "geobind_losses returns other specs",
        ("class TideConfig", "NAMES = iter('abcdefgh')\n\n\nclass TideConfig", 'name="pull"', "name=next(NAMES)"),
    ),
    "a name with capitals": ("names_are_plain_words", "'Pull-2'", ('name="pull"', 'name="Pull-2"')),
    "no summary": (
        "summaries_are_one_line",
        "encoder tide/linear has no summary",
        ('summary="One layer."', 'summary=""'),
    ),
    "a long summary": (
        "summaries_are_one_line",
        "encoder tide/linear has several lines",
        ('summary="One layer."', 'summary="One\\nlayer."'),
    ),
    "a config that can be changed": (
        "specs_are_values",
        "HarboursConfig, in the config of dataset harbours, can be changed",
        ("class HarboursConfig(geobind.Config):", "class HarboursConfig(geobind.Config, frozen=False):"),
    ),
    "an example that is no JSON": (
        "specs_are_values",
        "what encoder tide/linear says is no JSON: Object of type PosixPath",
        ('summary="One layer."', 'summary="One layer.", example={"width": 8, "at": Path("x")}'),
    ),
    "a default that JSON loses": (
        "specs_are_values",
        "TideConfig is another after it was written as JSON",
        (
            "class TideConfig(geobind.Config):\n",
            'class TideConfig(geobind.Config):\n    at: set[int] | list[int] = {1}\n    """X."""\n',
        ),
    ),
    "a default that is no JSON": (
        "specs_are_values",
        "HarboursConfig with its defaults is no JSON",
        ("scale: float = 1.0", 'scale: float = float("inf")'),
    ),
    "a builder that is not there": (
        "named_functions_can_be_called",
        "encoder tide/linear names build 'sea:no_such'",
        ('build=f"{__name__}:build_tide"', 'build=f"{__name__}:no_such"'),
    ),
    "a preview that is no function": (
        "named_functions_can_be_called",
        "modality tide names preview 'sea:__doc__': it cannot be called",
        ('preview=f"{__name__}:preview_tide"', 'preview=f"{__name__}:__doc__"'),
    ),
    "a recipe that is not there": (
        "named_functions_can_be_called",
        "there is no such file",
        ('with_name("tides.yaml")', 'with_name("gone.yaml")'),
    ),
    "a config that takes anything": (
        "configs_refuse_unknown_keys",
        "TideConfig, in the config of encoder tide/linear, takes the key",
        ("class TideConfig(geobind.Config):", 'class TideConfig(geobind.Config, extra="allow"):'),
    ),
    "an inner config that drops what it does not know": (
        "configs_refuse_unknown_keys",
        "Sharpness, in the config of loss pull, takes the key",
        ("class Sharpness(geobind.Config):", 'class Sharpness(geobind.Config, extra="ignore"):'),
    ),
    "a key without help": (
        "config_fields_have_help",
        "`width` of TideConfig",
        ('\n    """Width of the embedding."""', ""),
    ),
    "an inner key without help": (
        "config_fields_have_help",
        "`temperature` of Sharpness, in the config of loss pull",
        ('\n    """Initial temperature."""', ""),
    ),
    "a check that is none": (
        "unchecked_names_exist",
        "`unchecked` of loss pull names 'order_is_stable', which is no check of it",
        ('summary="A softmax loss."', 'summary="A loss.", unchecked={"order_is_stable": "of datasets"}'),
    ),
    "a check left out for no reason": (
        "unchecked_names_exist",
        "`unchecked` of loss pull gives no reason",
        ('summary="A softmax loss."', 'summary="A loss.", unchecked={"nan_is_not_hidden": " "}'),
    ),
}
"""What is wrong → the check that tells, its words, and what is written in the place of what."""


@pytest.mark.parametrize("mutant", PLUGIN)
def test_what_is_wrong_with_specs_is_told(failing, mutant):
    check, words, changes = PLUGIN[mutant]
    found = failing(PluginSubject, *zip(changes[::2], changes[1::2], strict=True), leave_out=SLOW)
    assert found.keys() == {check}
    assert words in found[check]


def test_a_name_given_twice_does_not_load(failing):
    twice = ('name="harbour",', 'name="tide",')
    with pytest.raises(PluginError, match="brings modality tide twice"):
        failing(PluginSubject, twice)


MODALITY = {
    "an example that ends": (
        "example_items_exist",
        "gives None for index 5",
        ('    return f"Port Number {index}"', '    return f"Port Number {index}" if index != 5 else None'),
    ),
    "equal examples": (
        "example_items_differ",
        "example items 0 and 1 are equal",
        ("default_rng(index)", "default_rng(0)"),
    ),
    "examples at random": (
        "example_items_stay_the_same",
        "is another when it is asked for again",
        ("default_rng(index)", "default_rng()"),
    ),
    "no word on items": ("an_item_is_described", "`item` is empty", ("float32 [4]: four water levels of a day", "")),
    "no units": ("units_are_given", "items hold numbers, and `units` is empty", ('units="m"', 'units=""')),
    "items that cannot be pickled": (
        "items_pickle_to_workers",
        "TypeError: it stays here",
        (
            'def example_harbour(index):\n    return f"Port',
            "class Name(str):\n    def __reduce_ex__(self, protocol):\n        raise TypeError('it stays here')\n\n\n"
            'def example_harbour(index):\n    return Name(index) or f"Port',
        ),
    ),
    "a preview that fails": (
        "previews_show_items",
        "ZeroDivisionError",
        ('    return " ".join(f"{level:.1f} m" for level in item)', "    return 1 / 0"),
    ),
    "a preview that is an array": (
        "previews_show_items",
        "the preview of example item 0 is of type ndarray",
        ('    return " ".join(f"{level:.1f} m" for level in item)', "    return item"),
    ),
    "a sound without a header": (
        "sounds_can_be_heard",
        "is no sound file: it begins with b'tick'",
        ('b"RIFF', 'b"tick'),
    ),
    "a sound of a megabyte": ("sounds_can_be_heard", "1,000,012 bytes", ('WAVE"', 'WAVE" + bytes(10**6)')),
}


@pytest.mark.parametrize("mutant", MODALITY)
def test_what_is_wrong_with_a_modality_is_told(failing, mutant):
    check, words, change = MODALITY[mutant]
    found = failing(ModalitySubject, change)
    assert found.keys() == {check}
    assert words in found[check]


def test_a_modality_without_an_example_is_told(failing):
    found = failing(ModalitySubject, ('example=f"{__name__}:example_tide",\n', ""))
    assert {"example_items_exist", "example_items_differ"} <= found.keys()
    assert "modality 'tide' has no example items. Name a function" in found["example_items_exist"]


@pytest.mark.parametrize(
    ("check", "words", "change", "recipe"),
    [
        (
            "path_is_absolute",
            "depends on the folder",
            ('str(Path(__file__).resolve().with_name("tides.yaml"))', '"tides.yaml"'),
            "",
        ),
        ("types_are_known", "unknown encoder 'latters'", None, "type: letters|type: latters"),
        ("types_are_known", "unknown key 'spaces'.*tides.yaml:3", None, "space:|spaces:"),
        ("says_what_it_binds", "has no `summary`", None, "summary: .*\n|"),
        ("is_found_by_its_name", "--recipe world finds", ('name="tides"', 'name="world"'), ""),
        (
            "is_found_by_its_name",
            "the file is called 'tides.yaml', and the recipe 'ebb'",
            ('name="tides"', 'name="ebb"'),
            "",
        ),
    ],
)
def test_what_is_wrong_with_a_recipe_is_told(failing, recipe_text, monkeypatch, tmp_path, check, words, change, recipe):
    monkeypatch.chdir(tmp_path)
    old, _, new = recipe.partition("|")
    found = failing(RecipeSubject, *[change] * bool(change), recipe=re.sub(old, new, recipe_text, count=1))
    assert found.keys() == {check}
    assert re.search(words, found[check])

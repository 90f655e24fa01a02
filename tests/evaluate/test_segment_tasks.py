"""The registry of segmentation tasks, files of one's own, and the options of ``geobind evaluate``."""

from __future__ import annotations

import pytest
import yaml
from typer.testing import CliRunner

import geobind.evaluate.segment as package
from geobind.cli import app
from geobind.errors import GeobindError, RecipeError
from geobind.evaluate.findings import Finding
from geobind.evaluate.segment import segmentation, segmentations

OWN = {"summary": "Mine", "image": "rgb", "legend": {1: "wood", 2: "water"}, "ignore": [0]}


@pytest.fixture
def write(tmp_path):
    def write(**changes):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({**OWN, **changes}, sort_keys=False))
        return str(path)

    return write


@pytest.mark.parametrize("name", segmentations())
def test_a_registered_task_holds_together(name):
    task = segmentation(name)
    assert (task.name, task.masks, task.image, task.ignore) == (name, "classmap", "rgb", (0,))
    assert task.source.endswith(".") and task.note.endswith(".")
    assert all(template.count("{}") == 1 for template in task.templates) and task.templates
    assert all(words == " ".join(words.split()) for words in task.classes)


def test_the_legend_of_koppen_is_that_of_the_world():
    climate = pytest.importorskip("geobind_world.climate")
    expected = {number: climate.CLIMATES[code].name for code, number in climate.CODES.items()}
    assert dict(segmentation("koppen").legend) == expected
    assert segmentation("koppen").ignore == (climate.NO_CLASS,)


def test_the_legend_of_glc22_has_a_class_for_every_code():
    assert sorted(segmentation("glc22").legend) == list(range(1, 34))
    assert len(segmentation("glc22").classes) == 12


def test_a_file_of_ones_own(write):
    task = segmentation(write(folds=3))
    assert (task.name, task.classes, task.folds, task.dataset) == ("mine", ("wood", "water"), 3, None)
    assert task.templates == ("a satellite photo of {}.",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"legend": {1: "wood"}}, "fewer than two classes"),
        ({"legend": {1: "wood", 2: "wood"}}, "fewer than two classes"),
        ({"ignore": [1]}, "code 1 is ignored and stands in the legend"),
        ({"templates": ["a photo"]}, "exactly one {}"),
        ({"folds": 1}, "folds"),
        ({"limits": 4}, r"unknown key 'limits'. Did you mean 'limit'"),
        ({"legend": {"wood": 1}}, "legend"),
    ],
)
def test_mistakes_in_a_file_name_the_line(write, changes, said):
    with pytest.raises(RecipeError, match=rf"{said}.*mine\.yaml:\d"):
        segmentation(write(**changes))


def test_unknown_names_and_files():
    with pytest.raises(GeobindError, match=r"unknown segmentation task 'kopen'. Did you mean 'koppen'"):
        segmentation("kopen")
    with pytest.raises(GeobindError, match="segmentation file 'nowhere.yaml' does not exist"):
        segmentation("nowhere.yaml")


def test_options_reach_the_question(toy_recipe, write_recipe, write, tmp_path, monkeypatch):
    asked = []

    def segment(subject, task, **options):
        asked.append((subject.split, task.name, options))
        return Finding(name="segment-mine", title="Mine", answer=("Told.",), protocol={})

    def command(*args):
        done = CliRunner().invoke(app, [str(arg) for arg in args])
        if isinstance(done.exception, GeobindError):
            raise done.exception
        assert done.exit_code == 0, done.output

    monkeypatch.setattr(package, "segment", segment)
    monkeypatch.chdir(tmp_path)
    command("bind", "--recipe", write_recipe(toy_recipe), "--stage", "b")
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("{} from above\n")
    command("evaluate", "--segment", write(), "--segment-head", "none", "--of", "toy_a", "--templates", prompts)
    command("evaluate", "--segment", write(), "--split", "val")
    assert asked == [
        ("test", "mine", {"image": "toy_a", "head": "none", "templates": ("{} from above",)}),
        ("val", "mine", {"image": None, "head": "linear", "templates": None}),
    ]
    with pytest.raises(RecipeError, match=r"unknown head 'linar'. Did you mean 'linear'"):
        command("evaluate", "--segment", write(), "--segment-head", "linar")
    with pytest.raises(GeobindError, match="unknown segmentation task 'kopen'"):
        command("evaluate", "--segment", "kopen")

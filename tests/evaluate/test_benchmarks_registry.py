"""The registry of benchmarks holds together, and a file of one's own is read like it."""

from __future__ import annotations

import pytest
import yaml

from geobind.errors import GeobindError, RecipeError
from geobind.evaluate.zeroshot.benchmarks import Benchmark, benchmark, benchmarks, digest, words

CLASSES = {
    "eurosat": 10,
    "aid": 30,
    "resisc45": 45,
    "patternnet": 38,
    "rsi-cb256": 35,
    "fmow": 62,
    "million-aid": 51,
    "ucm": 21,
    "whu-rs19": 19,
    "rsscn7": 7,
    "esc50": 50,
    "urbansound8k": 10,
}
OWN = {
    "title": "Mine",
    "modality": "satellite",
    "classes": {"a": "red", "b": "blue"},
    "templates": ["a photo of {}"],
    "source": "myself",
    "layout": "folders",
}


@pytest.fixture
def write(tmp_path):
    def write(**changes):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({**OWN, **changes}, sort_keys=False))
        return str(path)

    return write


def test_every_benchmark_of_the_issue_is_there():
    assert set(CLASSES) | {"skyscript"} == set(benchmarks())


@pytest.mark.parametrize("name", benchmarks())
def test_a_registered_benchmark_holds_together(name):
    found = benchmark(name)
    assert found.name == name
    assert found.modality in {"satellite", "audio"}
    assert found.source.endswith(".")
    assert found.layout.endswith(".")
    assert all(template.count("{}") == 1 for template in found.templates)
    assert len(set(found.templates)) == len(found.templates)
    if found.classes == "folders":
        assert name not in CLASSES
        assert "found" in found.note
        return
    assert len(found.classes) == CLASSES[name]
    assert len(set(found.classes.values())) == CLASSES[name]
    assert all(text == " ".join(text.split()) and "_" not in text for text in found.classes.values())


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("RailwayStation", "railway station"),
        ("railwayStation", "railway station"),
        ("railway_station", "railway station"),
        ("multi-unit_residential", "multi-unit residential"),
        ("forest", "forest"),
    ],
)
def test_folders_become_words(folder, expected):
    assert words(folder) == expected


def test_an_unknown_benchmark_names_the_nearest():
    with pytest.raises(GeobindError, match=r"unknown benchmark 'eurosatt'.*Did you mean 'eurosat'"):
        benchmark("eurosatt")


def test_a_file_of_ones_own(write):
    found = benchmark(write(classes=["BareLand", "forest"], templates="skyscript"))
    assert (found.name, found.licence, found.size) == ("mine", "unknown", None)
    assert found.classes == {"BareLand": "bare land", "forest": "forest"}
    assert found.templates == benchmark("aid").templates


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(GeobindError, match="does not exist"):
        benchmark(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"templates": ["a photo"]}, r"exactly one \{\}.*mine.yaml:6"),
        ({"templates": ["{} beside {}"]}, r"exactly one \{\}"),
        ({"templates": ["a {} of {c}"]}, "no other braces"),
        ({"templates": []}, "at least 1 item"),
        ({"templates": "skyscrypt"}, "unknown template set 'skyscrypt'.*Did you mean 'skyscript'"),
        ({"classes": {"a": "red", "b": "red"}}, "two classes have the same words 'red'.*mine.yaml:3"),
        ({"classes": ["a", "a"]}, "class 'a' is given twice"),
        ({"classes": {"a": "red"}}, "fewer than two classes"),
        ({"licences": "MIT"}, r"unknown key 'licences'. Did you mean 'licence'.*mine.yaml:10"),
        ({"index": {"file": "a.csv", "path": "{x}"}}, "'index.label' is missing"),
        ({"size": 0}, "greater than 0"),
        ({"metric": "accuracy"}, "top-1"),
    ],
)
def test_nonsense_is_refused_with_its_place(write, changes, message):
    with pytest.raises(RecipeError, match=message):
        benchmark(write(**changes))


def test_digests_tell_lists_apart():
    assert digest(["a", "b"]) == digest(("a", "b")) != digest(["b", "a"])
    assert digest(["ab"]) != digest(["a", "b"])


def test_values_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        benchmark("aid").title = "other"
    assert isinstance(benchmark("aid"), Benchmark)


def test_a_file_that_is_no_benchmark_is_told_as_one(tmp_path):
    (tmp_path / "mine.yaml").write_text("- AnnualCrop\n")
    with pytest.raises(GeobindError, match=r"a benchmark is a mapping of keys .*mine.yaml.*registry/benchmarks.yaml"):
        benchmark(str(tmp_path / "mine.yaml"))

"""``geobind merge``: what it writes, prints and refuses."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from geobind.bind.binder import bind
from geobind.cli import app
from geobind.cli.common import print_finding
from geobind.errors import GeobindError
from geobind.evaluate.findings import Finding, Table
from geobind.plan import load_plan
from geobind.plugins import get_plugins
from geobind.space.records import read_record


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("merge")


@pytest.fixture
def two(folder, toy_recipe, write_recipe):
    """Two spaces of one start, called ``one`` and ``two``."""
    for name, lr in (("one", 0.01), ("two", 0.05)):
        if not (folder / name).exists():
            sets = ["defaults.optim.epochs=1", f"defaults.optim.lr={lr}"]
            plan = load_plan(str(write_recipe(toy_recipe)), get_plugins(), sets)
            bind(plan, plan.stages, space=folder / name, runs=folder / "runs")
    return str(folder / "one"), str(folder / "two")


def run(*arguments):
    done = CliRunner().invoke(app, ["merge", *map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_an_alpha_writes_a_space(two, tmp_path):
    done = run(*two, "--alpha", "0.25", "--towers", "toy_a, toy_c", "--out", tmp_path / "m")
    record = read_record(tmp_path / "m")
    assert done.exit_code == 0 and f"alpha 0.25, anchor toy_a {record.fingerprint}" in done.output
    assert record.towers["toy_c"].merged.alpha == 0.25 and record.stale == ("toy_b",)


def test_a_sweep_prints_a_table_writes_the_curve_and_the_best_space(two, tmp_path):
    options = ["--sweep", "0,0.5,1", "--metric", "toy_a>toy_b:R@5", "--metric", "toy_a>toy_c:mAP"]
    options += ["--report", tmp_path / "report", "--out", tmp_path / "best", "--set", "stages.b.note=as it was"]
    done = run(*two, *options)
    assert done.exit_code == 0, done.output
    assert "What lies between one and two?" in done.output and "toy_a → toy_b R@5 %" in done.output
    names = {file.name for file in (tmp_path / "report").iterdir()}
    assert names == {"report.html", "report.md", "results.json", "merging.png", "merging.csv"}
    (found,) = json.loads((tmp_path / "report" / "results.json").read_text())["findings"]
    best = found["details"]["best_alpha"]
    assert f"R@5 is best at alpha {best:g}" in done.output
    towers = read_record(tmp_path / "best").towers
    assert all(tower.merged.alpha == best for tower in towers.values())
    assert len((tmp_path / "report" / "merging.csv").read_text().splitlines()) == 7


def test_a_finding_is_printed_as_it_is_written(capsys):
    """Names of folders and classes are the user's: a bracket in one is no markup."""
    table = Table(title="[/t]", columns=("[c]",), rows=(("[d]",),), note="[/e]")
    title, answer = "Between [a] and [/b]?", ("[c] [1.0, 2.0]",)
    print_finding(Finding(name="x", title=title, answer=answer, protocol={}, tables=(table,)))
    printed = capsys.readouterr().out
    for text in ("[/t]", "[d]", "[/e]", "Between [a] and [/b]?", "[c] [1.0, 2.0]"):
        assert text in printed


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ([], "an alpha or a sweep is needed"),
        (["--alpha", "0.5", "--sweep", "0,1"], "not both"),
        (["--alpha", "0.5"], "where the merged space goes.*--out"),
        (["--alpha", "0.5", "--metric", "a>b:R@1"], "belong to --sweep"),
        (["--sweep", "0,half"], "no list of numbers"),
        (["--sweep", "0,1"], "needs a figure to go by"),
        (["--sweep", "0,1", "--metric", "toy_a>toy_b:R@5", "--out", "{one}"], "there is a space already"),
    ],
)
def test_what_makes_no_sense_is_told(two, options, match):
    with pytest.raises(GeobindError, match=match):
        run(*two, *(option.format(one=two[0]) for option in options))

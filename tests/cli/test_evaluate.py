"""``geobind evaluate`` and ``geobind compare``: every option reaches its question, and all share one report."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from geobind.cli import app
from geobind.errors import GeobindError


@pytest.fixture
def run(toy_recipe, write_recipe, tmp_path, monkeypatch):
    """A folder with a bound toy space, in which commands are run; their mistakes are raised."""
    recipe = write_recipe(toy_recipe)
    monkeypatch.chdir(tmp_path)

    def command(*args):
        done = CliRunner().invoke(app, [str(arg) for arg in args])
        if isinstance(done.exception, GeobindError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    command("bind", "--recipe", recipe)
    return command


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_all_pairs_and_questions_share_one_report(run, tmp_path):
    said = run(
        "evaluate", "--all-pairs", "--emergent", "--gap", "--sum", "toy_a+toy_b", "--ks", "1,5", "--ties", "optimistic"
    )
    found = results(tmp_path / "reports/toy")
    assert [finding["name"] for finding in found["findings"]] == ["emergent", "sums", "gap"]
    assert (found["all_pairs"]["ks"], found["all_pairs"]["ties"]) == ([1, 5], "optimistic")
    assert all(finding["answer"][0].split()[0] in said for finding in found["findings"])
    page = (tmp_path / "reports/toy/report.html").read_text()
    assert all(finding["title"] in page for finding in found["findings"])
    # What was asked without --all-pairs leaves no matrix behind.
    run("evaluate", "--gap", "--modalities", "toy_a,toy_c")
    found = results(tmp_path / "reports/toy")
    assert found["all_pairs"] is None and [finding["name"] for finding in found["findings"]] == ["gap"]
    assert not (tmp_path / "reports/toy/matrix.png").exists()


def test_results_are_remembered_and_may_be_asked_anew(run, tmp_path, monkeypatch):
    from geobind.evaluate import retrieval

    monkeypatch.setenv("GEOBIND_CACHE", str(tmp_path / "cache"))
    run("evaluate", "--all-pairs", "--out", "first")
    assert len(list((tmp_path / "cache/results").glob("*.npz"))) == 3
    counted = []
    rank = retrieval.rank_both
    monkeypatch.setattr(retrieval, "rank_both", lambda *a, **k: counted.append(1) or rank(*a, **k))
    run("evaluate", "--all-pairs", "--out", "second")
    assert not counted
    run("evaluate", "--all-pairs", "--no-cache", "--out", "third")
    assert len(counted) == 3
    first, second, third = (results(tmp_path / name) for name in ("first", "second", "third"))
    assert first == second
    recall = [[r["scores"]["recall"] for r in found["all_pairs"]["results"]] for found in (first, third)]
    assert recall[0] == recall[1]


def test_retention_and_legacy(run, tmp_path):
    run("evaluate", "--all-pairs", "--legacy", "geoclap", "--retention", "c", "--out", "report")
    names = [finding["name"] for finding in results(tmp_path / "report")["findings"]]
    assert names == ["legacy-geoclap", "legacy-geoclap", "retention"]


def test_compare_two_reports(run, tmp_path):
    run("evaluate", "--all-pairs", "--out", "a")
    run("bind", "--modality", "toy_c", "--set", "stages.c.seed=5")
    run("evaluate", "--all-pairs", "--out", "b")
    said = run("compare", "a", "b", "--out", "c")
    assert "toy_a → toy_c" in said
    found = results(tmp_path / "c")["findings"][0]
    assert found["name"] == "compare"
    same = [m for m in found["measures"] if "toy_a → toy_b" in m["of"]]
    assert same and all(m["value"] == m["low"] == m["high"] == 0 for m in same)


@pytest.mark.parametrize(
    ("args", "match"),
    [
        ([], "nothing to evaluate was named.*--gap"),
        (["--all-pairs", "--split", "tst"], "unknown split 'tst'. Did you mean 'test'"),
        (["--all-pairs", "--ks", "1,ten"], "--ks '1,ten' is no list of whole numbers"),
        (["--all-pairs", "--ties", "max"], "unknown tie rule 'max'"),
        (["--all-pairs", "--by", "source"], "no dataset has the tag column 'source'"),
        (["--all-pairs", "--radius-km", "5"], "none of the 3 pairs .* could be evaluated.*coordinates"),
        (["--all-pairs", "--legacy", "geoclop"], "geoclop.*Did you mean 'geoclap'"),
        (["--all-pairs", "--modalities", "toy_a,toy_x"], "'toy_x' is not bound"),
        (["--sum", "toy_a"], "a sum needs two or more modalities"),
        (["--zero-shot", "eurosat"], "one of `--root FOLDER` and `--labels TAG`"),
        (["--zero-shot", "eurosatt", "--root", "."], "eurosatt.*Did you mean 'eurosat'"),
        (["--zero-shot", "eurosat", "--root", ".", "--templates", "none.txt"], "none.txt"),
        (["--probe", "ndvi"], "ndvi"),
        (["--probe", "ndvi", "--kind", "regress"], "'regress' is no kind of target. Did you mean 'regression'"),
        (["--probe", "ndvi", "--targets", "none.csv"], "none.csv"),
        (["--explain", "none.jpg"], "no file"),
        (["--regions"], "coordinates"),
        (["--retention", "b"], "nothing stands before"),
        (["--retention", "x"], "no stage 'x'"),
        (["--leakage"], "coordinates"),
    ],
)
def test_a_mistake_is_told_and_leaves_no_report(run, tmp_path, args, match):
    with pytest.raises(GeobindError, match=match):
        run("evaluate", *args)
    assert not (tmp_path / "reports").exists()


def test_benchmarks_are_listed(tmp_path):
    done = CliRunner().invoke(app, ["benchmarks", "list"])
    assert done.exit_code == 0
    assert {"eurosat", "aid", "resisc45", "fmow", "esc50"} <= {
        line.split()[0] for line in done.output.splitlines() if line[:1].strip()
    }

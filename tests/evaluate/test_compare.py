"""Evaluations side by side: differences with known answers, and refusals."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from geobind.cli.compare import compare as command
from geobind.errors import DataError, GeobindError
from geobind.evaluate.compare import compare
from geobind.evaluate.compare.paired import independent, paired, same_queries
from geobind.evaluate.compare.render import signed, to_finding, to_rich
from geobind.evaluate.findings import Finding, Measure
from geobind.evaluate.intervals import resampled
from geobind.evaluate.report import read, write_report
from geobind.evaluate.report.queries import Queries
from geobind.evaluate.retrieval import all_pairs
from geobind.evaluate.subject import Subject

MEASURE = Measure(
    of="EuroSAT", metric="top-1", value=0.4, low=0.35, high=0.45, chance=0.1, n=900, protocol={"templates": 3}
)


def finding(*measures):
    return Finding(name="zero-shot-eurosat", title="EuroSAT", answer=("So.",), protocol={}, measures=measures)


@pytest.fixture
def evaluated(space, items, dataset, tmp_path):
    """Write a report of a space on made-up data of so many places."""

    def make(name, noise=0.5, places=60, findings=(), trained=("text",), origin="true location"):
        words = [f"p{i}" for i in range(places)]
        data = dataset(items("satellite", words), items("text", words), origin=origin, name=f"data-{places}")
        toy = space("satellite", "text", trained=trained, noise={"text": noise})
        write_report(tmp_path / name, all_pairs(Subject(toy, [data])), findings)
        return tmp_path / name

    return make


def asked(places, **values):
    return Queries("hash", np.array(places), {name: np.asarray(v, dtype=float) for name, v in values.items()})


# -- intervals --------------------------------------------------------------------------------------


def test_a_constant_difference_has_no_width():
    rng = np.random.default_rng(0)
    rank = rng.integers(1, 500, size=80).astype(float)
    places = [f"p{i % 30}" for i in range(80)]
    a = asked(places, **{"mean rank": rank, "median rank": rank, "R@1": np.zeros(80)})
    b = asked(places, **{"mean rank": rank + 3, "median rank": rank - 2, "R@1": np.ones(80)})
    found = paired(a, b, ["mean rank", "median rank", "R@1"])
    assert found["mean rank"] == pytest.approx((3, 3))
    assert found["median rank"] == (-2, -2)
    assert found["R@1"] == (1, 1)


def test_paired_intervals_are_those_of_a_bootstrap_written_out():
    rng = np.random.default_rng(1)
    places = np.array([f"p{i}" for i in rng.integers(0, 12, size=40)])
    x, y = rng.integers(1, 50, size=(2, 40)).astype(float)
    y[5] = x[5] = np.nan
    names, of = np.unique(places, return_inverse=True)
    means, medians = [], []
    for drawn in resampled(len(names)):
        rows = np.repeat(np.arange(40), drawn[of])
        means.append(np.nanmean(y[rows]) - np.nanmean(x[rows]))
        medians.append(np.nanmedian(y[rows]) - np.nanmedian(x[rows]))
    a, b = (asked(places, **{"MRR": v, "D@10 km": v}) for v in (x, y))
    found = paired(a, b, ["MRR", "D@10 km"])
    assert found["MRR"] == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
    assert found["D@10 km"] == pytest.approx(tuple(np.quantile(medians, [0.025, 0.975])))
    other = replace(b, values={name: np.where(np.arange(40) == 7, np.nan, v) for name, v in b.values.items()})
    assert paired(a, other, ["MRR"]) == {}  # known for other queries


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_queries_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    places = np.array([f"p{i}" for i in rng.integers(0, 9, size=25)])
    x, y = rng.integers(1, 9, size=(2, 25)).astype(float)
    order = rng.permutation(25)
    a, b, shuffled = (
        asked(p, **{"mean rank": v, "median rank": v}) for p, v in ((places, x), (places, y), (places[order], y[order]))
    )
    assert same_queries(a, shuffled)
    straight, other = (paired(a, one, ["mean rank", "median rank"]) for one in (b, shuffled))
    assert straight["median rank"] == other["median rank"]
    assert straight["mean rank"] == pytest.approx(other["mean rank"])


def test_other_places_are_other_queries():
    assert not same_queries(asked(["p", "q"]), asked(["p", "p"]))
    assert not same_queries(asked(["p"]), Queries("other", np.array(["p"]), {}))


def test_independent_intervals():
    a, b = (replace(MEASURE, value=v, low=v - w, high=v + w) for v, w in ((0.4, 0.03), (0.5, 0.04)))
    assert independent(a, b) == pytest.approx((0.05, 0.15))
    # Newcombe 1998, table II, method 10, contrast (a): 56/70 against 48/80, Wilson intervals.
    one = replace(MEASURE, value=48 / 80, low=0.4904, high=0.7004)
    two = replace(MEASURE, value=56 / 70, low=0.6918, high=0.8770)
    assert independent(one, two) == pytest.approx((0.0524, 0.3339), abs=2e-4)
    assert independent(replace(a, low=None), b) is None


# -- files ------------------------------------------------------------------------------------------


def test_a_file_against_itself_differs_nowhere(evaluated):
    a = evaluated("a", findings=[finding(MEASURE)])
    for b in (a, a / "results.json", evaluated("b", findings=[finding(MEASURE)])):
        comparison = compare([a, b], metrics=["all"])
        assert {(one.value, one.interval, one.how) for one in comparison.differences} == {
            (0.0, (0.0, 0.0), "same file")
        }
        assert not any(one.clear or one.better for one in comparison.differences)
        assert len(comparison.differences) == len(read(a / "results.json").all_pairs.measures()) + 1


def test_equal_ranks_of_another_space_differ_nowhere(evaluated):
    comparison = compare([evaluated("a"), evaluated("b", trained=())], metrics=["all"])
    assert {(one.value, one.interval, one.how) for one in comparison.differences} == {(0.0, (0.0, 0.0), "paired")}
    assert comparison.differences[0].other.protocol["relation"] == "emergent"  # says which space, not how


def test_a_worse_space_is_told_from_a_better_one(evaluated):
    a, b = evaluated("good", 0.5), evaluated("bad", 3.0)
    comparison = compare([a, b])
    assert comparison.names == ("good", "bad")
    assert [one.baseline.metric for one in comparison.differences] == ["R@10", "median rank", "mAP"] * 2
    good, bad = (read(path / "results.json").all_pairs.get("satellite", "text") for path in (a, b))
    first = comparison.differences[0]
    assert first.value == bad.scores.recall[10] - good.scores.recall[10] < -0.3
    assert first.interval[0] < first.value < first.interval[1] < 0
    assert all(one.how == "paired" and one.clear and not one.better for one in comparison.differences)
    assert comparison.differences[1].value > 0  # more is worse for a rank
    back = compare([b, a])
    assert all(one.better for one in back.differences)
    np.testing.assert_allclose(
        [one.interval for one in back.differences], [[-x for x in one.interval[::-1]] for one in comparison.differences]
    )
    assert compare([a, b], metrics=["MRR"]).differences[0].how == "paired"


def test_without_ranks_the_two_intervals_serve(evaluated):
    a, b = evaluated("a", 2.0), evaluated("b", 2.2)
    pairwise = compare([a, b]).differences[0]
    (b / "ranks.npz").unlink()
    first = compare([a, b]).differences[0]
    assert (pairwise.how, first.how) == ("paired", "independent")
    assert first.interval == independent(first.baseline, first.other)
    assert np.ptp(pairwise.interval) < np.ptp(first.interval)  # the two spaces err on the same queries


def test_protocols_that_differ_are_refused_and_named(evaluated):
    a, b = evaluated("a", places=60), evaluated("b", places=50)
    with pytest.raises(GeobindError, match="6 of 6 measures of a and b follow different protocols") as refused:
        compare([a, b])
    for words in ("queries: 60 against 50", "gallery_size: 60 against 50", "split_hash: ", "--across-protocols"):
        assert words in str(refused.value)
    assert "dataset: data-60 against data-50" in str(refused.value)
    differences = compare([a, b], across_protocols=True).differences
    assert all(one.how == "independent" and "queries: 60 against 50" in one.unlike for one in differences)


def test_findings_are_compared_by_name_and_protocol(evaluated):
    better = replace(MEASURE, value=0.6, low=0.56, high=0.64)
    bare = replace(MEASURE, metric="hubness", low=None, high=None, higher_is_better=False)
    a = evaluated("a", findings=[finding(MEASURE, bare)])
    b = evaluated("b", 3.0, findings=[finding(better, replace(bare, value=0.1))])
    top, hub = compare([a, b]).differences[-2:]
    assert (top.finding, top.how, top.clear, top.better) == ("zero-shot-eurosat", "independent", True, True)
    assert top.value == pytest.approx(0.2) and top.label == "zero-shot-eurosat: EuroSAT"
    assert (hub.how, hub.interval, hub.clear, hub.better) == ("none", None, False, True)
    other = evaluated("c", findings=[finding(replace(better, protocol={"templates": 7}), bare)])
    with pytest.raises(GeobindError, match="1 of 8 measures.*top-1 of EuroSAT has templates: 3 against 7"):
        compare([a, other])
    fewer = evaluated("d", findings=[finding(replace(better, n=800), bare)])
    with pytest.raises(GeobindError, match="n: 900 against 800"):
        compare([a, fewer])


def test_what_only_one_has_is_listed(evaluated):
    a, b = evaluated("a"), evaluated("b", 3.0, findings=[finding(MEASURE)])
    assert compare([a, b]).unmatched == ("b has what a has not: EuroSAT.",)


def test_what_cannot_be_compared_is_said(evaluated, tmp_path):
    a = evaluated("a")
    write_report(tmp_path / "b", findings=[finding(MEASURE)])
    for paths, problem in {
        (): "two or more results; there is none",
        (a,): "two or more results; there is 1",
        (a, tmp_path / "nowhere" / "results.json"): "nowhere/results.json' cannot be read",
        (a, tmp_path / "b"): "a and b have no measure in common",
    }.items():
        with pytest.raises(GeobindError, match=problem):
            compare(paths)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="there is no results.json in '.*empty'"):
        compare([a, tmp_path / "empty"])
    with pytest.raises(GeobindError, match="no result has the metric 'R@11'.*Did you mean 'R@1"):
        compare([a, a], metrics=["R@11"])


def test_alike_folders_go_by_their_paths(evaluated):
    a, b = evaluated("one/report"), evaluated("two/report", 3.0)
    names = compare([a, b, b]).names
    assert names[0].endswith("one/report/results.json") and names[1].endswith("two/report/results.json")
    assert names[2] == f"{names[1]} (3)"


# -- what is shown ----------------------------------------------------------------------------------


def test_terminal_table(evaluated):
    comparison = compare([evaluated("good"), evaluated("bad", 3.0), evaluated("worse", 9.0)])
    console = Console(width=200, file=io.StringIO())
    console.print(to_rich(comparison))
    printed = console.file.getvalue()
    assert printed.count("satellite → text") == 6
    assert "bad and worse against good" in printed and "paired: on the same queries" in printed
    assert "independent" not in printed and "†" not in printed
    first = comparison.differences[0]
    assert signed(first.value, "R@10") in printed and "chance" in printed


def test_a_finding_for_a_report(evaluated, tmp_path):
    a, b = evaluated("good"), evaluated("bad", 3.0, places=50)
    comparison = compare([a, b], across_protocols=True)
    found = to_finding(comparison)
    worse = sum(one.clear for one in comparison.differences)
    assert found.answer[0].startswith(f"bad is better than good in 0 of 6 measures and worse in {worse};")
    assert "6 differences are between different protocols" in found.answer[-1]
    assert len(found.tables[0].rows) == len(found.measures) == 6
    assert "queries: 60 against 50" in found.tables[0].note and found.protocol["protocols"] == "differ, see †"
    assert [picture.name for picture in found.pictures] == ["compare-r-10", "compare-median-rank", "compare-map"]
    for picture in found.pictures:
        with Image.open(io.BytesIO(picture.png)) as opened:
            assert opened.format == "PNG" and opened.width > 600
    files = [path.name for path in write_report(tmp_path / "out", findings=[found])]
    assert {"report.html", "report.md", "results.json", "compare-r-10.png"} <= set(files)
    assert read(tmp_path / "out" / "results.json").findings == (found,)


def test_how_pairs_came_about_is_said(evaluated):
    a, b = (evaluated(name, noise, origin="synthesised text") for name, noise in (("a", 0.5), ("b", 3.0)))
    first = compare([a, b]).differences[0]
    assert first.label == "satellite → text (synthesised)"
    found = to_finding(compare([a, b]))
    assert first.label in found.tables[0].rows[0] and found.protocol["how positives came about"] == "synthesised text"


def test_differences_are_signed():
    written = [signed(v, m) for v, m in ((0.0312, "R@10"), (-0.5, "mAP"), (0.0, "R@1"), (-12.5, "median rank"))]
    assert written == ["+3.1 pp", "−50.0 pp", "0", "−12.5"]
    assert signed(-123456.0, "mean rank") == "−123,456"


def test_command(evaluated, tmp_path):
    app = typer.Typer()
    app.command()(command)
    a, b = str(evaluated("good")), str(evaluated("bad", 3.0))
    run = CliRunner().invoke(app, [a, b, "--metric", "R@10", "--metric", "MRR"])
    assert run.exit_code == 0 and "R@10" in run.stdout and "MRR" in run.stdout and "mAP" not in run.stdout
    run = CliRunner().invoke(app, [a, b, "--json", "--out", str(tmp_path / "out")])
    values = json.loads(run.stdout)
    assert values["names"] == ["good", "bad"] and len(values["differences"]) == 6
    assert values["differences"][0]["how"] == "paired" and values["differences"][0]["baseline"]["n"] == 60
    assert str(tmp_path / "out" / "report.html") in run.stderr
    assert isinstance(CliRunner().invoke(app, [a]).exception, GeobindError)

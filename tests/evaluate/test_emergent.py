"""Emergent relations: legs, lifts, intervals, and what is said of them."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from geobind.errors import DataError
from geobind.evaluate.emergent import picture as emergent_picture
from geobind.evaluate.emergent.question import emergent, spearman
from geobind.evaluate.emergent.relations import relations
from geobind.evaluate.results import AllPairs
from geobind.evaluate.retrieval import all_pairs
from geobind.evaluate.subject import Subject

MODALITIES = ("satellite", "text", "audio", "location")


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    """Pictures take most of the time: only tests that look at them have them drawn."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(emergent_picture, "png", lambda sheet: b"")


@pytest.fixture
def drawn():
    """Asks for real pictures."""


@pytest.fixture
def measured(space, items, dataset):
    """All pairs of modalities that see the same places."""

    def make(*modalities, n=200, trained=None, origin="true location", group=None):
        own = [f"p{i}" for i in range(n)]
        tables = [
            items(name, own if group is None else [f"{name}{i}" for i in range(n)], group=group) for name in modalities
        ]
        trained = modalities[1:] if trained is None else trained
        return all_pairs(Subject(space(*modalities, trained=trained), [dataset(*tables, origin=origin)]))

    return make


def with_lifts(result: AllPairs, lifts: dict[tuple[str, str], tuple[float, float, float]]) -> AllPairs:
    """The same results with other R@10: (query, gallery) → lift and its interval, else 2 (1.5 to 2.5)."""
    changed = []
    for pair in result.results:
        value, low, high = lifts.get((pair.protocol.query, pair.protocol.gallery), (2.0, 1.5, 2.5))
        by_chance = pair.chance.recall[10]
        scores = replace(pair.scores, recall={**pair.scores.recall, 10: value * by_chance})
        ends = {**pair.intervals, "R@10": (low * by_chance, high * by_chance)}
        changed.append(replace(pair, scores=scores, intervals=ends))
    return replace(result, results=tuple(changed))


def by_name(result):
    return {relation.name: relation for relation in relations(result)[1]}


def test_legs_go_through_the_anchor(measured):
    lifts = {("text", "satellite"): (8.0, 7, 9), ("satellite", "audio"): (4.0, 3, 5), ("text", "audio"): (3.0, 2, 4)}
    found = by_name(with_lifts(measured(*MODALITIES), lifts))
    assert len(found) == 12
    relation = found["text → audio"]
    assert [leg.name for leg in relation.legs] == ["text → satellite", "satellite → audio"]
    assert relation.lift == pytest.approx(3) and relation.interval == pytest.approx((2, 4))
    assert relation.survival == pytest.approx(3 / 4)
    assert found["text → satellite"].legs is None and found["satellite → audio"].legs is None
    assert found["text → satellite"].trained and not relation.trained


def test_what_is_said(measured, drawn):
    lifts = {
        ("text", "audio"): (6.0, 5, 7),
        ("audio", "text"): (0.9, 0.4, 1.6),
        ("text", "location"): (1.2, 0.9, 1.5),
    }
    result = with_lifts(measured(*MODALITIES), lifts)
    finding = emergent(result)
    assert finding.answer[0].startswith("4 of 6 emergent directions are above chance")
    assert finding.answer[1].startswith("The strongest: text → audio 6.0× (pairs: true location); ")
    told = "Not to be told from chance, or below it: text → location 1.2×; audio → text 0.9×."
    assert told in finding.answer
    assert any("from 45 % (audio → text) to 300 % (text → audio)" in sentence for sentence in finding.answer)
    assert not any("rank correlation" in sentence for sentence in finding.answer)  # three pairs only
    directions, legs = finding.tables
    assert len(directions.rows) == 12 and len(legs.rows) == 6
    assert directions.rows[0][0] == legs.rows[0][0] == "text → audio"
    assert {row[0] for row in directions.rows if row[-1] == "no"} == {"audio → text", "text → location"}
    measure = next(m for m in finding.measures if m.of == "text → audio")
    assert (measure.metric, measure.chance, measure.n) == ("R@10 × chance", 1.0, 200)
    assert (measure.value, measure.low, measure.high) == pytest.approx((6, 5, 7))
    assert measure.protocol["relation"] == "emergent" and measure.protocol["origin"] == "true location"
    with Image.open(io.BytesIO(finding.pictures[0].png)) as image:
        assert image.format == "PNG" and min(image.size) > 400


def test_measured_lifts_are_those_of_the_results(measured):
    result = measured(*MODALITIES)
    for name, relation in by_name(result).items():
        pair = result.get(*name.split(" → "))
        assert relation.lift == pytest.approx(pair.lift(10))
        low, high = relation.interval
        assert low <= relation.lift <= high and low > 1 and relation.above_chance


def test_without_an_interval_nothing_is_claimed(measured):
    result = measured(*MODALITIES)
    bare = replace(result, results=tuple(replace(pair, intervals={}) for pair in result.results))
    assert emergent(bare).answer[0].startswith("0 of 6 emergent directions are above chance")


def test_correlation_with_the_legs_from_five_pairs_on(measured):
    modalities = ("satellite", "a", "b", "c", "d")
    strength = {"a": 2.0, "b": 3.0, "c": 5.0, "d": 7.0}
    lifts = {}
    for x in strength:
        lifts |= dict.fromkeys(((x, "satellite"), ("satellite", x)), (strength[x],) * 3)
        lifts |= {(x, y): (1 + strength[x] * strength[y] / 10,) * 3 for y in strength if y != x}
    said = emergent(with_lifts(measured(*modalities, n=120), lifts)).answer
    assert any("Over 6 emergent pairs" in sentence and "rank correlation of 1.00" in sentence for sentence in said)


def test_class_pairs_and_synthesised_ones_are_marked(measured):
    def origin(a, b):
        return "scene class" + (", synthesised" if "audio" in (a, b) else "")

    groups = [f"g{i % 3}" for i in range(60)]
    result = measured("satellite", "text", "audio", n=60, origin=origin, group=groups)
    metric, found = relations(result)
    assert metric == "mAP"  # chance reaches a high R@10
    asides = {relation.name: relation.aside for relation in found}
    assert asides["satellite → text"] == " (scene class)"
    assert asides["text → audio"] == " (scene class, synthesised)"
    finding = emergent(result)
    assert "2 of the 2 emergent directions are paired by group" in finding.answer[-1]
    assert finding.measures[0].metric == "mAP × chance"


def test_a_leg_that_was_not_trained_says_so(measured):
    finding = emergent(measured("satellite", "text", "audio", trained=("audio",)))
    row = next(row for row in finding.tables[1].rows if row[0] == "text → audio")
    assert row[2].startswith("text → satellite ") and row[2].endswith("(not trained)")
    assert "not trained" not in row[3]


def test_parts_by_tag_are_left_aside(measured):
    result = measured("satellite", "text", "audio")
    part = replace(result.results[0], protocol=replace(result.results[0].protocol, subset="source=x"))
    more = replace(result, results=(*result.results, part))
    assert len(emergent(more).tables[0].rows) == 6


def test_nothing_emergent_is_an_error(measured):
    with pytest.raises(DataError, match="none of the 2 measured directions of toy is emergent"):
        emergent(measured("satellite", "text"))


def test_a_direction_that_finds_nothing_is_drawn(measured, drawn):
    result = with_lifts(measured(*MODALITIES), {("text", "audio"): (0.0, 0.0, 0.0), ("text", "satellite"): (0, 0, 0)})
    finding = emergent(result)
    assert "text → audio 0.0×" in " ".join(finding.answer)
    row = next(row for row in finding.tables[1].rows if row[0] == "text → location")
    assert row[-1] == "–"  # no share of a leg of 0
    assert finding.details["of the weaker leg"]["text → location"] is None
    assert finding.pictures[0].png


@pytest.mark.parametrize(
    ("x", "y", "rho"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1.0),
        ([1, 2, 3, 4], [8, 4, 2, 1], -1.0),
        ([1, 2, 2, 3], [1, 3, 2, 4], 4.5 / np.sqrt(4.5 * 5)),
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8),
        ([1, 1, 1], [1, 2, 3], 0.0),
    ],
)
def test_spearman(x, y, rho):
    assert spearman(np.array(x, dtype=float), np.array(y, dtype=float)) == pytest.approx(rho)

"""Queries that are sums of modalities."""

import numpy as np
import pytest

from geobind.errors import DataError, GeobindError
from geobind.evaluate.subject import Subject
from geobind.evaluate.sums import Mix, sums

PLACES = [f"p{i}" for i in range(120)]


@pytest.fixture
def subject(space, items, dataset):
    toy = space("satellite", "text", "audio", trained=["audio"], noise={"satellite": 2.0, "text": 2.0, "audio": 0.5})
    return Subject(toy, [dataset(*(items(name, PLACES) for name in ("satellite", "text", "audio")))])


def test_reading_a_sum():
    assert Mix.parse("satellite+text").parts == (("satellite", 1.0), ("text", 1.0))
    assert Mix.parse("0.7*audio + .3*text").parts == (("audio", 0.7), ("text", 0.3))
    assert (Mix.parse("2*a+2*b").name, Mix.parse("2*a+1*b").name) == ("a+b", "2*a+1*b")
    for wrong in (
        "satellite",
        "satellite+",
        "a*text+b",
        "satellite+satellite",
        "0*satellite+text",
        "-1*satellite+text",
    ):
        with pytest.raises(GeobindError, match="sum|weights"):
            Mix.parse(wrong)


def test_a_sum_is_weighted_and_of_unit_norm():
    a, b = np.array([[1, 0]], dtype="f4"), np.array([[0, 1]], dtype="f4")
    assert Mix.parse("3*a+4*b").vectors([a, b]) == pytest.approx(np.array([[0.6, 0.8]]))
    with pytest.raises(DataError, match="cancel out in 1 queries"):
        Mix.parse("a+b").vectors([a, -a])


def test_two_noisy_views_ask_better_than_one(subject):
    finding = sums(subject, [Mix.parse("satellite+text")])
    recall = {m.of: m for m in finding.measures if m.metric == "R@10"}
    whole = recall["satellite+text → audio"]
    parts = [recall[f"{name} → audio (queries of satellite+text)"] for name in ("satellite", "text")]
    assert whole.value > max(part.value for part in parts) > whole.chance == pytest.approx(10 / 120)
    assert [m.protocol["relation"] for m in (whole, *parts)] == ["mixed", "trained", "emergent"]
    assert {m.protocol["split_hash"] for m in (whole, *parts)} == {whole.protocol["split_hash"]}
    assert finding.answer[0].endswith("(better).")
    assert len(finding.tables[0].rows) == 3


def test_weights_decide(subject):
    nearly_text = sums(subject, [Mix.parse("0.001*satellite+text")])
    value = {m.of: m.value for m in nearly_text.measures if m.metric == "mean rank"}
    assert value["0.001*satellite+1*text → audio"] == pytest.approx(
        value["text → audio (queries of 0.001*satellite+1*text)"], rel=0.02
    )


def test_only_queries_that_have_every_part(space, items, dataset):
    data = dataset(items("satellite", range(9)), items("text", range(5)), items("audio", range(3, 9)))
    finding = sums(Subject(space("satellite", "text", "audio"), [data]), [Mix.parse("satellite+text")])
    assert {m.n for m in finding.measures} == {2}
    with pytest.raises(DataError, match="no sum could ask any gallery.*no satellite item that has a audio also has"):
        apart = dataset(items("satellite", range(9)), items("text", range(3)), items("audio", range(3, 9)))
        sums(Subject(space("satellite", "text", "audio"), [apart]), [Mix.parse("satellite+text")])


def test_unknown_modalities(subject):
    with pytest.raises(GeobindError, match="'texts' is not bound in space 'toy'. Did you mean 'text'"):
        sums(subject, [Mix.parse("satellite+texts")])

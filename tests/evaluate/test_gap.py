"""How modalities lie to each other: known answers, and what the question says."""

import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geobind.errors import DataError, GeobindError, SpaceError
from geobind.evaluate.gap import gap
from geobind.evaluate.gap import pictures as gap_pictures
from geobind.evaluate.gap import question as gap_module
from geobind.evaluate.gap.geometry import (
    between,
    effective_rank,
    hubs,
    skewness,
    uniform_on_sphere,
    uniformity,
)
from geobind.evaluate.gap.pictures import plane
from geobind.evaluate.subject import Subject


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    """Pictures take most of the time: only tests that look at them have them drawn."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(gap_pictures, "png", lambda sheet: b"")


@pytest.fixture
def drawn():
    """Asks for real pictures."""


def unit(rng, n, dim=8):
    vectors = rng.standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def basis(*axes, dim=4):
    return np.eye(dim, dtype=np.float32)[list(axes)]


# -- between two modalities -----------------------------------------------------------------------


def test_equal_sets_have_no_gap_and_are_aligned(labelled):
    vectors = unit(np.random.default_rng(0), 20)
    found = between(vectors, vectors.copy(), labelled(range(20), range(20)))
    assert (found.gap, found.relative_gap, found.positives, found.items) == (0, 0, 20, 40)
    assert found.alignment == pytest.approx(0, abs=1e-12)
    assert found.positive_distance == pytest.approx(0, abs=1e-7)
    assert found.positive_cosine == pytest.approx(1, abs=1e-6)


def test_orthogonal_centroids(labelled):
    found = between(basis(0, 0, 0), basis(1, 1), labelled([0, 0, 1], [0, 1]))
    assert found.gap == pytest.approx(math.sqrt(2))
    assert found.alignment == pytest.approx(2)
    assert found.relative_gap == pytest.approx(1)
    assert (found.positive_cosine, found.negative_cosine) == (0, 0)
    # The pooled mean is (3/5, 2/5, 0, 0).
    assert found.no_gap == pytest.approx(math.sqrt((1 - 0.36 - 0.16) * (1 / 3 + 1 / 2)))


def test_samples_of_one_cloud_are_as_far_apart_as_is_said(labelled):
    rng = np.random.default_rng(1)
    found = [between(unit(rng, 30), unit(rng, 50), labelled([0] * 30, [0] * 50)) for _ in range(200)]
    measured = math.sqrt(np.mean([one.gap**2 for one in found]))
    assert measured == pytest.approx(np.mean([one.no_gap for one in found]), rel=0.05)


@pytest.mark.parametrize("chunk", [1, 3, 512])
def test_figures_are_those_of_the_whole_matrix(labelled, listed, chunk):
    rng = np.random.default_rng(2)
    edges = [(0, 0), (0, 3), (1, 1), (2, 1), (3, 2), (4, 4), (4, 0)]
    groups = labelled([0, 1, 1, 2, 0], [0, 0, 1, 2, 1])
    for pairs in (groups, listed(edges)):
        a, b = unit(rng, 5), unit(rng, 5)
        positive = np.zeros((5, 5), dtype=bool)
        if pairs.edges is None:
            positive = pairs.label_a[:, None] == pairs.label_b
        else:
            positive[tuple(pairs.edges.T)] = True
        cosine = a.astype(float) @ b.T.astype(float)
        distance = np.linalg.norm(a[:, None].astype(float) - b, axis=-1)
        found = between(a, b, pairs, chunk=chunk)
        assert found.positives == positive.sum()
        assert found.positive_cosine == pytest.approx(cosine[positive].mean())
        assert found.negative_cosine == pytest.approx(cosine[~positive].mean())
        assert found.alignment == pytest.approx((distance[positive] ** 2).mean())
        assert found.positive_distance == pytest.approx(distance[positive].mean())
        assert found.gap == pytest.approx(np.linalg.norm(a.mean(axis=0) - b.mean(axis=0)), abs=1e-6)


def test_without_negatives_their_cosine_is_unknown(labelled):
    assert math.isnan(between(basis(0, 1), basis(0, 1), labelled([0, 0], [0, 0])).negative_cosine)


# -- hubs -----------------------------------------------------------------------------------------


def test_one_hub_takes_all():
    found = hubs(basis(0, 0, 0, 0, 0), basis(0, 1, 2, 3), k=1)
    # One of four is retrieved always: a Bernoulli variable of p = 1/4.
    assert found.skewness == pytest.approx(0.5 / math.sqrt(3 / 16))
    assert (found.never, found.never_by_chance, found.queries) == (0.75, 0.75**5, 5)
    assert found.skewness_by_chance == pytest.approx(0.5 / math.sqrt(5 * 3 / 16))


def test_no_hub_where_all_are_retrieved_equally_often():
    found = hubs(basis(0, 1, 2, 3), basis(0, 1, 2, 3), k=1)
    assert (found.skewness, found.never) == (0, 0)
    found = hubs(basis(0, 1), basis(0, 1, 2), k=10)  # a gallery smaller than k
    assert (found.skewness, found.never, found.skewness_by_chance, found.never_by_chance) == (0, 0, 0, 0)


def test_chance_of_hubs_is_that_of_random_neighbours():
    rng = np.random.default_rng(3)
    k, queries, gallery = 10, 40, 200
    drawn = [
        np.bincount(np.concatenate([rng.choice(gallery, k, replace=False) for _ in range(queries)]), minlength=gallery)
        for _ in range(300)
    ]
    found = hubs(unit(rng, queries), unit(rng, gallery), k=k)
    assert found.skewness_by_chance == pytest.approx(np.mean([skewness(one) for one in drawn]), rel=0.06)
    assert found.never_by_chance == pytest.approx(np.mean([np.mean(one == 0) for one in drawn]), rel=0.03)


def test_chunks_change_no_hub():
    rng = np.random.default_rng(4)
    queries, gallery = unit(rng, 50), unit(rng, 30)
    assert hubs(queries, gallery, chunk=7) == hubs(queries, gallery)


# -- one modality ---------------------------------------------------------------------------------


def test_uniformity_in_closed_form():
    assert uniformity(np.stack([basis(0)[0], -basis(0)[0]])) == pytest.approx(-8)
    assert uniformity(basis(0, 1, 2, 3)) == pytest.approx(-4)
    assert uniformity(basis(2, 2, 2)) == pytest.approx(0, abs=1e-6)
    assert math.isnan(uniformity(basis(0)))


@given(n=st.integers(2, 40), chunk=st.integers(1, 50), seed=st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_uniformity_does_not_see_chunks_nor_order(n, chunk, seed):
    rng = np.random.default_rng(seed)
    vectors = unit(rng, n)
    assert uniformity(vectors[rng.permutation(n)], chunk=chunk) == pytest.approx(uniformity(vectors), abs=1e-5)


def test_uniformity_of_the_sphere():
    # On the sphere in space the mean of exp(4 cos) is sinh(4) / 4.
    assert uniform_on_sphere(3) == pytest.approx(-4 + math.log(math.sinh(4) / 4))
    assert uniformity(unit(np.random.default_rng(5), 3000, dim=64)) == pytest.approx(uniform_on_sphere(64), abs=0.01)


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_effective_rank_of_an_isotropic_matrix_is_its_rank(rank):
    rng = np.random.default_rng(6)
    axes = np.linalg.qr(rng.standard_normal((16, rank)))[0].T
    vectors = np.tile(axes, (7, 1)).astype(np.float32)
    assert effective_rank(vectors, chunk=4) == pytest.approx(rank, abs=1e-3)


def test_effective_rank_by_singular_values():
    vectors = unit(np.random.default_rng(7), 30)
    values = np.linalg.svd(vectors.astype(float), compute_uv=False)
    share = values / values.sum()
    assert effective_rank(vectors) == pytest.approx(np.exp(-(share * np.log(share)).sum()))


def test_plane_holds_what_is_flat():
    rng = np.random.default_rng(8)
    flat = rng.standard_normal((40, 2)) @ rng.standard_normal((2, 6))
    points, held = plane(flat)
    assert held == pytest.approx(1)
    apart = np.linalg.norm(flat[:, None] - flat, axis=-1)
    assert np.linalg.norm(points[:, None] - points, axis=-1) == pytest.approx(apart)


# -- the question ---------------------------------------------------------------------------------


@pytest.fixture
def subject(space, items, dataset):
    def make(noise=None, order=slice(None), modalities=("satellite", "text", "audio"), n=40):
        places = np.array([f"p{i}" for i in range(n)])[order]
        tables = [items(name, places, key=[f"{name}:{place}:0" for place in places]) for name in modalities]
        return Subject(space(*modalities, trained=modalities[1:2], noise=noise), [dataset(*tables)])

    return make


def test_what_gap_says(subject, drawn):
    finding = gap(subject())
    assert finding.name == "gap"
    assert len(finding.measures) == 3 * 2 + 3 * (4 + 2 * 2)
    assert [len(table.rows) for table in finding.tables] == [3, 3, 6]
    assert {row[0]: row[1] for row in finding.tables[1].rows} == {
        "satellite – text": "trained",
        "satellite – audio": "emergent",
        "text – audio": "emergent",
    }
    assert finding.answer[0].startswith("The widest gap lies between")
    assert "in 3 of 3 pairs of modalities" in finding.answer[1]
    assert [picture.name for picture in finding.pictures] == ["gap-plane", "gap-pairs", "gap-modalities"]
    for picture in finding.pictures:
        with Image.open(io.BytesIO(picture.png)) as image:
            assert image.format == "PNG" and min(image.size) > 150
    by_chance = {m.of: m for m in finding.measures if m.metric == "cosine of positives"}
    assert all(measure.value > measure.chance + 0.3 for measure in by_chance.values())
    assert all(measure.protocol["origin"] == "true location" for measure in by_chance.values())


def test_the_order_of_items_and_the_seed_change_no_figure(subject):
    def figures(finding):
        return {(m.of, m.metric): m.value for m in finding.measures}

    one = figures(gap(subject()))
    other = figures(gap(subject(order=np.random.default_rng(0).permutation(40)), seed=1))
    assert one.keys() == other.keys()
    assert list(one.values()) == pytest.approx([other[name] for name in one], abs=1e-6)


def test_only_the_modalities_asked_for(subject):
    finding = gap(subject(), ["audio", "satellite"])
    assert [row[0] for row in finding.tables[0].rows] == ["satellite", "audio"]
    with pytest.raises(SpaceError, match="Did you mean 'audio'"):
        gap(subject(), ["audi"])
    with pytest.raises(GeobindError, match="audio can be embedded"):
        gap(subject(), ["audio"])


def test_what_cannot_be_embedded_is_left_out_and_named(subject):
    there = subject()
    there.space.broken.add("audio")
    finding = gap(there)
    assert [row[0] for row in finding.tables[0].rows] == ["satellite", "text"]
    assert any(note.startswith("Left out: audio: ") for note in finding.notes)


def test_broken_embeddings_are_an_error(subject, monkeypatch):
    there = subject()
    whole = there.space.encode

    def encode(modality, items, **rest):
        vectors = whole(modality, items, **rest)
        vectors[3] = np.nan if modality == "text" else vectors[3]
        return vectors

    monkeypatch.setattr(there.space, "encode", encode)
    with pytest.raises(DataError, match="1 of 40 text embeddings are not finite"):
        gap(there)


def test_modalities_without_pairs_still_have_a_shape(drawn, space, items, dataset):
    tables = items("satellite", ["a", "b", "c"]), items("text", ["x"])
    finding = gap(Subject(space("satellite", "text"), [dataset(*tables)]))
    assert [picture.name for picture in finding.pictures] == ["gap-plane", "gap-modalities"]
    assert any("Left out: satellite – text" in note for note in finding.notes)
    # One text is spread over nothing: no figure rather than a NaN.
    assert {(m.of, m.metric) for m in finding.measures} == {
        ("satellite", "uniformity"),
        ("satellite", "effective rank"),
        ("text", "effective rank"),
    }


def test_equal_contents_count_once(space, items, dataset):
    places = [f"p{i}" for i in range(12)]
    captions = items("text", places, key=[f"text:{i // 4}:0" for i in range(12)])
    finding = gap(Subject(space("satellite", "text"), [dataset(items("satellite", places), captions)]))
    assert [row[:2] for row in finding.tables[0].rows] == [("satellite", "12"), ("text", "3")]


def test_many_items_are_sampled(subject, monkeypatch):
    monkeypatch.setattr(gap_module, "SAMPLE", 10)
    one, again, other = (
        next(m.value for m in gap(subject(), seed=seed).measures if m.metric == "uniformity") for seed in (0, 0, 1)
    )
    assert one == again != other

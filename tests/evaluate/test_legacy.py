"""Old conventions, each pinned by a matrix worked by hand, and all by another way of computing them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import geobind.evaluate.legacy.similarity as similarity_module
from geobind.errors import DataError, GeobindError
from geobind.evaluate.legacy import PRESETS, legacy, legacy_finding
from geobind.evaluate.results import Ranked, Side


def rows_with(similarity):
    """Sides ``a`` and ``b`` whose products are a given matrix: the rows of ``a``, and unit vectors."""
    similarity = np.asarray(similarity, dtype=np.float32)
    return similarity, np.eye(len(similarity), dtype=np.float32)


def points(*values):
    """Items on a line, so that distances are differences."""
    return np.array(values, dtype=np.float32)[:, None]


def figures(finding):
    """(metric, printed label) → (what it measures, value)."""
    return {(m.metric, m.protocol["printed as"]): (m.of, m.value) for m in finding.measures}


# Row i: how a_i sees b.
SQUARE = [
    [0.9, 0.1, 0.5],
    [0.2, 0.4, 0.4],
    [0.5, 0.3, 0.1],
]
# Along the rows nothing is above 0.9; 0.4 is tied for the first two ranks; two are above 0.1. Down the columns nothing
# is above 0.9 nor above 0.4, and two are above 0.1.
ROWS, COLUMNS = [1, 1.5, 3], [1, 1, 3]


def test_geoclap_reads_columns_and_so_swaps_the_labels():
    found = figures(legacy("geoclap", *rows_with(SQUARE), names=("image", "sound")))
    assert found["median rank", "image → sound"] == ("sound → image", np.median(COLUMNS))
    assert found["median rank", "sound → image"] == ("image → sound", np.median(ROWS))
    assert set(found) == {(m, d) for m in ("R@100", "median rank") for d in ("image → sound", "sound → image")}


def test_rank_below_k_makes_recall_at_100_one_at_99():
    # The partner of a_0 is at rank 99 along the row, that of a_1 at 100, that of a_2 at 101; all others first.
    similarity = np.eye(120)
    for row, better in ((0, 98), (1, 99), (2, 100)):
        similarity[row] = np.where(np.arange(120) < 110, 0.1, 0)
        similarity[row, row] = 0.2
        similarity[row, [i for i in range(110) if i != row][:better]] = 0.3
    sides = rows_with(similarity)
    geoclap = figures(legacy("geoclap", *sides))
    assert geoclap["R@100", "b → a"] == ("a → b", pytest.approx(118 / 120))
    measure = next(m for m in legacy("geoclap", *sides).measures if m.metric == "R@100")
    assert measure.chance == pytest.approx(99 / 120)
    assert measure.protocol["counted as"] == "rank < 100"


def test_sat2cap_takes_the_first_k_and_a_similarity_of_zero_is_a_miss():
    # Partners along the rows at ranks 1, 5, 6, and first but exactly 0.
    similarity = np.full((7, 7), -0.9)
    np.fill_diagonal(similarity, 0.5)
    similarity[1] = [0.9, 0.5, 0.8, 0.7, 0.6, 0.1, 0.1]
    similarity[2] = [0.9, 0.8, 0.2, 0.7, 0.6, 0.5, 0.1]
    similarity[3, 3] = 0
    found = figures(legacy("sat2cap", *rows_with(similarity), names=("overhead", "ground")))
    assert found["R@5", "overhead → ground"] == ("overhead → ground", pytest.approx(5 / 7))  # not rows 2 and 3
    # The gallery is smaller than 10: all but the zero.
    assert found["R@10", "overhead → ground"] == ("overhead → ground", pytest.approx(6 / 7))
    # Down the columns only rows 1 and 2 are above or beside a partner: ranks 3, 2, 2, 3, 3, 1.5 and 1.
    assert found["median rank", "overhead → ground"] == ("ground → overhead", 2)
    # Along the rows 1, 5, 6, 1, 1, 1, 1.
    assert found["median rank", "ground → overhead"] == ("overhead → ground", 1)


@pytest.mark.parametrize("n,below", [(20, 1), (25, 2), (30, 2)])
def test_psm_counts_ranks_below_a_tenth_of_the_gallery_without_rounding(n, below):
    # N/10 is 2, 2.5 and 3: ranks up to 1, 2 and 2 count. The partner of query i stands at rank i + 1.
    similarity = np.zeros((n, n))
    for i in range(n):
        similarity[i, i] = 0.5
        similarity[i, [j for j in range(n) if j != i][:i]] = 0.9
    finding = legacy("psm", *rows_with(similarity))
    found = figures(finding)
    assert found["R@10%", "a → b"] == ("a → b", pytest.approx(below / n))
    assert found["median rank", "a → b"] == ("a → b", (n + 1) / 2)
    assert next(m.chance for m in finding.measures if m.metric == "R@10%") == pytest.approx(below / n)


def test_ties_are_averaged_and_only_what_is_equal_is_tied():
    close = np.float32(0.4) + np.float32(1e-7)
    assert close != np.float32(0.4)
    tied = figures(legacy("psm", *rows_with([[0.4, 0.4, 0.1], [0, 1, 0], [0, 0, 1]])))
    apart = figures(legacy("psm", *rows_with([[0.4, close, 0.1], [0.5, 0.4, 0.5], [0.4, 0.4, 0.4]])))
    assert tied["median rank", "a → b"][1] == 1  # of 1.5, 1, 1
    assert apart["median rank", "a → b"][1] == 2  # of 2, 3 and 2, three being alike


def test_soundingearth_divides_by_the_means_of_columns():
    # Images at 0, 4 and 20; sounds at 1, 2 and 12. Distances, sounds down, images across:
    #   1  3 19      means 5, 13/3 and 15
    #   2  2 18
    #  12  8  8
    images, sounds = points(0, 4, 20), points(1, 2, 12)
    found = figures(legacy("soundingearth", images, sounds, names=("image", "sound")))
    # Down the columns: 1, 1 (of 3, 2, 8) and 1.
    assert found["median rank", "image → sound"] == ("image → sound", 1)
    # Along the rows without division the second sound ties 2 with 2 and has rank 1.5; with it 2/5 is before 6/13.
    # The third ties 8 with 8, and 8/15 is before 24/13. So the ranks are 1, 2 and 1.
    assert found["median rank", "sound → image"] == ("sound → image", 1)
    assert found["R@100", "sound → image"][1] == 1
    swapped = figures(legacy("soundingearth", sounds, images, names=("sound", "image")))
    # With sounds as columns their distances stay as they are, and so do the two ties: 1, 1.5 and 1.5.
    assert swapped["median rank", "sound → image"] == ("sound → image", 1.5)


def test_soundingearth_rows_by_hand():
    images, sounds = points(0, 4, 20), points(1, 2, 12)
    mean = np.array([5, 13 / 3, 15])
    rows = np.array([[1, 3, 19], [2, 2, 18], [12, 8, 8]]) / mean
    got = np.concatenate([-s for _, s in similarity_module.distances(sounds, images, mean)])
    assert got == pytest.approx(rows)
    assert similarity_module.ranks(similarity_module.distances(sounds, images, mean)).tolist() == [1, 2, 1]
    assert similarity_module.ranks(similarity_module.distances(sounds, images)).tolist() == [1, 1.5, 1.5]


def test_soundingearth_distances_in_km():
    images, sounds = points(*range(12)), points(*(5 - x for x in range(12)))
    # Image x is nearest to sounds of 5 - y = x: with twelve sounds and ten taken, two are left out.
    places = np.stack([np.zeros(12), np.arange(12.0)], axis=1)
    finding = legacy("soundingearth", images, sounds, lat_lon=places)
    found = figures(finding)
    degree = 6371 * np.pi / 180
    # Sounds lie at 5, 4, …, −6. Image x is farthest from the last two, at −5 and −6, which are pairs 10 and 11: only
    # their own images miss themselves, by one and two degrees (pair 9 is the nearest left).
    assert found["D@10 km", "a → b"] == ("a → b", pytest.approx((1 + 2) * degree / 12))
    assert found["D@100 km", "a → b"][1] == 0  # all twelve
    assert next(m for m in finding.measures if m.metric == "D@10 km").chance is None


def test_distances_need_all_coordinates():
    sides, places = (points(0, 1, 2), points(0, 1, 2)), np.array([[0.0, 0.0], [1.0, 1.0], [np.nan, 0.0]])
    for given_places in (None, places):
        finding = legacy("soundingearth", *sides, lat_lon=given_places)
        assert not [m for m in finding.measures if m.metric.startswith("D@")]
        assert "No D@k: not every pair has coordinates." in finding.notes


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 50))
def test_chunks_change_nothing_and_ranks_are_average_ranks(seed, chunk):
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(-2, 3, (40, 3)).astype(np.float32) for _ in range(2))  # many ties
    places = rng.uniform(-90, 90, (40, 2))
    before = {preset: legacy(preset, a, b, lat_lon=places).measures for preset in PRESETS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity_module, "CHUNK", chunk)
        for preset, measures in before.items():
            assert legacy(preset, a, b, lat_lon=places).measures == measures
    # The average rank, as a mean of the most and the least favourable.
    similarity = a @ b.T
    own = np.diag(similarity)[:, None]
    expected = ((similarity > own).sum(1) + 1 + (similarity >= own).sum(1)) / 2
    assert similarity_module.ranks(similarity_module.cosines(a, b)).tolist() == expected.tolist()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_finding_says_what_it_is(preset):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((30, 8)).astype(np.float32) for _ in range(2))
    finding = legacy(preset, a, b, names=("satellite", "audio"), origin="true location")
    assert finding.name == f"legacy-{preset}"
    assert finding.protocol["preset"] == preset and finding.protocol["pairs by"] == "true location"
    assert all(m.n == 30 and m.chance is not None for m in finding.measures)
    assert len(finding.tables[0].rows) == len(finding.measures)
    assert PRESETS[preset].source in finding.notes[0]
    swapped = any(m.of != m.protocol["printed as"] for m in finding.measures)
    assert swapped == (preset in ("sat2cap", "geoclap"))
    assert ("other direction" in finding.answer[1]) == swapped


def test_refusals():
    a = np.eye(3, dtype=np.float32)
    with pytest.raises(GeobindError, match=r"unknown preset 'geoclip'.*Did you mean 'geoclap'"):
        legacy("geoclip", a, a)
    with pytest.raises(DataError, match=r"a embeddings have shape \(3, 3\), b embeddings \(2, 3\).*one-to-one"):
        legacy("psm", a, a[:2])
    with pytest.raises(DataError, match="b embeddings are not finite"):
        legacy("psm", a, a * np.nan)


def ranked(items, pairs, a, b):
    sides = [Side(i, v, np.arange(len(v))) for i, v in zip((pairs.a, pairs.b), (a, b), strict=True)]
    return Ranked(*sides, pairs)


def test_a_pair_of_modalities_is_put_in_order(labelled, items):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((30, 8)).astype(np.float32) for _ in range(2))
    order = rng.permutation(30)
    pairs = labelled(range(30), order)
    finding = legacy_finding("geoclap", ranked(items, pairs, a, b[order]))
    assert finding.measures == legacy("geoclap", a, b, origin="made up").measures


def test_items_of_several_partners_are_refused_with_their_count(labelled, items):
    pairs = labelled([0, 1, 2], [0, 0, 1, 2, 2, 2])
    with pytest.raises(DataError, match=r"2 of 3 a items have more than one partner \(pairs by group\), up to 3"):
        legacy_finding("psm", ranked(items, pairs, np.eye(3, dtype=np.float32), np.eye(6, 3, dtype=np.float32)))

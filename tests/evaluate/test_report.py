"""Reports: what they contain, and what they must never contain."""

import csv
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from geobind.errors import DataError, PluginError
from geobind.evaluate import examples as examples_module
from geobind.evaluate.examples import Example, Hit, Shown, gather
from geobind.evaluate.report import read, table, write_report
from geobind.evaluate.report.overview import metrics, synthesised, times
from geobind.evaluate.report.page import to_html
from geobind.evaluate.retrieval import all_pairs
from geobind.modality import ModalitySpec
from geobind.palette import DARK, LIGHT, contrast, ink, shade

HOSTILE = "<script>alert('x')</script>\"'><img src=http://evil.example/a.png onerror=alert(1)>"


class Tags(HTMLParser):
    """All tags of a page with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def result(space, items, dataset):
    places = [f"p{i}" for i in range(30)]
    data = dataset(
        *(items(name, places, tags={"source": ["x"] * 15 + ["y"] * 15}) for name in ("satellite", "text", "audio")),
        origin=lambda a, b: "synthesised sound" if "audio" in (a, b) else "true | location",
    )
    toy = space("satellite", "text", "audio", "ground", trained=["text"])
    return all_pairs(toy, [data], by="source")


@pytest.fixture
def previews(monkeypatch):
    """Previews of three modalities: a picture, hostile words, and one that fails."""
    module = "made_up_previews"

    def fail(item):
        raise RuntimeError("no such codec")

    functions = {
        f"{module}:satellite": lambda item: Image.new("RGBA", (640, 320), (200, 30, 30, 128)),
        f"{module}:text": lambda item: f"{HOSTILE} {item}",
        f"{module}:audio": fail,
    }

    class Plugins:
        def modality(self, name):
            if f"{module}:{name}" not in functions:
                raise PluginError(f"unknown modality {name!r}")
            return ModalitySpec(name=name, item="", summary="", preview=f"{module}:{name}")

    monkeypatch.setattr(examples_module, "get_plugins", Plugins)
    monkeypatch.setattr(examples_module, "load_object", functions.__getitem__)


def test_all_files_are_written_and_read_back(result, tmp_path):
    paths = write_report(result, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["report.html", "report.md", "results.json", "results.csv", "matrix.png"]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(path.name for path in paths)
    assert read(paths[2]) == result
    before = [path.read_bytes() for path in paths]
    again = write_report(read(paths[2]), tmp_path / "new" / "folder")
    assert [path.read_bytes() for path in again] == before


def test_unreadable_results_are_named(tmp_path):
    with pytest.raises(DataError, match="nowhere.json' cannot be read"):
        read(tmp_path / "nowhere.json")
    (tmp_path / "half.json").write_text('{"format": 1, "spa')
    with pytest.raises(DataError, match="half.json' cannot be read"):
        read(tmp_path / "half.json")


def test_csv_columns_and_values(result, tmp_path):
    write_report(result, tmp_path)
    text = (tmp_path / "results.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    figures = ["R@1", "R@5", "R@10", "median_rank", "mean_rank", "mAP"]
    protocol = ["relation", "origin", "rule", "ties", "split", "split_hash", "dataset", "queries", "gallery_size"]
    assert list(rows[0]) == [
        *("space", "fingerprint", "query", "gallery", "subset"),
        *protocol,
        *figures,
        *(f"chance_{name}" for name in figures),
    ]
    assert len(rows) == len(result.results) == 18
    for row, pair in zip(rows, result.results, strict=True):
        assert float(row["R@5"]) == pair.scores.recall[5]
        assert float(row["chance_mAP"]) == pair.chance.mean_average_precision
        assert (row["query"], row["subset"], row["relation"]) == (
            pair.protocol.query,
            pair.protocol.subset,
            pair.protocol.relation,
        )


def test_markdown_table_is_whole(result, tmp_path):
    write_report(result, tmp_path)
    lines = (tmp_path / "report.md").read_text().splitlines()
    rows = [re.split(r"(?<!\\)\|", line) for line in lines if line.startswith("|")]
    assert len(rows) == 2 + len(result.results)
    assert {len(row) for row in rows} == {len(rows[0])}
    assert any("true \\| location" in line for line in lines)
    assert any(line.startswith("- satellite → ground: no dataset holds both") for line in lines)


def test_terminal_table_names_every_pair(result):
    console = Console(width=200, file=io.StringIO())
    console.print(table(result))
    printed = console.file.getvalue()
    for pair in result.results:
        assert f"{pair.protocol.query} → {pair.protocol.gallery}" in printed
    assert "ties mean" in printed and "R@10 %" in printed and "synthesised sound" in printed and "source=x" in printed
    assert "a: positives by" in printed
    assert "no dataset holds" in printed


def test_page_is_self_contained(result, previews):
    page = to_html(result, gather(result))
    tags = Tags(page).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    sources = [attrs[name] for _, attrs in tags for name in ("src", "href", "srcset", "action") if name in attrs]
    assert sources and all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not [name for _, attrs in tags for name in attrs if name.startswith("on")]
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style and "@import" not in style and "http" not in style


def test_page_escapes_what_strangers_wrote(result, previews):
    page = to_html(result, gather(result))
    assert HOSTILE.split("<img")[0] not in page
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in page
    # In an attribute too: an item's name is the alternative text of its picture.
    shown = Shown(HOSTILE, Image.new("RGB", (9, 9)))
    example = Example("satellite", "text", shown, (Hit(Shown(HOSTILE, None, HOSTILE), 0.5, True),))
    parsed = Tags(to_html(result, [example]))
    assert [attrs["alt"] for tag, attrs in parsed.tags if tag == "img"] == [f"satellite: {HOSTILE}"]
    assert "script" not in {tag for tag, _ in parsed.tags}
    assert HOSTILE in parsed.text


def test_page_says_every_cell_in_words(result):
    parsed = Tags(to_html(result))
    spoken = [attrs["title"] for tag, attrs in parsed.tags if tag == "td" and "title" in attrs]
    assert len(spoken) == 12
    pair = result.get("satellite", "text")
    assert f"satellite → text, trained: R@10 {100 * pair.scores.recall[10]:.1f} %, chance 33.3 %" in spoken[0]
    kinds = [attrs["class"].split()[-1] for tag, attrs in parsed.tags if tag == "td" and "title" in attrs]
    assert [kinds.count(kind) for kind in ("trained", "emergent", "missing")] == [2, 4, 6]
    assert all(label in "".join(parsed.text) for label in ("R@10 × chance", "mAP", "tie rule: mean"))
    assert "Examples" not in parsed.text


def test_only_modalities_that_are_always_synthesised_are_marked(result):
    assert synthesised(result) == {"audio"}


def test_examples_show_the_true_order(result, previews):
    examples = gather(result, per_pair=3, top=4)
    assert len(examples) == 6 * 3
    assert [e.item.name for e in gather(result, per_pair=3, top=4)] == [e.item.name for e in examples]
    for example in examples:
        assert len(example.hits) == 4
        similarities = [hit.similarity for hit in example.hits]
        assert similarities == sorted(similarities, reverse=True)
    ranked = result.ranked["text", "audio"]
    example = next(e for e in examples if (e.query, e.gallery) == ("text", "audio"))
    row = next(i for i in range(30) if ranked.queries.items[i] in example.item.text)
    best = np.argsort(-(ranked.gallery.vectors @ ranked.queries.vectors[row]))[:4]
    assert [hit.item.name for hit in example.hits] == [ranked.gallery.items[i] for i in best]
    assert [hit.positive for hit in example.hits] == [i == row for i in best]


def test_a_picture_that_breaks_off_costs_itself_only(result, previews, monkeypatch, tmp_path):
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(whole, "JPEG")
    (tmp_path / "half.jpg").write_bytes(whole.getvalue()[:1000])
    monkeypatch.setattr(examples_module, "load_object", lambda path: lambda item: Image.open(tmp_path / "half.jpg"))
    with pytest.raises(OSError, match="truncated"), Image.open(tmp_path / "half.jpg") as picture:
        picture.load()
    examples = gather(result, per_pair=1, top=1)
    assert len(examples) == 6 and all(example.item.picture is None for example in examples)


def test_a_failing_preview_costs_the_picture_only(result, previews):
    shown = [e.item for e in gather(result) if e.query == "audio"]
    assert all(item.picture is None and item.text == item.name and item.text.startswith("audio:p") for item in shown)


def test_a_saved_result_gives_no_examples(result, tmp_path):
    write_report(result, tmp_path)
    assert gather(read(tmp_path / "results.json")) == []


def test_matrix_picture(result, tmp_path):
    write_report(result, tmp_path)
    with Image.open(tmp_path / "matrix.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 800
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    strongest = LIGHT[-1]
    assert min(sum(abs(x - y) for x, y in zip(colour, strongest, strict=True)) for colour in colours) < 12


@pytest.mark.parametrize("ramp", [LIGHT, DARK])
def test_ink_can_be_read_on_every_step(ramp):
    for step in range(101):
        paper = shade(ramp, step / 100)
        assert contrast(ink(paper), paper) >= 4.5


def test_colour_levels(result):
    lift, _, share, _ = metrics(result)
    assert (lift.level(0.3), lift.level(1.0), lift.level(lift.high)) == (0, 0, 1)
    assert lift.level(lift.high**0.5) == pytest.approx(0.5)
    assert lift.high >= 4
    assert (share.level(0), share.level(share.high / 2), share.level(share.high)) == (0, 0.5, 1)


def test_precision_leads_where_chance_reaches_a_high_recall(space, items, dataset):
    def labels(groups):
        grouped = [items(name, range(60), group=[f"g{i % groups}" for i in range(60)]) for name in ("sky", "sea")]
        for side in grouped:  # no shared places: the group decides
            side.place[:] = [f"{side.modality[1]}{i}" for i in range(60)]
        result = all_pairs(space("sky", "sea"), [dataset(*grouped)])
        return [metric.label for metric in metrics(result)], to_html(result)

    few, page = labels(3)
    assert few[:2] == ["mAP × chance", "R@10 × chance"] and "mAP is shown first" in page
    many, page = labels(60)
    assert many[:2] == ["R@10 × chance", "mAP × chance"] and "mAP is shown first" not in page


def test_times():
    assert [times(value) for value in (0.0, 5.54, 9.949, 9.95, 27.4)] == ["0.0×", "5.5×", "9.9×", "10×", "27×"]

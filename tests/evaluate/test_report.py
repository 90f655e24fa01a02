"""Reports: what they contain, and what they must never contain."""

import base64
import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from geobind.errors import DataError, GeobindError, PluginError
from geobind.evaluate import examples as examples_module
from geobind.evaluate import preview as preview_module
from geobind.evaluate.examples import Example, Hit, Shown, gather
from geobind.evaluate.findings import Finding, Measure, Picture
from geobind.evaluate.findings import Table as FindingTable
from geobind.evaluate.report import queries, read, table, write_report
from geobind.evaluate.report.curves import recall, recall_curves
from geobind.evaluate.report.media import sound_type
from geobind.evaluate.report.overview import metrics, synthesised, times
from geobind.evaluate.report.page import to_html
from geobind.evaluate.report.words import is_share, is_word, number, written
from geobind.evaluate.retrieval import all_pairs
from geobind.evaluate.subject import Subject
from geobind.modality import ModalitySpec
from geobind.palette import DARK, LIGHT, contrast, ink, shade

HOSTILE = "<script>alert('x')</script>\"'><img src=http://evil.example/a.png onerror=alert(1)>"


MP3 = b"\xff\xf3\x84\xc4"


def png(colour="red"):
    out = io.BytesIO()
    Image.new("RGB", (40, 20), colour).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def finding():
    measure = Measure(
        of="EuroSAT", metric="top-1", value=0.4125, low=0.4, high=0.43, chance=0.1, n=2700, protocol={"split": "test"}
    )
    return Finding(
        name="zero-shot-eurosat",
        title=f"Zero-shot {HOSTILE}",
        answer=("Top-1 is 41.2 %.", "Chance is 10 %."),
        protocol={"split": "test", "templates": 3, "seed": None},
        measures=(measure, replace(measure, metric="R²", value=float("nan"), low=None, high=None, chance=None)),
        tables=(
            FindingTable(
                title="Per class", columns=("class", "top-1", "n"), rows=(("River", "80.0 %", 1234), ("Sea", None, 5))
            ),
        ),
        pictures=(Picture(name="confusion", caption="Who is taken for whom.", alt="a matrix", png=png()),),
        notes=("Radford et al. 2021.",),
        details={"matrix": [[1, 2], [3, 4]], "share": np.float32(0.5)},
    )


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
    return all_pairs(Subject(toy, [data]), by=["source"])


@pytest.fixture
def previews(monkeypatch):
    """Previews of three modalities: a picture that sounds, hostile words, and one that fails to be seen or heard."""
    module = "made_up_previews"

    def fail(item):
        raise RuntimeError("no such codec")

    functions = {
        f"{module}:satellite": lambda item: Image.new("RGBA", (640, 320), (200, 30, 30, 128)),
        f"{module}:text": lambda item: f"{HOSTILE} {item}",
        f"{module}:audio": fail,
        f"{module}:mute": fail,
        f"{module}:hum": lambda item: MP3 + item.encode(),
    }

    class Plugins:
        def modality(self, name):
            if f"{module}:{name}" not in functions:
                raise PluginError(f"unknown modality {name!r}")
            sound = {"satellite": "hum", "audio": "mute"}.get(name)
            return ModalitySpec(
                name=name,
                item="",
                summary="",
                preview=f"{module}:{name}",
                sound=f"{module}:{sound}" if sound else "",
            )

    monkeypatch.setattr(examples_module, "get_plugins", Plugins)
    monkeypatch.setattr(preview_module, "load_object", functions.__getitem__)


FILES = ["report.html", "report.md", "results.json", "results.csv", "matrix.png", "ranks.npz", "recall.png"]


def test_all_files_are_written_and_read_back(result, finding, tmp_path):
    folder = tmp_path / "new" / "folder"
    paths = write_report(folder, result, [finding])
    assert [path.name for path in paths] == [*FILES, "confusion.png"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in paths)
    found = read(folder / "results.json")
    assert found.all_pairs == result
    (again,) = found.findings
    assert np.isnan(again.measures[1].value) and again.measures[0] == finding.measures[0]
    assert replace(again, measures=()) == replace(finding, measures=(), details={**finding.details, "share": 0.5})
    values = json.loads((folder / "results.json").read_text())
    assert (values["format"], list(values)) == (2, ["format", "geobind", "all_pairs", "findings"])
    before = {name: (folder / name).read_bytes() for name in ("report.md", "results.json", "results.csv", "matrix.png")}
    write_report(tmp_path / "copy", found.all_pairs, found.findings)
    assert {name: (tmp_path / "copy" / name).read_bytes() for name in before} == before


def test_a_report_takes_the_place_of_the_one_before(result, finding, tmp_path):
    write_report(tmp_path, result, [finding])
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "mine.png").write_bytes(png())
    other = replace(finding, pictures=(replace(finding.pictures[0], name="classes"),))
    write_report(tmp_path, findings=[other])
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"report.html", "report.md", "results.json", "classes.png", "notes.txt", "mine.png"}
    assert read(tmp_path / "results.json").all_pairs is None


def test_what_is_removed_lies_in_the_folder(finding, tmp_path):
    (tmp_path / "outside.png").write_bytes(png())
    pictures = [{"file": "../outside.png"}, {"file": "report.html.png"}, {"file": 3}]
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "results.json").write_text(json.dumps({"findings": [{"pictures": pictures}]}))
    write_report(tmp_path / "report", findings=[finding])
    assert (tmp_path / "outside.png").is_file()


def test_pictures_of_one_name_are_named_apart(finding, tmp_path):
    second = replace(finding, name="zero-shot-aid", pictures=(replace(finding.pictures[0], png=png("blue")),) * 2)
    write_report(tmp_path, findings=[finding, second, replace(finding, pictures=())])
    names = ["confusion", "zero-shot-aid-confusion", "zero-shot-aid-confusion-2"]
    assert sorted(path.stem for path in tmp_path.glob("*.png")) == sorted(names)
    assert (tmp_path / "confusion.png").read_bytes() == png()
    assert [p.name for one in read(tmp_path / "results.json").findings for p in one.pictures] == names
    assert all(f"({name}.png)" in (tmp_path / "report.md").read_text() for name in names)


def test_nothing_to_report_is_said(tmp_path):
    with pytest.raises(GeobindError, match="nothing to report"):
        write_report(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_unreadable_results_are_named(tmp_path):
    path = tmp_path / "results.json"
    with pytest.raises(DataError, match="results.json' cannot be read"):
        read(path)
    for text, problem in {
        '{"format": 2, "spa': "results.json' cannot be read",
        "[1, 2]": "results.json' are no results",
        '{"format": 1, "space": "toy"}': "have format 1; this geobind reads 2.* Run the evaluation again",
        '{"format": 2, "all_pairs": null}': "lack what format 2 has: 'findings'",
        '{"format": 2, "all_pairs": {}, "findings": []}': "has format None|have format None",
    }.items():
        path.write_text(text)
        with pytest.raises(DataError, match=problem):
            read(path)


def test_ranks_of_single_queries_are_kept(result, tmp_path):
    write_report(tmp_path, result)
    with np.load(tmp_path / "ranks.npz", allow_pickle=False) as file:
        assert file["0 rank"].dtype == np.float32
        assert file["directions"].shape == (6, 3)
    kept = queries.unpack(tmp_path / "ranks.npz")
    assert set(kept) == set(result.rankings)
    for (query, gallery), own in kept.items():
        pair = result.get(query, gallery)
        assert own.split_hash == pair.protocol.split_hash
        assert own.place.tolist() == result.ranked[query, gallery].queries.items.place.tolist()
        named = pair.scores.named()
        assert set(own.values) == set(named)
        for name in ("R@1", "R@10", "mean rank", "MRR", "mAP", "nDCG@5"):
            assert own.values[name].mean() == pytest.approx(named[name], rel=1e-6)
        assert np.median(own.values["median rank"]) == named["median rank"]
    (tmp_path / "ranks.npz").write_bytes(b"PK no")
    with pytest.raises(DataError, match="ranks.npz' cannot be read"):
        queries.unpack(tmp_path / "ranks.npz")


def test_csv_columns_and_values(result, tmp_path):
    write_report(tmp_path, result)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "results.csv").read_text())))
    named = result.results[0].scores.named()
    columns = list(rows[0])
    assert columns[:4] == ["space", "fingerprint", "query", "gallery"]
    assert {"relation", "origin", "rule", "ties", "split", "split_hash", "dataset", "queries"} < set(columns)
    first = columns.index("R@1")
    figures = [name.replace(" ", "_") for name in named]
    assert columns[first:] == [f"{name}{end}" for name in figures for end in ("", "_low", "_high", "_chance")]
    assert len(rows) == len(result.results) == 18
    for row, pair in zip(rows, result.results, strict=True):
        assert float(row["R@5"]) == pair.scores.recall[5]
        assert (float(row["R@5_low"]), float(row["R@5_high"])) == pair.intervals["R@5"]
        assert float(row["mAP_chance"]) == pair.chance.mean_average_precision
        assert (row["query"], row["subset"], row["relation"]) == (
            pair.protocol.query,
            pair.protocol.subset,
            pair.protocol.relation,
        )


def test_markdown_table_is_whole(result, tmp_path):
    write_report(tmp_path, result)
    lines = (tmp_path / "report.md").read_text().splitlines()
    rows = [re.split(r"(?<!\\)\|", line) for line in lines if line.startswith("|")]
    assert len(rows) == 2 + len(result.results)
    assert {len(row) for row in rows} == {len(rows[0])}
    assert any("true \\| location" in line for line in lines)
    assert any(line.startswith("- satellite → ground: no dataset holds both") for line in lines)


def test_markdown_of_findings(finding, tmp_path):
    write_report(tmp_path, findings=[finding])
    text = (tmp_path / "report.md").read_text()
    assert "![a matrix](confusion.png)" in text and "Who is taken for whom." in text
    assert "| class | top-1 | n |\n| --- | ---: | ---: |\n| River | 80.0 % | 1,234 |\n| Sea | – | 5 |" in text
    assert "- templates: 3\n- seed: –\n- Radford et al. 2021." in text


def test_terminal_table_names_every_pair(result):
    console = Console(width=200, file=io.StringIO())
    console.print(table(result))
    printed = console.file.getvalue()
    for pair in result.results:
        assert f"{pair.protocol.query} → {pair.protocol.gallery}" in printed
    assert "ties mean" in printed and "R@10 %" in printed and "synthesised sound" in printed and "source=x" in printed
    assert "a: positives by" in printed
    assert "no dataset holds" in printed


def test_page_is_self_contained(result, finding, previews):
    page = to_html(result, [finding], gather(result), [recall_curves(result)])
    tags = Tags(page).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    sources = [attrs[name] for _, attrs in tags for name in ("src", "srcset", "action") if name in attrs]
    kinds = {source.split(";base64,")[0] for source in sources}
    assert kinds == {"data:image/jpeg", "data:image/png", "data:audio/mpeg"}
    assert all(attrs["href"].startswith("#") for _, attrs in tags if "href" in attrs)
    assert not [name for _, attrs in tags for name in attrs if name.startswith("on")]
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style and "@import" not in style and "http" not in style
    (policy,) = (attrs["content"] for tag, attrs in tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


def test_page_has_a_section_for_every_finding(result, finding):
    parsed = Tags(page := to_html(result, [finding, replace(finding, title="Second")]))
    ids = {attrs["id"] for _, attrs in parsed.tags if "id" in attrs}
    links = [attrs["href"] for tag, attrs in parsed.tags if tag == "a"]
    assert links == ["#retrieval", "#finding1", "#finding2"] and {link[1:] for link in links} <= ids
    for words in ("Top-1 is 41.2 %.", "Chance is 10 %.", "Who is taken for whom.", "River", "Radford et al. 2021."):
        assert parsed.text.count(words) >= 2, words
    assert page.index("Zero-shot &lt;script&gt;") < page.index(">Second</h2>")
    assert f"Zero-shot {HOSTILE}" in parsed.text
    pictures = [attrs for tag, attrs in parsed.tags if tag == "img"]
    assert [picture["alt"] for picture in pictures] == ["a matrix"] * 2
    assert base64.b64decode(pictures[0]["src"].split(",")[1]) == png()
    assert {"41.2 %", "40.0 – 43.0 %", "10.0 %", "2,700"} <= set(parsed.text)


def test_page_of_findings_alone(finding):
    parsed = Tags(to_html(None, [replace(finding, title="How far apart?")]))
    assert parsed.text.count("How far apart?") == 2  # heading of the page; that of the section is hidden
    assert [attrs for tag, attrs in parsed.tags if attrs.get("class") == "hidden"]
    assert not [tag for tag, _ in parsed.tags if tag == "a"]  # no contents of one section
    assert "Retrieval between all pairs" not in "".join(parsed.text)


def test_page_escapes_what_strangers_wrote(result, previews):
    page = to_html(result, examples=gather(result))
    assert HOSTILE.split("<img")[0] not in page
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in page
    # In an attribute too: an item's name is the alternative text of its picture.
    shown = Shown(HOSTILE, Image.new("RGB", (9, 9)))
    example = Example("satellite", "text", shown, (Hit(Shown(HOSTILE, None, HOSTILE), 0.5, True),))
    parsed = Tags(to_html(result, examples=[example]))
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
    half = dict.fromkeys(("satellite", "text", "audio"), lambda item: Image.open(tmp_path / "half.jpg"))
    monkeypatch.setattr(preview_module, "load_object", lambda path: half[path.split(":")[1]])
    with pytest.raises(OSError, match="truncated"), Image.open(tmp_path / "half.jpg") as picture:
        picture.load()
    examples = gather(result, per_pair=1, top=1)
    assert len(examples) == 6 and all(example.item.picture is None for example in examples)


def test_a_failing_preview_costs_the_picture_only(result, previews):
    shown = [e.item for e in gather(result) if e.query == "audio"]
    assert all(item.picture is None and item.text == item.name and item.text.startswith("audio:p") for item in shown)


def test_a_saved_result_gives_no_examples(result, tmp_path):
    write_report(tmp_path, result)
    saved = read(tmp_path / "results.json").all_pairs
    assert gather(saved) == []
    assert recall_curves(saved) is None
    assert "ranks.npz" not in [path.name for path in write_report(tmp_path, saved)]
    assert not (tmp_path / "ranks.npz").exists()


def test_sounds_are_played_as_far_as_they_are_wanted(result, previews):
    def sounds(examples):
        return [item for e in examples for item in (e.item, *(hit.item for hit in e.hits)) if item.audible]

    everything = sounds(gather(result, per_pair=1, top=2))
    # satellite asks twice and is asked twice with two hits; audio fails, text has none.
    assert len(everything) == 2 + 4
    assert all(item.sound == MP3 + item.name.encode() and not item.unheard for item in everything)
    few = gather(result, per_pair=1, top=2, sounds=4)
    assert [item.unheard for item in sounds(few)] == [False] * 4 + [True] * 2
    parsed = Tags(to_html(result, examples=few))
    players = [attrs for tag, attrs in parsed.tags if tag == "audio"]
    assert len(players) == 4 and all(player["preload"] == "none" and "controls" in player for player in players)
    assert base64.b64decode(players[0]["src"].removeprefix("data:audio/mpeg;base64,")) == sounds(few)[0].sound
    assert "2 more sounds are left out" in "".join(parsed.text)
    assert "left out" not in to_html(result, examples=gather(result, per_pair=1, top=2))


@pytest.mark.parametrize("sound", [b"", b"x" * 600_000, "words", None])
def test_what_is_no_sound_is_silent(result, previews, monkeypatch, sound):
    monkeypatch.setattr(preview_module, "load_object", lambda path: lambda item: sound)
    examples = gather(result, per_pair=1, top=1)
    assert not any(example.item.audible for example in examples)


def test_sounds_are_told_by_their_first_bytes():
    kinds = {
        b"RIFF\0\0\0\0WAVEfmt ": "audio/wav",
        b"OggS\0": "audio/ogg",
        b"fLaC\0": "audio/flac",
        b"ID3\4": "audio/mpeg",
        MP3: "audio/mpeg",
        b"\xff\xfb\x90": "audio/mpeg",
        b"\xff\xf1\x50": None,  # AAC in ADTS
        b"<html>": None,
        b"\xff": None,
    }
    assert {start: sound_type(start) for start in kinds} == kinds


def test_a_sound_of_no_known_kind_is_not_put_on_the_page(result):
    example = Example("satellite", "text", Shown("x", None, "x", sound=b"<script>alert(1)</script>"), ())
    assert "audio" not in {tag for tag, _ in Tags(to_html(result, examples=[example])).tags}


def test_recall_over_k_is_the_share_of_ranks(result):
    ranking = result.rankings["satellite", "text"]
    ks = np.arange(1, ranking.gallery + 1)
    curve = recall(ranking, ks)
    assert curve.tolist() == [np.mean(ranking.rank <= k) for k in ks]
    assert curve[-1] == 1
    picture = recall_curves(result)
    assert "satellite → text" in picture.alt and "satellite → audio" in picture.alt
    with Image.open(io.BytesIO(picture.png)) as opened:
        assert opened.format == "PNG" and opened.width > 1000


def test_matrix_picture(result, tmp_path):
    write_report(tmp_path, result)
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
        result = all_pairs(Subject(space("sky", "sea"), [dataset(*grouped)]))
        return [metric.label for metric in metrics(result)], to_html(result)

    few, page = labels(3)
    assert few[:2] == ["mAP × chance", "R@10 × chance"] and "mAP is shown first" in page
    many, page = labels(60)
    assert many[:2] == ["R@10 × chance", "mAP × chance"] and "mAP is shown first" not in page


def test_times():
    assert [times(value) for value in (0.0, 5.54, 9.949, 9.95, 27.4)] == ["0.0×", "5.5×", "9.9×", "10×", "27×"]


def test_how_values_are_written():
    values = {None: "–", True: "yes", 1234567: "1,234,567", 0.123456: "0.1235", 12345.6: "12,346", "as is": "as is"}
    assert {value: written(value) for value in values} == values
    assert [number(v, m) for v, m in ((0.4125, "R@10"), (12.0, "median rank"), (None, "mAP"), (0.5, "R²"))] == [
        "41.2 %",
        "12",
        "–",
        "0.5",
    ]
    assert all(map(is_share, ("R@10", "R@1%", "mAP", "mAP@5", "nDCG@10", "MRR", "top-1", "mean per-class recall")))
    assert not any(map(is_share, ("R@10 × chance", "median rank", "D@10 km", "R²", "alignment")))


def test_which_columns_hold_words():
    def word(*cells):
        return is_word(FindingTable(title="", columns=("x",), rows=tuple((cell,) for cell in cells)), 0)

    assert word("River", "5") and word(True) and word("id")
    assert not word("28.1 %", "+3.2 pp", "−1", "–", "n/a", "< 0.01", None, 7, 0.5, "0.39 – 0.43", "")

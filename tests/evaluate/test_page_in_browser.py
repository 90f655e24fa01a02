"""The report's page in a real browser."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geobind.evaluate.examples import Example, Hit, Shown
from geobind.evaluate.findings import Finding, Measure, Picture, Table
from geobind.evaluate.report import write_report
from geobind.evaluate.retrieval import all_pairs
from geobind.evaluate.subject import Subject

WIDE, NARROW = 1200, 400
SILENCE = 0.5
"""Seconds of the sound on the page."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if "browser" not in sys.modules:  # tests cannot import each other
        spec = importlib.util.spec_from_file_location("browser", Path(__file__).parents[1] / "browser.py")
        sys.modules["browser"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    with sys.modules["browser"].a_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def silence():
    """A WAV file of 8-bit samples at 8 kHz."""
    samples = bytes([128]) * round(8000 * SILENCE)
    header = b"RIFF" + (36 + len(samples)).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    shape = (1, 1), (1, 2), (8000, 4), (8000, 4), (1, 2), (8, 2)
    form = (1).to_bytes(2, "little") + b"".join(n.to_bytes(size, "little") for n, size in shape[1:])
    return header + form + b"data" + len(samples).to_bytes(4, "little") + samples


def picture(width, height, colour):
    return Image.new("RGB", (width, height), colour)


def finding(number):
    out = io.BytesIO()
    picture(1400, 500, "teal").save(out, "PNG")
    measures = [
        Measure(of=f"class {i}", metric="top-1", value=0.4, low=0.3, high=0.5, chance=0.1, n=99) for i in range(40)
    ]
    columns = ("a class whose name is long", *(f"figure number {i}" for i in range(12)))
    return Finding(
        name=f"made-up-{number}",
        title=f"What does question {number} find in the space of <b>many</b> words?",
        answer=("The first sentence stands alone: 41.2 % (chance 10 %).", "A second one follows."),
        protocol={"split": "test", "hash": "0123456789abcdef" * 12, "seed": 0},
        measures=tuple(measures),
        tables=(Table(title="Table", columns=columns, rows=(("River", *range(12)),) * 40, note="A note."),),
        pictures=(Picture(name=f"made-up-{number}", caption="A caption.", alt="a teal sheet", png=out.getvalue()),),
        notes=("A note with a source.",),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture
def page(space, items, dataset, folder):
    """A report with everything there is: four modalities, one of them not measured, findings, pictures and sounds."""
    if (folder / "report.html").exists():  # by an earlier test
        return folder / "report.html"
    names, places = ("satellite", "text", "audio", "ground"), range(80)
    data = dataset(*(items(name, places) for name in names[:3]))
    result = all_pairs(Subject(space(*names, trained=["text"], noise={"audio": 2.0}), [data]))
    sound = Shown("a sound", picture(998, 64, "grey"), sound=silence())
    examples = [
        Example("satellite", "audio", Shown("tile", picture(64, 64, "green")), (Hit(sound, 0.5, True),) * 5),
        Example("audio", "text", sound, (Hit(Shown("words", None, "long words " * 14), 0.5, False),) * 5),
    ]
    return write_report(folder, result, [finding(1), finding(2)], examples)[0]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_page_opens_without_a_complaint_and_fits(browser, page, width, dark):
    assert browser.open(page, width=width, dark=dark) == []
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    parts = "[...document.querySelectorAll('main > *, h2, p, figure, .box')]"
    assert browser.evaluate(f"Math.max(...{parts}.map(e => e.getBoundingClientRect().right))") <= width
    pixels = browser.screenshot().astype(int)
    paper = (17, 24, 27) if dark else (251, 252, 251)
    assert np.abs(pixels[:5, :5] - paper).max() <= 2
    ink = np.abs(pixels - paper).sum(axis=2) > 250
    assert 0.005 < ink.mean() < 0.5


def test_every_picture_is_drawn(browser, page):
    browser.open(page)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.evaluate("Promise.all([...document.images].map(i => i.decode()))")
    sizes = browser.evaluate("[...document.images].map(i => [i.naturalWidth, i.width, i.height, i.alt])")
    # curves, one of each finding; one query and five sounds; one sound that asks for five texts
    assert len(sizes) == 1 + 2 + 6 + 1
    assert all(min(natural, width, height) > 0 and alt for natural, width, height, alt in sizes)


def test_sounds_play(browser, page):
    browser.open(page)
    durations = browser.evaluate(
        """Promise.all([...document.querySelectorAll('audio')].map(player => new Promise(done => {
             player.onloadedmetadata = () => done(player.duration);
             player.onerror = () => done(player.error.message);
             player.preload = 'auto';
             player.load();
           })))"""
    )
    assert durations == [pytest.approx(SILENCE)] * 6
    assert browser.problems(page) == []


def test_the_matrix_shows_the_figure_that_is_chosen(browser, page):
    browser.open(page)
    assert "trained" in browser.evaluate("document.querySelector('.matrix .cell').className")
    values = "[...document.querySelectorAll('.matrix .cell')].map(c => c.innerText.split('\\n')[0])"
    scroll = "document.querySelector('.switch').scrollIntoView()"
    seen, shots = [], []
    for i in range(4):
        browser.evaluate(f"document.querySelector('label[for=metric{i}]').click()")
        browser.evaluate(scroll)
        assert (
            browser.evaluate("[...document.querySelectorAll('.switch > input')].map(i => i.checked)").index(True) == i
        )
        assert browser.evaluate("[...document.querySelectorAll('.ends')].filter(e => e.offsetWidth).length") == 1
        seen.append(browser.evaluate(values))
        shots.append(browser.screenshot().astype(int))
    assert all(len(one) == 6 for one in seen)
    assert [bool(re.fullmatch(r"[\d.]+×", one[0])) for one in seen] == [True, True, False, False]
    assert all(seen[i] != seen[j] for i in range(4) for j in range(i))
    assert all((np.abs(shots[i] - shots[j]).sum(axis=2) > 30).mean() > 0.001 for i in range(4) for j in range(i))


def test_contents_lead_to_their_sections(browser, page):
    browser.open(page)
    links = browser.evaluate("[...document.querySelectorAll('.contents a')].map(a => a.hash)")
    assert links == ["#retrieval", "#finding1", "#finding2", "#examples"]
    for link in links:
        browser.evaluate(f"document.querySelector('.contents a[href=\"{link}\"]').click()")
        assert abs(browser.evaluate(f"document.querySelector('{link}').getBoundingClientRect().top")) < 400
    assert browser.evaluate("document.querySelectorAll('h2 b').length") == 0  # titles are words, not markup


def test_printed_page_shows_all_of_its_tables(browser, page):
    browser.open(page)
    browser.call("Emulation.setEmulatedMedia", media="print")
    hidden = "[...document.querySelectorAll('.scroll')].filter(e => getComputedStyle(e).overflowX !== 'visible').length"
    assert browser.evaluate(hidden) == 0
    assert browser.evaluate("[...document.querySelectorAll('audio')].filter(e => e.offsetWidth).length") == 0
    browser.call("Emulation.setEmulatedMedia", media="")


def test_a_request_would_be_refused_and_seen(browser, page):
    """What the other tests rely on: the policy holds, and breaches of it are noticed."""
    loose = page.with_name("loose.html")
    loose.write_text(
        page.read_text().replace("<main>", '<main><img src="http://127.0.0.1:9/a.png"><script>x()</script>')
    )
    problems = browser.open(loose)
    assert sum("Content Security Policy" in json.dumps(problem) for problem in problems) >= 2

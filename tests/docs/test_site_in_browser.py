"""The pages in a real browser: quiet, on this machine alone, and as narrow as a telephone."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

WIDE, NARROW = 1200, 400
FOUND = """
new Promise(done => {
  const look = () => {
    const told = document.querySelector('.search-summary')?.innerText ?? ''
    const hits = [...document.querySelectorAll('#search-results li a')].map(a => a.href)
    told.includes('found') ? done(hits) : setTimeout(look, 50)
  }
  look()
})
"""
"""The addresses that a search finds, when it has ended."""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def address(site):
    """The site on this machine: searching fetches pages, which a browser refuses to do among files."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def addresses(site, address):
    return [
        f"{address}/{path.relative_to(site)}" for path in sorted(site.rglob("*.html")) if "_static" not in path.parts
    ]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_opens_quietly_and_fits(browser, address, addresses, dark):
    wrong = []
    assert len(addresses) > 15
    for page in addresses:
        browser.open(page, width=NARROW, dark=dark)
        wrong += [(page, complaint) for complaint in browser.complaints()]
        wrong += [(page, url) for url in browser.requests() if not url.startswith(address)]
        if (wide := browser.evaluate("document.documentElement.scrollWidth")) > NARROW:
            wrong.append((page, f"is {wide} px wide"))
    assert not wrong


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_paper_and_ink_are_the_house_s(browser, address, dark):
    browser.open(f"{address}/binding.html", width=WIDE, dark=dark)
    colour = "getComputedStyle(document.body).getPropertyValue('--color-{}').trim()"
    assert browser.evaluate(colour.format("background-primary")) == ("#11181b" if dark else "#fbfcfb")
    assert browser.evaluate(colour.format("brand-primary")) == ("#83d0ac" if dark else "#136870")
    pixels = browser.screenshot()
    assert tuple(pixels[450, WIDE // 2 + 30]) != (0, 0, 0)
    assert pixels.std() > 10


def test_search_finds_the_anchor(browser, address):
    browser.open(f"{address}/search.html?q=anchor", width=WIDE)
    found = browser.evaluate(FOUND)
    assert any("concepts" in url or "glossary" in url for url in found)
    assert any("reference/" in url for url in found)
    assert browser.complaints() == []


def test_code_can_be_copied(browser, address):
    browser.open(f"{address}/quickstart.html", width=WIDE)
    assert browser.evaluate("document.querySelectorAll('.highlight-sh button.copybtn').length") > 2


def test_formulas_are_drawn_by_the_browser_itself(browser, address):
    browser.open(f"{address}/reference/metrics.html", width=WIDE)
    sizes = browser.evaluate("[...document.querySelectorAll('math')].map(m => m.getBoundingClientRect().height)")
    assert len(sizes) > 10
    assert min(sizes) > 5
    assert browser.evaluate("document.querySelectorAll('merror').length") == 0

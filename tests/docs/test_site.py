"""The pages as they are built: without a warning, and without a link that leads nowhere."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

LIMIT_S = 25
"""For the whole build, on two cores; it takes a quarter of it on an idle machine."""


@dataclass
class Page(HTMLParser):
    """Where a page can be linked to, and where it leads."""

    path: Path
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)

    def __post_init__(self):
        super().__init__()
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if values.get("id"):
            self.ids.add(values["id"])
        self.links += [values[name] for name in ("href", "src") if values.get(name)]


@pytest.fixture(scope="module")
def pages(site):
    return {path.resolve(): Page(path) for path in site.rglob("*.html")}


def test_it_is_built_without_a_warning(site):
    assert (site.parent / "told").read_text().strip() == ""
    assert (site / "index.html").is_file()


def test_it_is_built_soon(site):
    assert float((site.parent / "seconds").read_text()) < LIMIT_S


def test_every_link_leads_somewhere(pages):
    """Within the site: to a file that exists, and an anchor in it."""
    lost, followed = [], 0
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            followed += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.is_file():
                lost.append(f"{path.name}: {link} is no file")
            elif anchor and target in pages and anchor not in pages[target].ids:
                lost.append(f"{path.name}: {link} has no such anchor")
    assert not lost
    assert followed > 1000


def test_links_to_the_outside_are_well_formed(pages):
    outside = {link for page in pages.values() for link in page.links if urlsplit(link).scheme not in ("", "data")}
    assert any("arxiv.org" in link for link in outside)
    for link in outside:
        parts = urlsplit(link)
        assert parts.scheme == "https", link
        assert "." in parts.netloc, link


def test_nothing_is_loaded_from_the_outside(site):
    """Pages are read offline too: no font, script, style or picture of another machine."""
    for path in (*site.rglob("*.html"), *site.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        assert 'src="http' not in text, path
        assert "url(http" not in text, path
        assert "@import" not in text, path


def test_hidden_set_up_does_not_reach_readers(site):
    for path in site.rglob("*.html"):
        assert not re.search(r"(<|&lt;)!--\s*(before|not run)", path.read_text(encoding="utf-8")), path

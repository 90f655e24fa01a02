"""The fenced blocks of a Markdown page, in order, with the marks that stand before them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

COMMENT = re.compile(r"<!--\s*(not run|before)(.*?)-->", flags=re.DOTALL)
NAME = re.compile(r"#\s*([\w./-]+\.\w+)\s*")
"""A first line that is nothing but the name of a file."""
DIRECTIVE = re.compile(r"\{([\w-]+)\}")


class Mistake(AssertionError):
    """A page says something that is not so."""


@dataclass(frozen=True)
class Block:
    """What a page says at one place."""

    page: Path
    line: int
    """Line of the page that the text begins at, counted from 1."""
    language: str
    """Of the fence; ``before`` for commands in a comment."""
    text: str
    not_run: str = ""
    """Why it is not run."""

    @property
    def file(self) -> str:
        """The file it is to be written to; empty for none."""
        named = NAME.fullmatch(self.text.partition("\n")[0])
        return named[1] if named else ""

    def wrong(self, what: str, line: int = 0) -> Mistake:
        """A mistake at the ``line``-th line of the block, counted from 0."""
        return Mistake(f"{self.page.name}:{self.line + line}: {what}")


def blocks(page: Path) -> Iterator[Block]:
    """All blocks of a page; those inside a directive, such as a note or a tab, too."""
    yield from _blocks(page, page.read_text(encoding="utf-8"), 1)


def words_in_code(page: Path) -> Iterator[Block]:
    """What stands as code within sentences and tables."""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        for inner in token.children or ():
            if inner.type == "code_inline":
                yield Block(page, token.map[0] + 1 if token.map else 1, "", inner.content)


def _blocks(page: Path, text: str, first: int) -> Iterator[Block]:
    waiting: Block | None = None  # a "not run" that looks for its block
    for token in MarkdownIt("commonmark").parse(text):
        if token.map is None:
            continue
        line = first + token.map[0]
        if token.type == "html_block":
            for kind, words in COMMENT.findall(token.content):
                found = Block(page, line, kind, words.lstrip(": ") if kind == "not run" else words)
                if kind == "before":
                    yield found
                elif not found.text.strip():
                    raise found.wrong("a block is not run, without a reason")
                else:
                    waiting = found
        elif token.type == "fence":
            language = token.info.split(maxsplit=1)[0] if token.info else ""
            if DIRECTIVE.fullmatch(language):
                yield from _blocks(page, token.content, line + 1)
            else:
                yield Block(page, line + 1, language, token.content, waiting.text.strip() if waiting else "")
            waiting = None
        elif waiting and token.nesting >= 0:
            break
    if waiting:
        raise waiting.wrong("'not run' stands before no block")

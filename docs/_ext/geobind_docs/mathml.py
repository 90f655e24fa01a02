"""Formulas as MathML, which browsers draw by themselves: no script, no font, no network."""

from __future__ import annotations

from docutils.nodes import SkipNode, math, math_block
from latex2mathml.converter import convert
from sphinx.writers.html5 import HTML5Translator


def visit_inline(translator: HTML5Translator, node: math) -> None:
    """Write a formula in a line."""
    translator.body.append(convert(node.astext(), display="inline"))
    raise SkipNode


def visit_block(translator: HTML5Translator, node: math_block) -> None:
    """Write a formula that stands alone; a wide one scrolls in its box."""
    formula = convert(node.astext(), display="block")
    translator.body.append(f'<div class="math-block" tabindex="0">{formula}</div>\n')
    raise SkipNode

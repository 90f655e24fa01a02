"""The figures of an evaluation: their definitions as the code has them, and their formulas."""

from __future__ import annotations

import dataclasses
import re

from sphinx.pycode import ModuleAnalyzer

from geobind.evaluate.scores import Scores, higher_is_better, is_median
from geobind_docs.markdown import prose

_FOUND = r"1 - \prod_{i=0}^{k-1} \frac{N - P - i}{N - i}"
_SUMMED = r"\sum_{j : r_{qj} \le k}"
_GAIN = r"\frac{1}{\log_{2}(1 + r)}"
_IDEAL = r"\sum_{r=1}^{\min(P, k)} \frac{1}{\log_{2}(1 + r)}"

FORMULAS = {
    "recall": (r"\mathrm{R@}k = \frac{1}{Q} \sum_{q=1}^{Q} [r_{q} \le k]", _FOUND),
    "recall_percent": (r"\mathrm{R@}p\% = \mathrm{R@}k, \quad k = \max(1, \lceil p N / 100 \rceil)", _FOUND),
    "median_rank": (r"\operatorname{median}_{q} \; r_{q}", r"\min \{ k : \mathbb{E}[\mathrm{R@}k] \ge 1/2 \}"),
    "mean_rank": (r"\frac{1}{Q} \sum_{q=1}^{Q} r_{q}", r"\frac{N + 1}{P + 1}"),
    "reciprocal_rank": (
        r"\mathrm{MRR} = \frac{1}{Q} \sum_{q=1}^{Q} \frac{1}{r_{q}}",
        r"\sum_{r=1}^{N-P+1} \frac{1}{r} \cdot \frac{P}{N - r + 1} \prod_{i=0}^{r-2} \frac{N - P - i}{N - i}",
    ),
    "mean_average_precision": (
        r"\mathrm{AP}_{q} = \frac{1}{P} \sum_{j=1}^{P} \frac{j}{r_{qj}}",
        r"\frac{P-1}{N-1} (1 - H_{N} / N) + H_{N} / N, \quad H_{N} = \sum_{i=1}^{N} \frac{1}{i}",
    ),
    "precision": (
        rf"\mathrm{{AP@}}k_{{q}} = \frac{{1}}{{\min(P, k)}} {_SUMMED} \frac{{j}}{{r_{{qj}}}}",
        r"\frac{P}{N \min(P, k)} \sum_{r=1}^{k} \frac{1 + (r-1)(P-1)/(N-1)}{r}",
    ),
    "ndcg": (
        rf"\mathrm{{DCG@}}k_{{q}} = {_SUMMED} \frac{{1}}{{\log_{{2}}(1 + r_{{qj}})}}, \quad "
        rf"\mathrm{{nDCG@}}k_{{q}} = \mathrm{{DCG@}}k_{{q}} \; / \; {_IDEAL}",
        rf"\frac{{P}}{{N}} \sum_{{r=1}}^{{k}} {_GAIN} \; / \; {_IDEAL}",
    ),
    "distance_km": (r"\mathrm{D@}k = \operatorname{median}_{q} \; \min_{i \le k} \; d(q, g_{qi})", ""),
}
"""Field of :class:`Scores` → its formula, and its expectation for a query under a random order of the gallery."""

EXAMPLES = Scores({10: 0}, {1.0: 0}, 0, 0, 0, 0, {10: 0}, {10: 0}, {10: 0})
"""Tells how each figure is named in tables."""


def names() -> dict[str, str]:
    """Field of :class:`Scores` → its name in tables, with k and p for their numbers."""
    fields = (field.name for field in dataclasses.fields(Scores))
    return {
        field: name.replace("10", "k").replace("1%", "p%") for field, name in zip(fields, EXAMPLES.named(), strict=True)
    }


def write() -> str:
    """A section for each figure."""
    told = ModuleAnalyzer.for_module("geobind.evaluate.scores").find_attr_docs()
    parts = []
    for field, name in names().items():
        formula, chance = FORMULAS[field]
        text = re.sub(r"^[kp] → ", "", prose("\n".join(told["Scores", field])))
        expected = f"By chance, of a query:\n\n$$\n{chance}\n$$\n" if chance else DRAWN
        way = "Higher is better" if higher_is_better(name) else "Lower is better"
        over = "the median" if is_median(name) else "the mean"
        title = name[0].upper() + name[1:] if name.endswith("rank") else name
        parts.append(f"## {title}\n\n{text}\n\n$$\n{formula}\n$$\n\n{way}; {over} over queries.\n\n{expected}")
    return "\n".join(parts)


DRAWN = "By chance: from one seeded draw of k items for each query, since it depends on where places lie.\n"

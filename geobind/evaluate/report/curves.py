"""Recall over k: how far down the gallery a positive is found, for the leading directions."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from geobind.evaluate.findings import Picture
from geobind.evaluate.plots import figure, heading, png
from geobind.evaluate.report.overview import metrics, whole
from geobind.evaluate.results import AllPairs, PairResult
from geobind.evaluate.scores import chance
from geobind.palette import SERIES, hexadecimal
from geobind.ranks import Ranking

SHOWN = 5
"""Curves of a panel."""
STEPS = 60
"""Values of k along a curve."""


def recall_curves(result: AllPairs) -> Picture | None:
    """Trained pairs beside emergent ones, the best of each by the leading figure; None without rankings."""
    lead = metrics(result)[0]
    panels: dict[str, list[PairResult]] = {}
    for pair in sorted(whole(result), key=lead.value, reverse=True):
        p = pair.protocol
        shown = panels.setdefault(p.relation, [])
        if (p.query, p.gallery) in result.rankings and len(shown) < SHOWN:
            shown.append(pair)
    panels = {relation: panels[relation] for relation in ("trained", "emergent") if panels.get(relation)}
    if not panels:
        return None
    sheet, axes = figure(5.0 * len(panels), 4.1, columns=len(panels))
    for cell, (relation, pairs) in zip(axes, panels.items(), strict=True):
        _panel(cell, relation, [(pair, result.rankings[pair.protocol.query, pair.protocol.gallery]) for pair in pairs])
    return Picture(
        name="recall",
        caption=(
            f"Recall over k for up to {SHOWN} trained and {SHOWN} emergent directions, those with the most"
            f" {lead.label}. Dashed: chance in the same gallery. Where a curve meets its dashes the space knows nothing"
            " about what is left."
        ),
        alt="Curves of R@k over k: "
        + "; ".join(
            f"{relation}: {', '.join(f'{pair.protocol.query} → {pair.protocol.gallery}' for pair in pairs)}"
            for relation, pairs in panels.items()
        ),
        png=png(sheet),
    )


def _panel(axes: Axes, relation: str, shown: list[tuple[PairResult, Ranking]]) -> None:
    """The curves of one relation."""
    heading(axes, f"{relation} pairs")
    for (pair, ranking), hue in zip(shown, SERIES, strict=False):
        p, colour = pair.protocol, hexadecimal(hue)
        ks = np.unique(np.geomspace(1, ranking.gallery, STEPS).round().astype(int))
        expected = chance(ranking.positives, ranking.gallery, ks.tolist()).recall
        axes.plot(ks, recall(ranking, ks), color=colour, linewidth=1.8, label=f"{p.query} → {p.gallery}")
        axes.plot(ks, [expected[k] for k in ks.tolist()], color=colour, linewidth=1, linestyle=(0, (4, 3)), alpha=0.7)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda k, _: f"{k:,.0f}")
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.set_xlabel("k, logarithmic up to the whole gallery")
    axes.set_ylabel("R@k")
    # Beneath: curves of a good space fill every corner above.
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3, handlelength=1.4)


def recall(ranking: Ranking, ks: NDArray[np.int64]) -> NDArray[np.float64]:
    """R@k at every one of ``ks``: ``[K]``."""
    return np.searchsorted(np.sort(ranking.rank), ks, side="right") / len(ranking.rank)

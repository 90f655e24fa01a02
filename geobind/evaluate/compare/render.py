"""A comparison for the terminal, and as a finding for a report."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table as RichTable

from geobind.evaluate.compare.dots import dots
from geobind.evaluate.compare.result import Comparison, Difference, How
from geobind.evaluate.findings import Finding, Measure, Picture, Table, Value
from geobind.evaluate.intervals import METHOD
from geobind.evaluate.report.words import is_share, number

PICTURES = 6
"""Pictures at most, one for each figure."""

EXPLAINED: dict[How, str] = {
    "same file": "a file against itself",
    "paired": f"on the same queries: {METHOD}, the same places drawn for both",
    "independent": "from the intervals of both, as if they were independent (Newcombe 1998, method 10)",
    "none": "at least one has no interval",
}
COLUMNS = ("of", "figure", "chance", "baseline", "against it", "value", "difference", "95 % interval", "", "n", "from")


def to_rich(comparison: Comparison) -> RichTable:
    """For the terminal: what clearly differs is bold."""
    table = RichTable(
        title=escape(_title(comparison)),
        caption=escape("\n".join([*_legend(comparison), *comparison.unmatched])),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for name in ("of", "figure"):
        table.add_column(name)
    for name in ("chance", comparison.names[0], "against it", "value", "difference", "95 % interval", "", "n", "from"):
        table.add_column(
            escape(name), justify="left" if name in ("against it", "", "from") else "right", overflow="fold"
        )
    for difference in comparison.differences:
        of, metric, chance, baseline, name, value, delta, interval, mark, n, how = _row(difference)
        strong = ("[bold]", "[/]") if difference.clear else ("", "")
        cells = (of, metric, chance, baseline, name, value, delta, interval, mark, n, how)
        table.add_row(*(strong[0] + escape(cell) + strong[1] for cell in cells))
    return table


def to_finding(comparison: Comparison) -> Finding:
    """A finding with a table of every measure and a picture for each of the first figures."""
    return Finding(
        name="compare",
        title=_title(comparison),
        answer=tuple(_answer(comparison)),
        protocol=_protocol(comparison),
        measures=tuple(map(_measure, comparison.differences)),
        tables=(
            Table(
                title="Every measure",
                columns=COLUMNS,
                rows=tuple(_row(difference) for difference in comparison.differences),
                note=" ".join(_legend(comparison)),
            ),
        ),
        pictures=tuple(_pictures(comparison)),
        notes=(
            *comparison.unmatched,
            "Each interval is for one measure by itself: of 20 that do not differ, one is expected to look different.",
        ),
    )


def signed(value: float, metric: str) -> str:
    """A difference: shares in percentage points."""
    if value == 0:
        return "0"
    text = f"{100 * value:+.1f} pp" if is_share(metric) else f"{value:+,.0f}" if abs(value) >= 1e4 else f"{value:+.3g}"
    return text.replace("-", "−")


def _row(difference: Difference) -> tuple[str, ...]:
    a, b, metric = difference.baseline, difference.other, difference.baseline.metric
    interval = "–"
    if difference.interval is not None:
        low, high = (signed(end, metric).removesuffix(" pp") for end in difference.interval)
        interval = f"{low} … {high}"
    return (
        difference.label,
        metric,
        number(b.chance, metric),
        number(a.value, metric),
        difference.name,
        number(b.value, metric),
        signed(difference.value, metric),
        interval,
        _mark(difference),
        f"{b.n:,}",
        difference.how,
    )


def _mark(difference: Difference) -> str:
    """Better or worse only where the interval excludes 0; a dagger where the protocols differ."""
    word = ("better" if difference.better else "worse") if difference.clear else ""
    return f"{word} †".strip() if difference.unlike else word


def _title(comparison: Comparison) -> str:
    return f"{' and '.join(comparison.names[1:])} against {comparison.names[0]}"


def _answer(comparison: Comparison) -> list[str]:
    sentences = []
    for name in comparison.names[1:]:
        own = [one for one in comparison.differences if one.name == name]
        better = sum(one.clear and one.better for one in own)
        worse = sum(one.clear and not one.better for one in own)
        rest = len(own) - better - worse
        sentences.append(
            f"{name} is better than {comparison.names[0]} in {better} of {len(own)} measures and worse in {worse};"
            f" {rest} cannot be told apart."
        )
        for word, found in (("gains", True), ("loses", False)):
            shares = [one for one in own if one.clear and one.better is found and is_share(one.baseline.metric)]
            if shares:
                most = max(shares, key=lambda one: abs(one.value))
                metric = most.baseline.metric
                sentences.append(
                    f"It {word} most in {metric} of {most.label}: {signed(most.value, metric)}, from"
                    f" {number(most.baseline.value, metric)} to {number(most.other.value, metric)} (chance"
                    f" {number(most.other.chance, metric)})."
                )
    unlike = sum(bool(one.unlike) for one in comparison.differences)
    if unlike:
        sentences.append(f"{unlike} differences are between different protocols (†) and may be due to these alone.")
    return sentences


def _legend(comparison: Comparison) -> list[str]:
    """What the words of the table mean, as far as they stand in it."""
    used = {one.how for one in comparison.differences}
    lines = [f"{how}: {words}." for how, words in EXPLAINED.items() if how in used]
    unlike = dict.fromkeys(line for one in comparison.differences for line in one.unlike)
    if unlike:
        lines.append(f"†: other protocol: {'; '.join(list(unlike)[:5])}{'; …' if len(unlike) > 5 else ''}.")
    return lines


def _protocol(comparison: Comparison) -> dict[str, Value]:
    return {
        "baseline": comparison.names[0],
        "compared with it": ", ".join(comparison.names[1:]),
        "figures": ", ".join(dict.fromkeys(one.baseline.metric for one in comparison.differences)),
        "how positives came about": "; ".join(
            dict.fromkeys(
                str(one.other.protocol["origin"]) for one in comparison.differences if "origin" in one.other.protocol
            )
        )
        or "as each finding says",
        "protocols": "differ, see †" if any(one.unlike for one in comparison.differences) else "equal",
    }


def _measure(difference: Difference) -> Measure:
    low, high = difference.interval or (None, None)
    a = difference.baseline
    return Measure(
        of=f"{a.of}: {difference.name}",
        metric=a.metric,
        value=difference.value,
        low=low,
        high=high,
        n=difference.other.n,
        higher_is_better=a.higher_is_better,
        protocol={**a.protocol, "difference": difference.how},
    )


def _pictures(comparison: Comparison) -> list[Picture]:
    """A dot plot for each of the first figures."""
    metrics = list(dict.fromkeys(one.baseline.metric for one in comparison.differences))[:PICTURES]
    by_metric = {name: [one for one in comparison.differences if one.baseline.metric == name] for name in metrics}
    return [dots(comparison, metric, own) for metric, own in by_metric.items()]

"""The question: can the space name the class of an item by words alone?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from geobind.evaluate.confusion import confusion_picture
from geobind.evaluate.findings import Finding, Measure, Table, Value, percent
from geobind.evaluate.subject import Subject, relation
from geobind.evaluate.zeroshot.benchmarks import Benchmark, digest
from geobind.evaluate.zeroshot.figures import METHOD, TOP, Classified, classify
from geobind.evaluate.zeroshot.prompts import ensemble, finite, need_text
from geobind.evaluate.zeroshot.sources import Labelled, Source

if TYPE_CHECKING:
    from geobind.space.space import Space

TIES = "pessimistic"


def zero_shot(
    space: Space | Subject,
    benchmark: Benchmark,
    source: Source,
    *,
    modality: str | None = None,
    text: str = "text",
    templates: Sequence[str] | None = None,
) -> Finding:
    """Classify a benchmark's items by the words of its classes, without training anything.

    Each class is embedded by an ensemble of prompts (Radford et al. 2021, section 3.1.4), each item is taken for the
    class with the largest cosine, and a tie counts as wrong.

    Args:
        space: The space, or a subject that holds it.
        benchmark: Classes and prompts.
        source: Its items.
        modality: The tower that embeds the items; by default the one the benchmark names.
        text: The tower that embeds the prompts.
        templates: Other prompts than the benchmark's, each with one ``{}``.

    Raises:
        SpaceError: The space lacks one of the two towers.
        DataError: Items are absent or do not fit the classes, or embeddings are not finite.
    """
    space = space.space if isinstance(space, Subject) else space
    modality = modality or benchmark.modality
    templates = tuple(templates or benchmark.templates)
    need_text(space, text)
    data = source.read(space, benchmark, modality)
    words = list(data.classes.values())
    classes = ensemble(space, text, words, templates)
    vectors = finite(data.vectors, f"{modality} items", data.items.key.tolist())
    result = classify(vectors, classes, data.labels)
    protocol = _protocol(space, benchmark, data, templates, modality, text)
    name = f"zero-shot-{benchmark.name}"
    return Finding(
        name=name,
        title=f"Zero-shot classification of {benchmark.title}",
        answer=_answer(benchmark, words, result),
        protocol=protocol,
        measures=_measures(benchmark, result, protocol),
        tables=(_per_class(benchmark, words, result),),
        pictures=(confusion_picture(name, benchmark.title, words, result.confusion),),
        notes=_notes(space, benchmark, data, modality, text),
        details={
            "templates": list(templates),
            "classes": dict(data.classes),
            "confusion": result.confusion.tolist(),
            "data": data.where,
            "source": benchmark.source,
            "licence": benchmark.licence,
        },
    )


def _protocol(
    space: Space, benchmark: Benchmark, data: Labelled, templates: Sequence[str], modality: str, text: str
) -> dict[str, Value]:
    return {
        "benchmark": benchmark.name,
        "query": modality,
        "classes by": text,
        "relation": relation(space, text, modality),
        "items": len(data.items),
        "classes": len(data.classes),
        "class list": digest([*data.classes, *data.classes.values()]),
        "templates": len(templates),
        "prompts": digest(templates),
        "ties": TIES,
        "interval": METHOD,
        **data.protocol,
    }


def _chances(classes: int) -> dict[str, float]:
    """What a space that knows nothing would reach."""
    return {"top-1": 1 / classes, "top-5": TOP / classes, "mean per-class recall": 1 / classes}


def _measures(benchmark: Benchmark, result: Classified, protocol: dict[str, Value]) -> tuple[Measure, ...]:
    intervals, chances = result.intervals(), _chances(len(result.counts))
    return tuple(
        Measure(
            of=benchmark.title,
            metric=metric,
            value=value,
            low=intervals[metric][0],
            high=intervals[metric][1],
            chance=chances[metric],
            n=result.n,
            protocol=protocol,
        )
        for metric, value in result.figures().items()
    )


def _answer(benchmark: Benchmark, words: Sequence[str], result: Classified) -> tuple[str, ...]:
    figures, intervals, chances = result.figures(), result.intervals(), _chances(len(words))
    beside = [
        f"{metric} {percent(value)} (chance {percent(chances[metric])})"
        for metric, value in figures.items()
        if metric != benchmark.metric
    ]
    low, high = intervals[benchmark.metric]
    majority = int(result.counts.argmax())
    present = np.flatnonzero(result.counts)
    by_recall = present[np.argsort(-result.recalls[present], kind="stable")]
    best, worst = (f"{words[row]} ({percent(result.recalls[row], 0)})" for row in by_recall[[0, -1]])
    absent = len(words) - len(present)
    return (
        f"By words alone, {benchmark.metric} is {percent(figures[benchmark.metric])} (95 % interval"
        f" {percent(low)} to {percent(high)}) over {result.n:,} items in {len(words)} classes;"
        f" chance is {percent(chances[benchmark.metric])}.",
        f"Beside it: {', '.join(beside)}."
        f" Always saying the most frequent class, {words[majority]}, is right for"
        f" {percent(result.counts[majority] / result.n)}.",
        f"Known best: {best}; least: {worst}.",
        *([f"{absent} of the classes have no items; they stay among the answers."] if absent else []),
    )


def _per_class(benchmark: Benchmark, words: Sequence[str], result: Classified) -> Table:
    rows: list[tuple[Value, ...]] = []
    for row, name in enumerate(words):
        wrong = result.confusion[row].copy()
        wrong[row] = 0
        count, most = int(result.counts[row]), int(wrong.argmax())
        mistaken = f"{words[most]} ({percent(wrong[most] / count, 0)})" if wrong[most] else ""
        rows.append((name, count, f"{percent(result.recalls[row])}" if count else "", mistaken))
    return Table(
        title=f"{benchmark.title}, class by class",
        columns=("class", "items", "recall", "most often taken for instead"),
        rows=tuple(rows),
        note="Recall is the share of a class's items that were taken for it; in brackets the share of its items.",
    )


def _notes(space: Space, benchmark: Benchmark, data: Labelled, modality: str, text: str) -> tuple[str, ...]:
    return (
        "A class is the mean of its prompts' unit embeddings, brought back to unit norm (Radford et al. 2021, section"
        " 3.1.4); an item is taken for the class with the largest cosine. A tie counts as wrong.",
        "Mean per-class recall is the mean over classes of the share of a class's items that were right (balanced"
        " accuracy). The intervals take items as independent, which neighbouring images are not.",
        _met(space, data, modality, text),
        *([benchmark.note] if benchmark.note else []),
        f"Classes and prompts: {benchmark.source} Licence of the data: {benchmark.licence}.",
    )


def _met(space: Space, data: Labelled, modality: str, text: str) -> str:
    """What is known of whether training has met the items or the words."""
    if data.dataset is None:
        return "Whether the space was trained on some of these files is not known here."
    links = [
        f"{space.anchor} and {name}: {data.dataset.origin(space.anchor, name)}"
        for name in dict.fromkeys((text, modality))
        if name != space.anchor and {space.anchor, name} <= set(data.dataset.modalities)
    ]
    return (
        "Zero-shot means that no classifier was trained, not that the words are new: texts of this data may name the"
        f" classes and have trained the space. Its pairs: {'; '.join(links) or 'unknown'}."
    )

"""What ``geobind evaluate`` was asked, and its answers: one question after another over the same embeddings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from geobind.cli.common import plan_of, stdout
from geobind.errors import DataError, GeobindError, RecipeError, nearest

if TYPE_CHECKING:
    from geobind.evaluate.findings import Finding
    from geobind.evaluate.probe.targets import Kind
    from geobind.evaluate.results import AllPairs
    from geobind.evaluate.segment import Asked
    from geobind.evaluate.subject import Subject
    from geobind.evaluate.zeroshot import Source
    from geobind.plan import Plan
    from geobind.ranks import Ties


@dataclass(frozen=True, kw_only=True)
class Questions:
    """The options of one ``geobind evaluate``; see its help."""

    split: str = "test"
    modalities: tuple[str, ...] | None = None
    cached: bool = True
    all_pairs: bool = False
    by: tuple[str, ...] = ()
    sums: tuple[str, ...] = ()
    radius_km: float | None = None
    ks: tuple[int, ...] = (1, 5, 10)
    ties: str = "mean"
    legacy: tuple[str, ...] = ()
    zero_shot: tuple[str, ...] = ()
    root: Path | None = None
    labels: str | None = None
    where: tuple[str, ...] = ()
    partial: bool = False
    templates: Path | None = None
    probe: tuple[str, ...] = ()
    targets: Path | None = None
    key: str = "id"
    kind: str | None = None
    shots: tuple[int, ...] = ()
    of: str | None = None
    explain: tuple[str, ...] = ()
    vocabulary: Path | None = None
    segment: tuple[str, ...] = ()
    segment_head: str = "linear"
    gap: bool = False
    emergent: bool = False
    regions: bool = False
    scaling: bool = False
    retention: str | None = None
    before: Path | None = None
    leakage: bool = False

    @property
    def needs_pairs(self) -> bool:
        """Whether an answer builds on retrieval between all pairs."""
        return bool(self.all_pairs or self.legacy or self.emergent or self.regions)

    @property
    def any(self) -> bool:
        """Whether anything is asked at all."""
        tasks = self.sums or self.zero_shot or self.probe or self.explain or self.segment
        return bool(self.needs_pairs or tasks or self.gap or self.scaling or self.retention or self.leakage)


def report(target: Path, asked: Questions, overrides: list[str], out: Path) -> list[Path]:
    """Answer all that was asked of the space in ``target``, print it, write the report.

    Returns:
        The files written.
    """
    from rich.markup import escape

    from geobind.evaluate.examples import gather
    from geobind.evaluate.report import table, write_report
    from geobind.evaluate.subject import Subject
    from geobind.features.cache import FeatureCache
    from geobind.progress import say
    from geobind.space.checkpoint import load

    plan = plan_of(None, target, overrides)
    _check(asked, plan)
    subject = Subject(
        load(target),
        [choice.build() for choice in plan.datasets()],
        split=asked.split,
        cache=FeatureCache() if asked.cached else None,
        radius_km=asked.radius_km,
    )
    say(f"space {target}, split {asked.split}")
    pairs = _all_pairs(subject, asked) if asked.needs_pairs else None
    if pairs is not None and asked.all_pairs:
        stdout().print(table(pairs))
    findings = []
    start = time.monotonic()
    try:
        for finding in _answers(subject, plan, target, pairs, asked):
            lines = (f"\n[bold]{escape(finding.title)}[/]", *map(escape, finding.answer))
            stdout().print(*lines, sep="\n", highlight=False)
            say(f"{finding.name}: {time.monotonic() - start:.1f} s")
            findings.append(finding)
            start = time.monotonic()
    except GeobindError:
        if findings:
            write_report(out, pairs, findings)
            say(f"what was answered before is in {out}")
        raise
    examples = gather(pairs) if pairs is not None and asked.all_pairs else ()
    return write_report(out, pairs, findings, examples)


def _check(asked: Questions, plan: Plan) -> None:
    """Tell mistakes that can be seen in the options alone before anything is computed.

    Raises:
        GeobindError: The first of them.
    """
    from geobind.evaluate.legacy import check_preset
    from geobind.evaluate.sums import Mix
    from geobind.evaluate.zeroshot import benchmark, read_templates

    for preset in asked.legacy:
        check_preset(preset)
    for text in asked.sums:
        Mix.parse(text)
    for name in asked.zero_shot:
        benchmark(name)
    if asked.zero_shot and (asked.root is None) == (asked.labels is None):
        raise RecipeError(
            "zero-shot classification needs the benchmark's folder or a tag of the space's own data",
            fix="Add one of `--root FOLDER` and `--labels TAG`.",
        )
    if asked.templates is not None:
        read_templates(asked.templates)
    if asked.segment:
        from geobind.evaluate.segment import HEADS, segmentation

        for name in asked.segment:
            segmentation(name)
        if asked.segment_head not in HEADS:
            raise RecipeError(f"unknown head {asked.segment_head!r}", fix=nearest(asked.segment_head, HEADS))
    _kind(asked.kind)
    for word in asked.explain:
        if not word.isdigit() and not Path(word).is_file():
            raise DataError(f"{word!r} is no file", fix="Give paths of files, or a number of items to draw.")
    if asked.retention is not None:
        plan.stage(asked.retention)


def _all_pairs(subject: Subject, asked: Questions) -> AllPairs:
    from geobind.evaluate.memory import Memory
    from geobind.evaluate.retrieval import all_pairs
    from geobind.features.store import RESULTS, default_folder

    memory = Memory(default_folder() / RESULTS if asked.cached else None)
    return all_pairs(
        subject,
        modalities=asked.modalities,
        by=asked.by,
        ks=asked.ks,
        ties=cast("Ties", asked.ties),
        memory=memory,
    )


def _answers(subject: Subject, plan: Plan, target: Path, pairs: AllPairs | None, asked: Questions) -> Iterator[Finding]:
    """The answers to every question but all pairs, in the order of the help."""
    if pairs is not None:
        yield from _of_pairs(subject, pairs, asked)
    if asked.sums:
        from geobind.evaluate.sums import Mix, sums

        mixes = [Mix.parse(text) for text in asked.sums]
        yield sums(subject, mixes, modalities=asked.modalities, ks=asked.ks, ties=cast("Ties", asked.ties))
    yield from _tasks(subject, asked)
    if asked.gap:
        from geobind.evaluate.gap import gap

        yield gap(subject, asked.modalities)
    yield from _studies(plan, target, asked)


def _of_pairs(subject: Subject, pairs: AllPairs, asked: Questions) -> Iterator[Finding]:
    """Questions whose answers are read off the ranks of all pairs."""
    for preset in asked.legacy:
        yield from _legacy(preset, pairs)
    if asked.emergent:
        from geobind.evaluate.emergent import emergent

        yield emergent(pairs)
    if asked.regions:
        from geobind.evaluate.regions import regions

        yield regions(subject, pairs)


def _legacy(preset: str, pairs: AllPairs) -> Iterator[Finding]:
    """Every pair with the anchor that is one to one, which old conventions need; the others are told.

    Raises:
        GeobindError: An unknown preset, or no such pair.
    """
    from geobind.evaluate.legacy import legacy_finding
    from geobind.progress import say

    told = []
    for (query, gallery), ranked in pairs.ranked.items():
        if query == pairs.anchor:
            try:
                yield legacy_finding(preset, ranked)
            except DataError as error:
                told.append(error)
                say(f"legacy {preset}, {query} and {gallery}: {error}")
    if told and len(told) == sum(query == pairs.anchor for query, _ in pairs.ranked):
        raise told[0]


def _tasks(subject: Subject, asked: Questions) -> Iterator[Finding]:
    """Zero-shot classification, probes, words, and segmentation."""
    templates = None
    if asked.templates is not None:
        from geobind.evaluate.zeroshot import read_templates

        templates = read_templates(asked.templates)
    for name in asked.zero_shot:
        from geobind.evaluate.zeroshot import benchmark, zero_shot

        yield zero_shot(subject, benchmark(name), _source(subject, asked), modality=asked.of, templates=templates)
    of = asked.of or subject.space.anchor
    for column in asked.probe:
        from geobind.evaluate.probe import Targets, probe

        kind = _kind(asked.kind)
        if asked.targets:
            target = Targets.read(asked.targets, column, asked.key, kind=kind)
        else:
            target = Targets.tag(column, kind=kind)
        yield probe(subject, target, modality=of, shots=asked.shots)
    if asked.explain:
        from geobind.evaluate.explain import explain, read_vocabulary

        words = read_vocabulary(asked.vocabulary)

        items, names = _items(subject, of, asked.explain)
        reference = subject.embedded(of).vectors if of in subject.modalities else None
        yield explain(subject.space, of, items, names, words, reference=reference)
    for name in asked.segment:
        from geobind.evaluate.segment import segment, segmentation

        yield segment(
            subject,
            segmentation(name),
            image=asked.of,
            head=cast("Asked", asked.segment_head),
            templates=templates,
        )


def _kind(word: str | None) -> Kind | None:
    known = ("classification", "regression")
    if word is not None and word not in known:
        raise RecipeError(f"--kind {word!r} is no kind of target", fix=nearest(word, known))
    return cast("Kind | None", word)


def _source(subject: Subject, asked: Questions) -> Source:
    """Where a benchmark's items are: in a folder, or among the space's own data."""
    from geobind.evaluate.zeroshot import FolderSource, TagSource

    if asked.root is not None:
        split = asked.split if (asked.root / asked.split).is_dir() else None
        return FolderSource(asked.root, split, partial=asked.partial, cache=subject.cache)
    where = dict(word.partition("=")[::2] for word in asked.where)
    return TagSource(subject, cast(str, asked.labels), where, partial=asked.partial)


def _items(subject: Subject, modality: str, wanted: tuple[str, ...]) -> tuple[list[object], list[str]]:
    """Files by their paths; a number stands for so many items of the split, drawn with seed 0."""
    import numpy as np

    items: list[object] = []
    names: list[str] = []
    for word in wanted:
        if word.isdigit():
            _, table = subject.items(modality)
            rows = np.random.default_rng(0).permutation(len(table))[: int(word)].tolist()
            items += [table[row] for row in rows]
            names += [str(table.place[row]) for row in rows]
        else:
            items.append(Path(word))
            names.append(Path(word).name)
    return items, names


def _studies(plan: Plan, target: Path, asked: Questions) -> Iterator[Finding]:
    """Questions that bind anew, in folders of their own; the space itself stays as it is."""
    if asked.scaling:
        from geobind.studies.scaling import scaling

        yield scaling(plan, split=asked.split)
    if asked.retention is not None:
        from geobind.studies.retention import retention

        yield retention(plan, target, asked.retention, split=asked.split, before=asked.before)
    if asked.leakage:
        from geobind.studies.leakage import leakage

        yield leakage(plan)

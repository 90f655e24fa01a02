"""``geobind evaluate``: measure a space, and ask it questions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geobind.cli.common import REPORTS, SetOption, SpaceOption, need_space
from geobind.cli.questions import Questions, report
from geobind.errors import RecipeError

RETRIEVAL, TASKS, ASKED, TRAINING = "Retrieval", "Tasks", "Questions", "Questions that train"


def evaluate(
    space: SpaceOption = None,
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    modalities: Annotated[str | None, typer.Option("--modalities", help="Only these, e.g. text,audio.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Report folder; reports/SPACE by default.")] = None,
    overrides: SetOption = None,
    cached: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Use features and results of before, and keep new ones.")
    ] = True,
    all_pairs: Annotated[
        bool,
        typer.Option("--all-pairs", help="Retrieval between every ordered pair.", rich_help_panel=RETRIEVAL),
    ] = False,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help="Also per value of a tag: source, koppen, block.", rich_help_panel=RETRIEVAL),
    ] = None,
    sums: Annotated[
        list[str] | None,
        typer.Option(
            "--sum", help="Queries that add modalities: satellite+text, 0.7*audio+0.3*text.", rich_help_panel=RETRIEVAL
        ),
    ] = None,
    radius_km: Annotated[
        float | None,
        typer.Option("--radius-km", help="Items no farther apart are positives.", rich_help_panel=RETRIEVAL),
    ] = None,
    ks: Annotated[str, typer.Option("--ks", help="The k of R@k.", rich_help_panel=RETRIEVAL)] = "1,5,10",
    ties: Annotated[
        str, typer.Option("--ties", help="optimistic, mean or pessimistic.", rich_help_panel=RETRIEVAL)
    ] = "mean",
    legacy: Annotated[
        list[str] | None,
        typer.Option(
            "--legacy",
            help="Also as published code counted: sat2cap, geoclap, psm, soundingearth.",
            rich_help_panel=RETRIEVAL,
        ),
    ] = None,
    zero_shot: Annotated[
        list[str] | None,
        typer.Option("--zero-shot", help="A benchmark by name, or its YAML file.", rich_help_panel=TASKS),
    ] = None,
    root: Annotated[
        Path | None, typer.Option("--root", help="The benchmark's folder of classes.", rich_help_panel=TASKS)
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option("--labels", help="Or: the tag of the space's own data that names classes.", rich_help_panel=TASKS),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", help="With --labels: only items of this tag, source=EuroSAT.", rich_help_panel=TASKS),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Allow classes without items.", rich_help_panel=TASKS)
    ] = False,
    templates: Annotated[
        Path | None, typer.Option("--templates", help="Prompts, one a line with {}.", rich_help_panel=TASKS)
    ] = None,
    probe: Annotated[
        list[str] | None,
        typer.Option("--probe", help="Predict a tag or a column from embeddings.", rich_help_panel=TASKS),
    ] = None,
    targets: Annotated[
        Path | None, typer.Option("--targets", help="Table with the column to predict.", rich_help_panel=TASKS)
    ] = None,
    key: Annotated[
        str, typer.Option("--key", help="Column of that table that names the item.", rich_help_panel=TASKS)
    ] = "id",
    kind: Annotated[
        str | None, typer.Option("--kind", help="classification or regression.", rich_help_panel=TASKS)
    ] = None,
    shots: Annotated[
        str, typer.Option("--shots", help="Also few-shot: items per class, 1,4,16.", rich_help_panel=TASKS)
    ] = "",
    of: Annotated[
        str | None,
        typer.Option(
            "--of", help="Modality that is classified, probed or explained; the anchor.", rich_help_panel=TASKS
        ),
    ] = None,
    explain: Annotated[
        list[str] | None,
        typer.Option("--explain", help="The words nearest to a file (or to N drawn items).", rich_help_panel=TASKS),
    ] = None,
    vocabulary: Annotated[
        Path | None, typer.Option("--vocabulary", help="Words, one a line; else the registry's.", rich_help_panel=TASKS)
    ] = None,
    segment: Annotated[
        list[str] | None,
        typer.Option("--segment", help="A segmentation task by name, or its YAML file.", rich_help_panel=TASKS),
    ] = None,
    segment_head: Annotated[
        str, typer.Option("--segment-head", help="linear, decoder, or none: words alone.", rich_help_panel=TASKS)
    ] = "linear",
    gap: Annotated[
        bool,
        typer.Option("--gap", help="Modality gap, alignment, uniformity, hubness, rank.", rich_help_panel=ASKED),
    ] = False,
    emergent: Annotated[
        bool, typer.Option("--emergent", help="What never-paired modalities know of each other.", rich_help_panel=ASKED)
    ] = False,
    regions: Annotated[
        bool, typer.Option("--regions", help="Quality over the map and by climate.", rich_help_panel=ASKED)
    ] = False,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Modalities one by one: is anything forgotten?", rich_help_panel=TRAINING)
    ] = False,
    retention: Annotated[
        str | None, typer.Option("--retention", help="Before and after this stage.", rich_help_panel=TRAINING)
    ] = None,
    before: Annotated[
        Path | None,
        typer.Option("--before", help="With --retention: a space of before; none is bound.", rich_help_panel=TRAINING),
    ] = None,
    leakage: Annotated[
        bool, typer.Option("--leakage", help="Random split against spatial split.", rich_help_panel=TRAINING)
    ] = False,
) -> None:
    """Evaluate a space on its recipe's data, print what is found and write the report."""
    asked = Questions(
        split=split,
        modalities=_words(modalities) or None,
        cached=cached,
        all_pairs=all_pairs,
        by=tuple(by or ()),
        sums=tuple(sums or ()),
        radius_km=radius_km,
        ks=_numbers("--ks", ks),
        ties=ties,
        legacy=tuple(legacy or ()),
        zero_shot=tuple(zero_shot or ()),
        root=root,
        labels=labels,
        where=tuple(where or ()),
        partial=partial,
        templates=templates,
        probe=tuple(probe or ()),
        targets=targets,
        key=key,
        kind=kind,
        shots=_numbers("--shots", shots),
        of=of,
        explain=tuple(explain or ()),
        vocabulary=vocabulary,
        segment=tuple(segment or ()),
        segment_head=segment_head,
        gap=gap,
        emergent=emergent,
        regions=regions,
        scaling=scaling,
        retention=retention,
        before=before,
        leakage=leakage,
    )
    if not asked.any:
        raise RecipeError(
            "nothing to evaluate was named", fix="Add --all-pairs, or a question such as --gap; `--help` lists them."
        )
    target = need_space(space)
    for file in report(target, asked, overrides or [], out or Path(REPORTS) / target.resolve().name):
        typer.echo(file)


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in _words(text))
    except ValueError:
        raise RecipeError(f"{option} {text!r} is no list of whole numbers", fix=f"Write {option} 1,5,10.") from None

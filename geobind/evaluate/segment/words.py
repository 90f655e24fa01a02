"""A segmentation's figures in sentences, with how they came about."""

from __future__ import annotations

import numpy as np

from geobind.evaluate.findings import Value, percent
from geobind.evaluate.intervals import METHOD
from geobind.evaluate.segment.head import BATCH, DECAY, EVERY, RATE, STEPS, WIDTH
from geobind.evaluate.segment.run import Read, Run
from geobind.evaluate.segment.scenes import SEED
from geobind.evaluate.subject import relation
from geobind.evaluate.zeroshot.benchmarks import digest
from geobind.progress import counted

FEW = 20
"""Fewer places than this are said to be few."""


def answer(run: Run) -> tuple[str, ...]:
    """Sentences, the first of which can stand alone."""
    sentences = [_told(run, read, first=i == 0) for i, read in enumerate(run.reads)]
    accuracies = [f"{read.name} {percent(read.result.figures()['pixel accuracy'])}" for read in run.reads]
    base = percent(run.base.figures()["pixel accuracy"])
    sentences.append(f"Pixel accuracy: {', '.join(accuracies)}, always the largest class {base}.")
    iou = run.reads[0].result.iou
    present = np.flatnonzero(np.isfinite(iou))
    best, worst = (int(present[find(iou[present])]) for find in (np.argmax, np.argmin))
    who = f"the {run.reads[0].name}" if run.reads[0].learnt else run.reads[0].name
    sentences.append(
        f"By {who}, best told: {run.task.classes[best]} (IoU {percent(iou[best], 0)}); least:"
        f" {run.task.classes[worst]} ({percent(iou[worst], 0)})."
    )
    if run.unsaid:
        sentences.append(f"Nothing was told by words: {run.unsaid.rstrip('.')}.")
    if run.unlearnt:
        named = ", ".join(f"{name} ({percent(n / run.base.pixels.sum())})" for name, n in run.unlearnt.items())
        sentences.append(f"The head could not learn, for want of pixels to learn from: {named} of the tested pixels.")
    if len(run.base.places) < FEW:
        sentences.append(
            f"These are {len(run.base.places)} places: the intervals are rough, other places may give other figures."
        )
    return tuple(sentences)


def _told(run: Run, read: Read, *, first: bool) -> str:
    figures, (low, high) = read.result.figures(), read.result.intervals()["mIoU"]
    classes = int((read.result.pixels > 0).sum())
    places = counted(len(read.result.places), "place") + (" that it had not seen" if read.learnt else "")
    over = f" over {classes} classes on {places}" if first else ""
    by = f"A {read.name} on frozen {run.image} tokens" if read.learnt else f"By words alone, {run.image} tokens"
    verb = "reaches" if read.learnt else "reach"
    usual = " or ".join(run.usual)
    base = f"always {usual}, the largest class of {run.usual_of}, reaches {percent(run.base.figures()['mIoU'])}"
    names = (
        "" if read.learnt else f"; the same maps with names dealt at random {percent(read.result.renamed()['mIoU'])}"
    )
    return (
        f"{by} {verb} mIoU {percent(figures['mIoU'])} (95 % interval {percent(low)} to {percent(high)}){over};"
        f" {base}{names}: {verdict(run, read)}."
    )


def verdict(run: Run, read: Read) -> str:
    """Whether a reading lies above the majority class, by the interval of the difference."""
    low, high = (100 * end for end in read.result.above(run.base))
    if low > 0:
        return f"above the majority class by {low:.1f} to {high:.1f} points"
    if high < 0:
        return f"below the majority class by {-high:.1f} to {-low:.1f} points"
    return f"not told apart from the majority class ({low:.1f} to {high:.1f} points)"


def protocol(run: Run) -> dict[str, Value]:
    """What decides whether two segmentations may be compared."""
    task = run.task
    fitted: dict[str, Value] = {
        "head": run.head,
        "head steps": ", ".join(str(learnt.step) for learnt in run.heads),
        "head stopped by": "val" if _stopped_by_val(run) else f"nothing: {STEPS} steps",
        "head seed": run.seed,
    }
    said: dict[str, Value] = {
        "classes by": run.text,
        "relation": relation(run.space, run.text, run.image),
        "templates": len(run.templates),
        "prompts": digest(run.templates),
    }
    return {
        "task": task.name,
        "query": run.image,
        "masks": task.masks,
        "classes": len(task.classes),
        "class list": digest([f"{code} {name}" for code, name in task.legend.items()]),
        "ignored codes": ", ".join(map(str, task.ignore)) or "none",
        "split": "all" if task.folds else run.split,
        "split rule": f"{task.folds} folds by place, seed {SEED}" if task.folds else "as the dataset has it",
        "train scenes": len(run.parts[0].learn),
        "val scenes": len(run.parts[0].choose),
        "test scenes": len(run.tested),
        "test places": len(run.base.places),
        "test pixels": int(run.base.pixels.sum()),
        "tokens": f"{run.grid} × {run.grid}",
        "seen of an image": str(run.window),
        "pixels by": "bilinear interpolation of scores",
        **(fitted if run.heads else {"head": "none"}),
        **({} if run.unsaid else said),
        "baseline": f"the largest class of {run.usual_of}",
        "dataset": run.scenes.dataset.fingerprint,
        "origin": run.scenes.dataset.origin(run.image, task.masks),
        "limit": task.limit,
        "interval": METHOD,
        "space": run.space.name,
        "fingerprint": run.space.fingerprint,
    }


def _stopped_by_val(run: Run) -> bool:
    return any(learnt.on == "val" for learnt in run.heads)


def notes(run: Run) -> tuple[str, ...]:
    """Definitions, sources and limits."""
    task, found = run.task, []
    found.append(
        "IoU of a class: pixels that are of it and were taken for it, over pixels that are either, summed over all"
        " tested maps. mIoU is the mean over the classes that occur in them; taking a pixel for a class that does not"
        " occur costs the class it is of."
    )
    if not run.unsaid:
        found.append(
            "By words: each token takes the way of the pooled features (the tower's head, unit norm) and is compared"
            " with the classes' prompts. Training aligned the pooled feature with text, never a single token: nothing"
            " promises that a token speaks of its own ground, and what it sees of the whole image may lead."
        )
    if run.head != "none":
        kind = (
            "one 1 × 1 convolution"
            if run.head == "linear"
            else f"two 3 × 3 convolutions of {WIDTH} channels, twice as fine as the tokens, and one of 1 × 1"
        )
        stop = f"looked at val every {EVERY} steps and kept the best mIoU" if _stopped_by_val(run) else "no val"
        found.append(
            f"Head: {kind}, on tokens standardised per channel; cross-entropy at even points of the maps, AdamW with"
            f" rate {RATE[run.head]:g} and weight decay {DECAY:g}, {STEPS} steps of {BATCH} scenes; {stop}. Frozen"
            " means that it changes no tower."
        )
    if task.folds:
        of_train = int((run.scenes.split[run.tested] == "train").sum())
        found.append(
            f"Each place was tested by a head that had not seen it. {of_train} of the {len(run.tested)} scenes are of"
            " the train split, whose images and texts may have trained the space itself."
        )
    if task.dataset is not None:
        found.append(
            "The splits are those of the task's own data: a space that was bound with other splits may have met tested"
            " places."
        )
    if not run.window.whole or run.window.square:
        found.append(f"The encoder sees {run.window} of an image; pixels outside of that are not counted.")
    if run.scenes.unmapped:
        found.append(f"Left out: {run.scenes.unmapped:,} images without a map of their place.")
    if run.lost:
        found.append(f"Left out: {run.lost:,} images that cannot be read.")
    found += [task.note] if task.note else []
    source = f"Maps and words: {task.source} " if task.source else ""
    found.append(f"{source}Licence of the maps: {task.licence}.")
    return tuple(found)

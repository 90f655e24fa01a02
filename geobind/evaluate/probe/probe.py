"""The question: what do frozen embeddings know of a target they were not trained to tell?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from geobind.errors import GeobindError, nearest
from geobind.evaluate.findings import Finding, Picture
from geobind.evaluate.probe import tables, words
from geobind.evaluate.probe.fit import METHODS, Method, choose
from geobind.evaluate.probe.outcome import Outcome, baseline, intervals
from geobind.evaluate.probe.pictures import confusions, few_shot_curve, predictions
from geobind.evaluate.probe.shots import FewShot, check_shots, few_shot
from geobind.evaluate.probe.targets import Targets
from geobind.evaluate.probe.task import Task, gather
from geobind.evaluate.subject import Subject


def probe(
    subject: Subject,
    target: Targets | str,
    *,
    modality: str,
    methods: Sequence[str] = METHODS,
    shots: Sequence[int] = (),
    seed: int = 0,
) -> Finding:
    """Fit simple models on the frozen embeddings of train, choose them on val, and test them on the subject's split.

    Args:
        subject: The space with its data.
        target: What is predicted, or the name of a tag.
        modality: Whose embeddings.
        methods: ``linear``, ``knn`` or both; the linear one is told first.
        shots: Also fit a linear probe on so many places: of each class, or in all for a quantity.
        seed: Of the draws of few examples.

    Raises:
        SpaceError: The space lacks the modality.
        DataError: A split is absent, nothing joins, or the target cannot be learnt; see :func:`.task.gather`.
        GeobindError: An unknown method, none, or shots that cannot be drawn.
        PluginError: scikit-learn is absent.
    """
    chosen = _check(methods, shots)
    task = gather(subject, Targets.tag(target) if isinstance(target, str) else target, modality)
    check_shots(task, shots)
    reads = [_read(task, method) for method in chosen]
    curve = few_shot(task, shots, seed)
    base = baseline(task.kind, task.train, task.test)
    chance = base.figures()
    return Finding(
        name=_name(task),
        title=f"Can {task.target.name} be read off frozen {modality} embeddings?",
        answer=tuple(words.answer(task, reads, base, chance, curve)),
        protocol={
            **words.common_protocol(task),
            **{words.NAME[read.chosen.method]: str(read.chosen) for read in reads},
            "space": subject.space.name,
            "fingerprint": subject.space.fingerprint,
            **({"few-shot seed": seed} if curve else {}),
        },
        measures=tuple(tables.measures(task, reads, chance, curve, seed)),
        tables=tuple(tables.tables(task, reads, chance, curve)),
        pictures=tuple(_pictures(task, reads, curve, chance)),
        notes=tuple(words.notes(task, reads, curve)),
        details={
            "chosen": {
                read.chosen.method: {
                    read.chosen.name: read.chosen.value,
                    "grid": list(read.chosen.grid),
                    "loss": "error rate" if task.kind == "classification" else "mean squared error",
                    "losses": list(read.chosen.losses),
                }
                for read in reads
            },
            "few shot": [
                {"n": p.n, **{name: {"mean": mean, "sd": sd} for name, (mean, sd) in p.figures.items()}} for p in curve
            ],
            "left out": {"no row": dict(task.unjoined), "empty": dict(task.empty)},
            "classes train lacks": task.unseen,
        },
    )


def _check(methods: Sequence[str], shots: Sequence[int]) -> list[Method]:
    for method in methods:
        if method not in METHODS:
            raise GeobindError(f"unknown method {method!r}", fix=nearest(method, METHODS))
    if not methods:
        raise GeobindError("no method to probe with", fix=f"Name {' or '.join(METHODS)}.")
    if shots and "linear" not in methods:
        raise GeobindError("few examples are fitted by the linear probe", fix="Add `linear` to the methods.")
    return [method for method in METHODS if method in methods]


def _read(task: Task, method: Method) -> words.Read:
    chosen, predict = choose(method, task.kind, task.train, task.val)
    outcome = Outcome(task.kind, task.test, predict(task.test.x))
    return words.Read(chosen, outcome, outcome.figures(), intervals(outcome))


def _name(task: Task) -> str:
    """Fit for a file."""
    return "probe-" + re.sub(r"[^\w.-]+", "-", task.target.name)


def _pictures(
    task: Task, reads: Sequence[words.Read], curve: Sequence[FewShot], chance: dict[str, float]
) -> list[Picture]:
    first, name = reads[0], f"{_name(task)}-{task.modality}"
    method = words.NAME[first.chosen.method]
    if task.kind == "classification":
        found = confusions(f"{name}-confusion", task, first.outcome, method)
    else:
        found = [predictions(f"{name}-predicted", task, first.outcome, method)]
    if curve:
        found.append(few_shot_curve(f"{name}-few-shot", task, curve, first.figures, chance))
    return found

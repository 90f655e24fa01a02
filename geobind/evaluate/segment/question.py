"""The question: do frozen dense features tell the class of each pixel, by words alone and to a small head?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geobind.errors import DataError, GeobindError, SpaceError, nearest
from geobind.evaluate.findings import Finding
from geobind.evaluate.segment import tables, words
from geobind.evaluate.segment.dense import dense_features, dense_tower, similarity_maps, taken_for
from geobind.evaluate.segment.figures import majority, tally
from geobind.evaluate.segment.head import HEADS, Asked, Learnt, learn
from geobind.evaluate.segment.masks import Mask, Window
from geobind.evaluate.segment.pictures import bars, examples
from geobind.evaluate.segment.run import Read, Run
from geobind.evaluate.segment.scenes import Fold, Scenes, folds, gather
from geobind.evaluate.segment.task import Segmentation
from geobind.evaluate.subject import Subject
from geobind.evaluate.zeroshot.prompts import ensemble, need_text
from geobind.progress import say
from geobind.space.heads import Tower


def segment(
    subject: Subject,
    task: Segmentation,
    *,
    image: str | None = None,
    head: Asked = "linear",
    text: str = "text",
    templates: Sequence[str] | None = None,
    seed: int = 0,
) -> Finding:
    """Map the classes of a task by words alone, and by a head on the frozen tokens of the images.

    By words: each token passes the head of its tower and is compared with the classes' prompts, as in zero-shot
    classification; the maps of cosines are brought to the pixels by bilinear interpolation. The head is learnt on
    train, and the val scenes say when to stop.

    Args:
        subject: The space with its data.
        task: Images, maps of classes and their words.
        image: Modality of the images; by default the task's.
        head: ``linear``, ``decoder``, or ``none`` for words alone.
        text: The tower that embeds the prompts.
        templates: Other prompts than the task's, each with one ``{}``.
        seed: Of the head.

    Raises:
        SpaceError: The image tower has no dense features, or there is neither a head nor a way by words.
        DataError: No images with maps, maps that do not fit the legend, or nothing to learn from.
        GeobindError: An unknown head, or one that would be tested where it is learnt.
    """
    _check(head, subject, task)
    image, prompts = image or task.image, tuple(task.templates if templates is None else templates)
    tower = dense_tower(subject.space, image)
    window = Window.of(tower.encoder)
    scenes = gather(subject, task, image, window)
    parts = folds(scenes, task, subject.split)
    usual = [majority(scenes.maps(_or(fold.learn, fold.test)), len(task.classes)) for fold in parts]
    from_test = not len(parts[0].learn)
    scenes, parts, features, lost = _with_features(tower, scenes, parts, everything=head != "none")

    tested = np.concatenate([fold.test for fold in parts])
    truth, place = scenes.maps(tested), scenes.place[tested]
    reads, unsaid = [], ""
    try:
        classes = _by_words(subject, tower, features.shape[1], text, task, prompts)
    except SpaceError as error:
        if head == "none":
            raise
        unsaid = str(error)
    else:
        maps = _maps(similarity_maps(tower, features[tested], classes), truth)
        reads.append(Read("words alone", maps, tally(zip(truth, maps, strict=True), place, len(task.classes))))
    heads: list[Learnt] = []
    if head != "none":
        maps = []
        for fold in parts:
            val = (features[fold.choose], scenes.maps(fold.choose))
            learnt = learn(
                head,
                features[fold.learn],
                scenes.maps(fold.learn),
                len(task.classes),
                val=val if len(fold.choose) else None,
                seed=seed,
                device=subject.space.device,
            )
            heads.append(learnt)
            maps += _maps(learnt.scores(features[fold.test]), scenes.maps(fold.test))
        reads.insert(0, Read(f"{head} head", maps, tally(zip(truth, maps, strict=True), place, len(task.classes))))
    flat = [
        np.full(mask.shape, number, dtype=np.int16)
        for fold, number in zip(parts, usual, strict=True)
        for mask in scenes.maps(fold.test)
    ]
    run = Run(
        task=task,
        image=image,
        text=text,
        templates=prompts,
        head=head,
        seed=seed,
        split=subject.split,
        space=subject.space,
        window=window,
        grid=features.shape[-1],
        scenes=scenes,
        parts=parts,
        tested=tested,
        heads=tuple(heads),
        reads=tuple(reads),
        base=tally(zip(truth, flat, strict=True), place, len(task.classes)),
        usual=tuple(task.classes[number] for number in dict.fromkeys(usual)),
        usual_of="test" if from_test else "train",
        unsaid=unsaid,
        lost=lost,
    )
    return Finding(
        name=f"segment-{task.name}",
        title=f"Segmentation: {task.summary}",
        answer=words.answer(run),
        protocol=words.protocol(run),
        measures=tables.measures(run),
        tables=tables.tables(run),
        pictures=(examples(run), bars(run)),
        notes=words.notes(run),
        details=tables.details(run),
    )


def _check(head: str, subject: Subject, task: Segmentation) -> None:
    if head not in HEADS:
        raise GeobindError(f"unknown head {head!r}", fix=nearest(head, HEADS))
    if head != "none" and not task.folds and subject.split == "train":
        raise GeobindError("a head is learnt on train and cannot be tested there", fix="Choose `--split test`.")


def _or(rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows if len(rows) else others


def _with_features(
    tower: Tower, scenes: Scenes, parts: list[Fold], *, everything: bool
) -> tuple[Scenes, list[Fold], NDArray[np.float32], int]:
    """The scenes that are needed and can be read, the folds over them, their features ``[N, d, g, g]``, and how many
    cannot be read.

    Raises:
        DataError: A fold has nothing to test, or with ``everything`` nothing to learn from.
    """
    wanted = np.unique(np.concatenate([rows for fold in parts for rows in (fold if everything else (fold.test,))]))
    needed = scenes.take(wanted)
    found, errors, start = [], dict[int, str](), 0
    for items in needed.images:
        if len(items):
            at = start

            def note(row: int, error: DataError, at: int = at) -> None:
                errors[at + row] = str(error)

            found.append(dense_features(tower, items, note))
        start += len(items)
    features = np.concatenate(found)
    if errors:
        say(f"left out {len(errors)} images; the first: {next(iter(errors.values()))}")
    kept = np.setdiff1d(np.arange(len(wanted)), list(errors))
    number = np.full(len(scenes), -1)
    number[wanted[kept]] = np.arange(len(kept))
    parts = [Fold(*(number[rows][number[rows] >= 0] for rows in fold)) for fold in parts]
    for fold in parts:
        for rows, what in ((fold.test, "test"), (fold.learn, "learn from")):
            if not len(rows) and (everything or what == "test"):
                raise DataError(
                    f"there is no scene to {what}",
                    fix="Choose another split, data that has train, or `--segment-head none`.",
                )
    return needed.take(kept), parts, features[kept] if errors else features, len(errors)


def _by_words(
    subject: Subject, tower: Tower, width: int, text: str, task: Segmentation, prompts: Sequence[str]
) -> NDArray[np.float32]:
    """``[C, D]`` embeddings of the classes.

    Raises:
        SpaceError: The tokens cannot be brought into the space, or there are no words to compare them with.
    """
    if not prompts:
        raise SpaceError(f"the legend of {task.name!r} has no words that mean anything: its `templates:` are empty")
    if width != tower.encoder.embed_dim:
        raise SpaceError(
            f"tokens of {type(tower.encoder).__name__} are {width} wide and its pooled features"
            f" {tower.encoder.embed_dim}: the tower's head cannot take tokens into the space"
        )
    need_text(subject.space, text)
    return ensemble(subject.space, text, task.classes, prompts)


def _maps(scores: NDArray[np.float32], like: Sequence[Mask]) -> list[Mask]:
    return [taken_for(own, *mask.shape) for own, mask in zip(scores, like, strict=True)]

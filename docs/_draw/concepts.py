"""Draw the pictures of ``docs/concepts.md`` into ``docs/images``: ``python docs/_draw/concepts.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from canvas import Canvas

from geobind.data.splits import split_by_blocks

IMAGES = Path(__file__).resolve().parents[1] / "images"


def space() -> Canvas:
    """Three towers lead into one space."""
    c = Canvas(
        760,
        300,
        "Towers and the space",
        "A satellite tile, a caption and a sound of a place each pass an encoder and a head, and land near each other.",
    )
    c.text(95, 26, "an item", "soft", 13)
    c.text(292, 26, "a tower: encoder + head", "soft", 13)
    c.text(598, 26, "the space: unit vectors, compared by cosine", "soft", 13)
    rows = (
        (80, "satellite tile", "deep", "the anchor"),
        (155, "caption", "warm", ""),
        (230, "sound", "violet", ""),
    )
    for y, name, colour, note in rows:
        c.label(25, y - 20, 140, 40, name)
        c.dot(40, y, 5, colour)
        c.line(165, y, 192, y, "soft", arrow=True)
        c.label(195, y - 20, 105, 40, "encoder", "mid")
        c.line(300, y, 324, y, "soft", arrow=True)
        c.label(327, y - 20, 70, 40, "head", "mid")
        c.line(397, y, 470, 155 + (y - 155) * 0.72, "soft", arrow=True)
        if note:
            c.text(292, y + 33, note, "soft", 12)
    x, y, radius = 598, 160, 108
    c.ring(x, y, radius)
    for shape, degrees, words, side in ((c.dot, 214, "one place", -1), (c.diamond, 28, "another place", 1)):
        for offset, colour in ((0, "deep"), (8, "warm"), (-7, "violet")):
            angle = np.deg2rad(degrees + offset)
            shape(x + radius * np.cos(angle), y + radius * np.sin(angle), 8, colour)
        angle = np.deg2rad(degrees)
        c.line(x, y, x + (radius - 12) * np.cos(angle), y + (radius - 12) * np.sin(angle), "soft", 1.2, arrow=True)
        c.text(x + side * 20, y + side * 68, words, "ink", 13)
    return c


def stages() -> Canvas:
    """Binding stage by stage; solid lines are trained, dashed ones emergent."""
    c = Canvas(
        760,
        300,
        "Binding stage by stage",
        "Stage one binds text to satellite, stage two audio, stage three a modality of yours. Pairs without"
        " satellite are never trained and yet comparable.",
    )
    nodes = {"text": (-82, -62), "audio": (82, -62), "yours": (0, 80)}
    for number, present in enumerate((("text",), ("text", "audio"), ("text", "audio", "yours")), start=1):
        x, y = 130 + 250 * (number - 1), 152
        c.text(x, 28, f"stage {number}: bind {present[-1] if number < 3 else 'yours'}", "ink", 15, bold=True)
        met = [(x + dx, y + dy) for dx, dy in (nodes[name] for name in present)]
        for i, (ax, ay) in enumerate(met):
            for bx, by in met[i + 1 :]:
                c.line(ax, ay, bx, by, "warm", 1.8, dashed=True)
        for ax, ay in met:
            c.line(x, y, ax, ay, "deep", 2.4)
        c.box(x - 41, y - 17, 82, 34, "deep", "", 17)
        c.text(x, y, "satellite", "on-deep")
        for name, (ax, ay) in zip(present, met, strict=True):
            learns = name == present[-1]
            c.box(ax - 36, ay - 16, 72, 32, "mid" if learns else "pale", "deep" if learns else "soft", 16)
            c.text(ax, ay, name, "ink" if learns else "soft")
            if not learns:
                c.lock(ax + 37, ay - 14)
        if number > 1:
            c.lock(x + 44, y - 16)
    c.line(60, 272, 96, 272, "deep", 2.4)
    c.text(104, 272, "trained against each other", "soft", 13, "start")
    c.line(300, 272, 336, 272, "warm", 1.8, dashed=True)
    c.text(344, 272, "emergent: never paired in training", "soft", 13, "start")
    c.lock(600, 271)
    c.text(614, 272, "frozen in this stage", "soft", 13, "start")
    return c


def pairs() -> Canvas:
    """The four rules that make two items a pair."""
    c = Canvas(
        760,
        260,
        "Four kinds of pair",
        "Items are positives when they share a place, when they share a group, when a file lists them, or when they lie"
        " within a radius.",
    )
    heads = (
        ("id", "the same place"),
        ("group", "the same class"),
        ("listed", "a file says so"),
        ("radius", "near enough"),
    )
    for number, (rule, meaning) in enumerate(heads):
        x = 15 + 184 * number
        c.box(x, 14, 178, 232, "pale", "")
        c.text(x + 89, 38, rule, "ink", 16, bold=True)
        c.text(x + 89, 60, meaning, "soft", 13)
    left, right, rows = 45, 133, (100, 140, 180)
    for y in rows:
        c.line(15 + left, y, 15 + right, y, "deep", 2)
        c.dot(15 + left, y, 7, "deep")
        c.diamond(15 + right, y, 8, "warm")
    c.text(104, 222, "one row, one place", "soft", 12)
    for start, edges in ((199, ((0, 0), (0, 1), (1, 0), (1, 1), (2, 2))), (383, ((0, 1), (1, 0), (1, 2)))):
        for a, b in edges:
            c.line(start + left, rows[a], start + right, rows[b], "deep", 2)
        for y in rows:
            c.dot(start + left, y, 7, "deep")
            c.diamond(start + right, y, 8, "warm")
    c.text(199 + 89, 86, "harbour", "soft", 12)
    c.text(199 + 89, 196, "forest", "soft", 12)
    c.text(199 + 89, 222, "all with all of a class", "soft", 12)
    c.text(383 + 89, 222, "edges of a table", "soft", 12)
    x, y = 567 + 82, 138
    c.ring(x, y, 46, "deep", dashed=True)
    c.dot(x, y, 7, "deep")
    for dx, dy in ((22, -20), (-28, 14), (60, 34), (-62, -38)):
        if dx * dx + dy * dy < 46 * 46:
            c.line(x, y, x + dx, y + dy, "deep", 2)
        c.diamond(x + dx, y + dy, 8, "warm")
    c.dot(x, y, 7, "deep")
    c.text(567 + 89, 222, "within R km", "soft", 12)
    return c


def splits() -> Canvas:
    """The same places split at random and by blocks."""
    c = Canvas(
        760,
        330,
        "Random and spatial splits",
        "Left, places are split at random and test places lie among training places. Right, whole blocks go to one"
        " split.",
    )
    rng = np.random.default_rng(5)
    centres = rng.uniform(0.6, 9.4, (16, 2))
    points = (centres[:, None] + rng.normal(0, 0.33, (16, 11, 2))).reshape(-1, 2).clip(0.15, 9.85)
    chance = rng.choice(["train", "val", "test"], len(points), p=(0.7, 0.15, 0.15))
    blocks = split_by_blocks(points, degrees=2.0, seed=14)
    for number, (title, split) in enumerate((("at random", chance), ("by blocks", blocks))):
        x0, y0, side = 50 + 370 * number, 52, 29.0
        c.text(x0 + 145, 28, title, "ink", 15, bold=True)
        c.box(x0, y0, 290, 232, "pale", "soft", 4)
        if number:
            for column, row in np.unique(points[split == "test"] // 2, axis=0):
                c.box(x0 + 58 * column, y0 + 46.4 * row, 58, 46.4, "mid", "", 0)
            for step in range(1, 5):
                c.line(x0 + 58 * step, y0, x0 + 58 * step, y0 + 232, "soft", 0.6)
                c.line(x0, y0 + 46.4 * step, x0 + 290, y0 + 46.4 * step, "soft", 0.6)
        for (px, py), name in zip(points, split, strict=True):
            x, y = x0 + side * px, y0 + 23.2 * py
            if name == "train":
                c.dot(x, y, 3.6, "deep")
            elif name == "test":
                c.diamond(x, y, 5.4, "warm")
            else:
                c.ring(x, y, 3.2, "soft")
    c.dot(250, 310, 4, "deep")
    c.text(260, 310, "train", "soft", 13, "start")
    c.ring(325, 310, 3.6, "soft")
    c.text(335, 310, "val", "soft", 13, "start")
    c.diamond(390, 310, 6, "warm")
    c.text(402, 310, "test", "soft", 13, "start")
    return c


def frozen() -> Canvas:
    """What is frozen is computed once; what learns is computed at every step."""
    c = Canvas(
        760,
        250,
        "Frozen features and learning encoders",
        "A frozen encoder's features are computed once and kept on disk. An encoder that learns runs at every step.",
    )
    c.text(25, 30, "train: head", "ink", 15, "start", bold=True)
    c.text(25, 140, "train: full, last_4 or lora", "ink", 15, "start", bold=True)
    y = 70
    c.label(25, y - 20, 90, 40, "items")
    c.line(115, y, 142, y, "soft", arrow=True)
    c.label(145, y - 20, 120, 40, "encoder")
    c.lock(251, y - 1)
    c.line(265, y, 317, y, "soft", arrow=True)
    c.text(291, y - 13, "once", "soft", 12)
    c.label(320, y - 20, 150, 40, "features on disk", "mid")
    c.line(470, y, 502, y, "deep", 2.2, arrow=True)
    c.label(505, y - 20, 90, 40, "head", "deep", "on-deep")
    c.line(595, y, 632, y, "deep", 2.2, arrow=True)
    y = 180
    c.label(25, y - 20, 90, 40, "items")
    c.line(115, y, 142, y, "deep", 2.2, arrow=True)
    c.label(145, y - 20, 150, 40, "prepare, augment")
    c.line(295, y, 347, y, "deep", 2.2, arrow=True)
    c.label(350, y - 20, 120, 40, "encoder", "deep", "on-deep")
    c.line(470, y, 502, y, "deep", 2.2, arrow=True)
    c.label(505, y - 20, 90, 40, "head", "deep", "on-deep")
    c.line(595, y, 632, y, "deep", 2.2, arrow=True)
    c.label(635, 50, 100, 150, "loss")
    c.line(150, 226, 186, 226, "deep", 2.2, arrow=True)
    c.text(194, 226, "at every step", "soft", 13, "start")
    c.box(330, 217, 26, 18, "deep", "", 4)
    c.text(364, 226, "learns", "soft", 13, "start")
    c.lock(450, 225)
    c.text(464, 226, "frozen", "soft", 13, "start")
    return c


def stale() -> Canvas:
    """A tower belongs to the anchor it was bound to."""
    c = Canvas(
        760,
        250,
        "Fingerprints and stale towers",
        "Text and audio are bound to one state of the anchor. When text is bound again and the anchor learns, audio is"
        " stale until it is bound anew.",
    )
    panels = (
        ("all bound", "58d2", ("58d2", "58d2"), ""),
        ("the anchor learnt again", "a91f", ("a91f", "58d2"), "geobind bind --stage text"),
        ("bound again", "a91f", ("a91f", "a91f"), "geobind bind --stale"),
    )
    for number, (title, anchor, bound, command) in enumerate(panels):
        x = 20 + 250 * number
        c.text(x + 105, 26, title, "ink", 15, bold=True)
        if command:
            c.code(x + 105, 48, command, "soft", 12)
        c.box(x + 40, 70, 130, 50, "deep", "")
        c.text(x + 105, 86, "satellite", "on-deep")
        c.code(x + 105, 106, anchor, "on-deep")
        for offset, name, to in ((0, "text", bound[0]), (108, "audio", bound[1])):
            fresh = to == anchor
            c.line(x + offset + 51, 165, x + 105 + (offset - 54) * 0.6, 124, "deep" if fresh else "warm", 2, not fresh)
            c.box(x + offset + 2, 165, 98, 50, "mid" if fresh else "paper", "soft" if fresh else "warm")
            c.text(x + offset + 51, 181, name if fresh else f"{name}: stale", "ink", 13)
            c.code(x + offset + 51, 201, f"to {to}", "soft", 12)
        if number < 2:
            c.line(x + 216, 130, x + 244, 130, "soft", arrow=True)
    return c


def plugin() -> Canvas:
    """What a plugin brings, and what the core does with it."""
    c = Canvas(
        760,
        320,
        "A plugin and its hooks",
        "A plugin's hooks return specs that listing and checking read without torch; the builder a spec names is"
        " imported when a recipe uses it, and the core adds the rest.",
    )
    c.box(20, 50, 330, 250, "pale", "soft")
    c.text(185, 28, "your package", "ink", 15, bold=True)
    c.code(36, 74, "geobind_thermal/__init__.py", "soft", 12, "start")
    hooks = (
        ("geobind_modalities", "ModalitySpec"),
        ("geobind_encoders", "EncoderSpec"),
        ("geobind_datasets", "DatasetSpec"),
    )
    for number, (hook, spec) in enumerate(hooks):
        y = 100 + 32 * number
        c.code(36, y, hook, "ink", 13, "start")
        c.line(190, y, 222, y, "soft", arrow=True)
        c.code(230, y, spec, "ink", 13, "start")
    c.line(36, 196, 334, 196, "soft", 0.8)
    c.code(36, 216, "geobind_thermal/model.py", "soft", 12, "start")
    c.code(36, 242, "build(config)", "ink", 13, "start")
    c.line(190, 242, 222, 242, "soft", arrow=True)
    c.code(230, 242, "Encoder", "ink", 13, "start")
    c.code(36, 268, "preprocess(item)", "ink", 13, "start")
    c.code(190, 268, "forward(batch)", "ink", 13, "start")
    c.text(575, 28, "the core", "ink", 15, bold=True)
    c.label(450, 66, 290, 36, "stages list, plugins show, --help")
    c.label(450, 114, 290, 36, "checks the recipe: keys, types, values")
    c.text(740, 164, "no torch up to here", "soft", 12, "end")
    c.line(352, 106, 447, 84, "deep", 2, arrow=True)
    c.line(352, 120, 447, 132, "deep", 2, arrow=True)
    c.text(400, 70, "specs", "soft", 12)
    c.label(450, 196, 290, 36, "head, unit norm, training, checkpoints", "deep", "on-deep")
    c.label(450, 244, 290, 36, "space, evaluation, reports", "deep", "on-deep")
    c.line(352, 242, 447, 216, "deep", 2, arrow=True)
    c.line(595, 232, 595, 242, "deep", 2)
    c.text(400, 262, "when used", "soft", 12)
    return c


def main() -> None:
    """Draw all of them."""
    IMAGES.mkdir(exist_ok=True)
    for draw in (space, stages, pairs, splits, frozen, stale, plugin):
        draw().save(IMAGES / f"concepts-{draw.__name__}.svg")


if __name__ == "__main__":
    main()

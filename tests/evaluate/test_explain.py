"""The words nearest to an item."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geobind.errors import DataError, GeobindError, SpaceError
from geobind.evaluate.explain import REFERENCE_FROM, explain, read_vocabulary

WORDS = ["forest", "lake", "road", "field", "hub"]


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


class HubSpace:
    """Each word has an axis of its own; the hub lies near to all of them, and an item near to its word's axis."""

    name, dim, fingerprint, path = "hubs", len(WORDS), "f00d", Path("hubs")
    trained_pairs = frozenset([frozenset(("toy_a", "text"))])
    towers = dict.fromkeys(["toy_a", "text"])

    def encode(self, modality, items, *, advance=lambda n: None):
        return unit(np.stack([self._vector(modality, str(item)) for item in items]))

    def _vector(self, modality, item):
        axes = np.eye(len(WORDS))
        if "hub" in item:
            return np.ones(len(WORDS))
        word, _, row = item.removeprefix("see ").partition(":")
        noise = 0.02 * np.random.default_rng(len(row) + 7 * int(row or 0)).standard_normal(len(WORDS))
        return axes[WORDS.index(word)] + (0.9 * np.ones(len(WORDS)) + noise if modality != "text" else 0)


def items(n):
    return [f"{WORDS[i % 4]}:{i}" for i in range(n)]


def words_of(found, name):
    return [row[1] for row in found.tables[[table.title for table in found.tables].index(name)].rows]


def test_few_items_are_explained_by_cosine_and_hubs_win():
    found = explain(HubSpace(), "toy_a", items(4), items(4), WORDS, top=2)
    assert found.protocol["score"] == "cosine"
    assert found.protocol["relation"] == "trained"
    assert [words_of(found, name) for name in items(4)] == [["hub", word] for word in WORDS[:4]]
    assert found.tables[0].columns == ("", "words", "cosine")


@pytest.mark.parametrize("given", [False, True])
def test_a_reference_puts_hubs_in_their_place(given):
    many, space = items(REFERENCE_FROM), HubSpace()
    asked = many[:3] if given else many
    reference = space.encode("toy_a", many) if given else None
    found = explain(space, "toy_a", asked, asked, WORDS, top=3, reference=reference)
    assert found.protocol["score"] == "above its mean"
    assert found.protocol["reference"] == REFERENCE_FROM
    assert all(words_of(found, name)[0] == name.split(":")[0] for name in asked)
    assert found.tables[0].columns == ("", "words", "cosine", "above its mean")


def test_scores_are_those_of_the_plain_formula():
    many, space = items(120), HubSpace()
    found = explain(space, "toy_a", many, many, WORDS, top=5)
    cosine = space.encode("toy_a", many) @ space.encode("text", WORDS).T
    score = cosine - cosine.mean(axis=0)
    for row, item in enumerate(found.details["items"]):
        assert item["name"] == many[row]
        for entry in item["words"]:
            place = WORDS.index(entry["words"])
            assert entry["cosine"] == pytest.approx(cosine[row, place], abs=1e-5)
            assert entry["score"] == pytest.approx(score[row, place], abs=1e-5)


def test_a_word_equally_near_to_all_explains_none():
    class Flat(HubSpace):
        def _vector(self, modality, item):
            return np.ones(len(WORDS)) if modality != "text" else super()._vector(modality, item)

    found = explain(Flat(), "toy_a", items(REFERENCE_FROM), items(REFERENCE_FROM), WORDS, top=1)
    scores = [entry["score"] for item in found.details["items"] for entry in item["words"]]
    assert scores == pytest.approx([0] * len(scores), abs=1e-6)


def test_templates_and_repeated_words():
    found = explain(HubSpace(), "toy_a", ["lake"], ["one"], [*WORDS, "lake"], templates=("see {}",), top=99)
    assert len(words_of(found, "one")) == len(WORDS)
    assert found.protocol["words"] == len(WORDS)
    assert found.answer[0].startswith("one: hub, lake")


def test_a_picture_of_few_and_of_many():
    few, many = (explain(HubSpace(), "toy_a", items(n), items(n), WORDS) for n in (1, 20))
    assert few.pictures[0].png.startswith(b"\x89PNG")
    assert "The first 8 of 20 items" in many.pictures[0].caption
    assert len(many.tables) == 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocabulary": []}, "the vocabulary is empty"),
        ({"items": [], "names": []}, "0 items"),
        ({"names": ["a", "b"]}, "1 items and 2 names"),
        ({"top": 0}, "0 words are asked for"),
    ],
)
def test_wrong_input(changes, message):
    given = {"items": ["lake"], "names": ["one"], "vocabulary": WORDS, **changes}
    with pytest.raises(GeobindError, match=message):
        explain(HubSpace(), "toy_a", **given)


def test_no_words_in_the_space():
    class Mute(HubSpace):
        towers = dict.fromkeys(["toy_a"])

    with pytest.raises(SpaceError, match="no text tower"):
        explain(Mute(), "toy_a", ["lake"], ["one"], WORDS)


def test_nan_in_the_reference():
    reference = np.full((REFERENCE_FROM, len(WORDS)), np.nan, dtype=np.float32)
    with pytest.raises(DataError, match="not finite"):
        explain(HubSpace(), "toy_a", ["lake"], ["one"], WORDS, reference=reference)


def test_the_default_vocabulary():
    words = read_vocabulary()
    assert 200 <= len(words) <= 400
    assert {"forest", "river", "solar farm", "snow-covered peaks"} <= set(words)
    assert all(word == " ".join(word.split()) and not word.endswith(".") for word in words)


def test_a_vocabulary_of_ones_own(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("# theme\n heath \nbog\nheath\n")
    assert read_vocabulary(path) == ("heath", "bog")
    path.write_text("\n")
    with pytest.raises(GeobindError, match="vocabulary file .* is empty"):
        read_vocabulary(path)

"""Zero-shot classification: the figures against other computations, the sources, and what wrong input says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_accuracy

from geobind.errors import DataError, GeobindError, SpaceError
from geobind.evaluate.subject import Subject
from geobind.evaluate.zeroshot import Benchmark, FolderSource, TagSource, benchmark, read_templates, zero_shot
from geobind.evaluate.zeroshot.figures import classify
from geobind.evaluate.zeroshot.prompts import ensemble

COLOURS = {"Red": "red", "Green": "green", "Blue": "blue", "Grey": "grey", "Pink": "pink", "Teal": "teal"}


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def draw(*seed):
    return np.random.default_rng(list("\0".join(seed).encode())).standard_normal(16)


class WordSpace:
    """Text and items that speak of the same word lie near each other."""

    name, dim, anchor, fingerprint, path = "words", 16, "satellite", "f00d", Path("words")
    trained_pairs = frozenset([frozenset(("satellite", "text"))])

    def __init__(self, noise=0.6, towers=("satellite", "text", "audio")):
        self.noise, self.towers, self.prompts = noise, dict.fromkeys(towers), []

    def encode(self, modality, items, *, advance=lambda n: None):
        names = [str(items[i]) for i in range(len(items))]
        if modality == "text":
            self.prompts += names
        found = [next((w for w in COLOURS.values() if w in Path(name).name.lower()), name) for name in names]
        pairs = zip(found, names, strict=True)
        return unit(np.stack([draw(word) + self.noise * draw(modality, Path(name).name) for word, name in pairs]))


def make(**changes):
    values = {
        "name": "colours",
        "title": "Colours",
        "modality": "satellite",
        "classes": COLOURS,
        "templates": ("a photo of {}.", "a drawing of {}."),
        "source": "made up.",
        "layout": "a folder per class.",
    }
    return Benchmark.model_validate({**values, **changes})


@pytest.fixture
def folders(tmp_path):
    """Three to eight files in each class, below a folder of another name."""
    for row, folder in enumerate(COLOURS):
        (tmp_path / "images" / folder).mkdir(parents=True)
        for i in range(3 + row):
            (tmp_path / "images" / folder / f"{folder.lower()}_{i}.jpg").write_bytes(b"x" * (i + 1))
    return tmp_path


def problem(seed, n=300, classes=7):
    """Embeddings, class embeddings and labels that are right about half of the time."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.standard_normal((classes, 16)))
    labels = rng.choice(classes, size=n, p=rng.dirichlet(np.full(classes, 3.0)))
    return unit(centres[labels] + 0.5 * rng.standard_normal((n, 16))), centres, labels


# -- figures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_figures_equal_torchmetrics(seed):
    vectors, centres, labels = problem(seed)
    figures = classify(vectors, centres, labels).figures()
    scores, target = torch.from_numpy(vectors @ centres.T), torch.from_numpy(labels)
    for name, options in {
        "top-1": {"average": "micro"},
        "top-5": {"average": "micro", "top_k": 5},
        "mean per-class recall": {"average": "macro"},
    }.items():
        expected = float(multiclass_accuracy(scores, target, num_classes=7, **options))
        assert figures[name] == pytest.approx(expected, abs=1e-6)
    assert 0.3 < figures["top-1"] < 0.95


def test_the_whole_equals_clip_benchmark(folders):
    """The same embeddings through the harness's prompt ensemble, classifier and balanced accuracy."""
    outside = pytest.importorskip(
        "clip_benchmark.metrics.zeroshot_classification",
        reason="clip-benchmark is not installed: `pip install --no-deps clip-benchmark`",
    )
    space, task = WordSpace(noise=1.6), make()
    found = zero_shot(space, task, FolderSource(folders))
    paths = sorted(folders.glob("images/*/*.jpg"), key=lambda path: (list(COLOURS).index(path.parent.name), path))
    labels = torch.tensor([list(COLOURS).index(path.parent.name) for path in paths])
    images = torch.from_numpy(space.encode("satellite", paths))
    texts: list[str] = []

    class Model(torch.nn.Module):
        def encode_image(self, batch):
            return batch

        def encode_text(self, tokens):
            return torch.from_numpy(space.encode("text", [texts[i] for i in tokens.tolist()]))

    def tokenizer(prompts):
        texts.extend(prompts)
        return torch.arange(len(texts) - len(prompts), len(texts))

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), batch_size=8)
    templates = [template.replace("{}", "{c}") for template in task.templates]
    classifier = outside.zero_shot_classifier(Model(), tokenizer, list(COLOURS.values()), templates, "cpu", amp=False)
    logits, target = outside.run_classification(Model(), classifier, data, "cpu", amp=False)
    ours = {measure.metric: measure.value for measure in found.measures}
    # Its accuracy() turns arrays of one number into floats, which numpy no longer does; this is what it computes.
    assert ours["top-1"] == pytest.approx(float((logits.argmax(1) == target).float().mean()))
    assert ours["top-5"] == pytest.approx(float((logits.topk(5).indices == target[:, None]).any(1).float().mean()))
    balanced = outside.balanced_accuracy_score(target, logits.argmax(1))
    assert ours["mean per-class recall"] == pytest.approx(balanced)
    assert 0.2 < ours["top-1"] < 1


def test_a_worked_case():
    centres = np.eye(3, dtype=np.float32)
    vectors = unit(np.array([[3, 1, 0], [1, 3, 0], [0, 1, 3], [1, 0, 3.0]]))
    result = classify(vectors, centres, np.array([0, 0, 1, 2]))
    assert result.confusion.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert result.recalls.tolist() == [0.5, 0.0, 1.0]
    assert result.figures() == {"top-1": 0.5, "mean per-class recall": 0.5}


def test_a_tie_counts_as_wrong():
    same = np.tile(unit(np.ones((1, 4))), (2, 1))
    result = classify(same[:1].repeat(6, axis=0), same, np.array([0, 0, 0, 1, 1, 1]))
    assert result.figures()["top-1"] == 0
    assert result.confusion.tolist() == [[0, 3], [3, 0]]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 60), classes=st.integers(2, 12))
def test_order_of_items_and_classes_changes_nothing(seed, n, classes):
    vectors, centres, labels = problem(seed, n, classes)
    result = classify(vectors, centres, labels)
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(n), rng.permutation(classes)
    place = np.argsort(columns)
    other = classify(vectors[rows], centres[columns], place[labels[rows]])
    assert (other.confusion == result.confusion[np.ix_(columns, columns)]).all()
    assert other.figures() == pytest.approx(result.figures())
    for low, high in result.intervals().values():
        assert 0 <= low <= high <= 1


def test_blocks_change_nothing(monkeypatch):
    vectors, centres, labels = problem(3)
    whole = classify(vectors, centres, labels)
    monkeypatch.setattr("geobind.evaluate.zeroshot.figures.BLOCK", 7)
    parts = classify(vectors, centres, labels)
    assert (whole.confusion == parts.confusion).all()
    assert (whole.top5 == parts.top5).all()


def test_intervals_are_those_of_resampled_items():
    vectors, centres, labels = problem(5, n=200)
    result = classify(vectors, centres, labels)
    hits = (vectors @ centres.T).argmax(axis=1) == labels
    rng = np.random.default_rng(1)
    drawn = rng.integers(200, size=(4000, 200))
    recalls = [[hits[rows][labels[rows] == c].mean() for c in np.unique(labels[rows])] for rows in drawn]
    for name, values in {
        "top-1": hits[drawn].mean(axis=1),
        "mean per-class recall": list(map(np.mean, recalls)),
    }.items():
        assert result.intervals()[name] == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.015)
        low, high = result.intervals()[name]
        assert low < result.figures()[name] < high
    assert result.intervals() == result.intervals()


def test_random_embeddings_reach_chance():
    rng = np.random.default_rng(0)
    vectors, centres = unit(rng.standard_normal((4000, 16))), unit(rng.standard_normal((8, 16)))
    result = classify(vectors, centres, rng.integers(8, size=4000))
    low, high = result.intervals()["top-1"]
    assert low - 0.01 < 1 / 8 < high + 0.01
    assert result.figures()["top-5"] == pytest.approx(5 / 8, abs=0.03)


def test_the_ensemble_is_the_mean_of_unit_vectors():
    space, templates = WordSpace(), ("{} one", "{} two", "{} three")
    vectors = space.encode("text", [template.replace("{}", "red") for template in templates])
    expected = vectors.mean(axis=0) / np.linalg.norm(vectors.mean(axis=0))
    assert ensemble(space, "text", ["red", "blue"], templates)[0] == pytest.approx(expected, abs=1e-6)


# -- the finding -----------------------------------------------------------------------------------


def test_a_finding_says_what_it_measured(folders):
    space = WordSpace()
    found = zero_shot(space, make(note="mind this."), FolderSource(folders))
    assert found.name == "zero-shot-colours"
    assert [measure.metric for measure in found.measures] == ["top-1", "top-5", "mean per-class recall"]
    assert [measure.chance for measure in found.measures] == [1 / 6, 5 / 6, 1 / 6]
    protocol = found.measures[0].protocol
    assert (protocol["items"], protocol["classes"], protocol["templates"], protocol["ties"]) == (
        33,
        6,
        2,
        "pessimistic",
    )
    assert (protocol["relation"], protocol["split"], protocol["origin"]) == ("trained", "all", "classes by folder")
    assert sorted(space.prompts) == sorted(t.replace("{}", w) for t in make().templates for w in COLOURS.values())
    (table,) = found.tables
    assert [row[:2] for row in table.rows] == [(w, 3 + i) for i, w in enumerate(COLOURS.values())]
    assert np.sum(found.details["confusion"]) == 33
    assert found.details["templates"] == list(make().templates)
    assert found.details["data"] == str(folders)
    assert "mind this." in found.notes
    assert "the most frequent class, teal" in found.answer[1]
    assert found.pictures[0].png.startswith(b"\x89PNG")


def test_other_templates_change_the_protocol_and_nothing_else_of_it(folders):
    first, second = (zero_shot(WordSpace(), make(), FolderSource(folders), templates=t) for t in (None, ["see {}"]))
    differing = {key for key, value in first.protocol.items() if second.protocol[key] != value}
    assert differing == {"templates", "prompts"}


def test_an_emergent_pair_is_called_so(folders):
    found = zero_shot(WordSpace(), make(), FolderSource(folders), modality="audio")
    assert found.protocol["relation"] == "emergent"
    assert found.protocol["query"] == "audio"


def test_five_classes_have_no_top_5(folders):
    few = dict(list(COLOURS.items())[:5])
    found = zero_shot(WordSpace(), make(classes=few), FolderSource(folders))
    assert {measure.metric for measure in found.measures} == {"top-1", "mean per-class recall"}


def test_a_picture_of_fifty_classes(tmp_path):
    for i in range(50):
        (tmp_path / f"class_{i}").mkdir()
        (tmp_path / f"class_{i}" / "a.png").write_bytes(b"x")
    found = zero_shot(WordSpace(), make(classes="folders"), FolderSource(tmp_path))
    assert found.details["classes"]["class_7"] == "class 7"
    assert found.pictures[0].png.startswith(b"\x89PNG")


# -- sources ---------------------------------------------------------------------------------------


def test_the_folder_is_no_part_of_the_protocol(folders):
    here = zero_shot(WordSpace(), make(), FolderSource(folders))
    there = folders.rename(folders.with_name("elsewhere"))
    assert zero_shot(WordSpace(), make(), FolderSource(there)).protocol == here.protocol
    (there / "images" / "Red" / "red_0.jpg").write_bytes(b"another image")
    assert zero_shot(WordSpace(), make(), FolderSource(there)).protocol != here.protocol


def test_files_are_sorted_and_others_passed_over(folders):
    (folders / "images" / "Red" / "notes.txt").write_text("no image")
    (folders / "images" / "Red" / ".hidden.jpg").write_text("no image")
    (folders / "images" / "Red" / "deeper").mkdir()
    (folders / "images" / "Red" / "deeper" / "red_9.TIF").write_bytes(b"x")
    data = FolderSource(folders).read(WordSpace(), make(), "satellite")
    assert [Path(key).name for key in data.items.key[:4]] == ["red_9.TIF", "red_0.jpg", "red_1.jpg", "red_2.jpg"]
    assert data.labels.tolist()[:5] == [0, 0, 0, 0, 1]


def test_a_split_is_a_folder(folders):
    data = FolderSource(folders, "images").read(WordSpace(), make(), "satellite")
    assert (len(data.items), data.protocol["split"]) == (33, "images")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda root: (root / "images" / "Red").rename(root / "images" / "Rot"),
            "1 of 6 classes are not in the data: Red",
        ),
        (lambda root: [path.unlink() for path in (root / "images" / "Pink").iterdir()], "classes without images: Pink"),
        (lambda root: (root / "more" / "Blue").mkdir(parents=True), "class 'Blue' has several folders"),
    ],
)
def test_data_that_does_not_fit_the_classes(folders, spoil, message):
    spoil(folders)
    with pytest.raises(DataError, match=message):
        FolderSource(folders).read(WordSpace(), make(), "satellite")


def test_no_class_folder_at_all_lists_what_is_there(tmp_path):
    (tmp_path / "Redd").mkdir()
    with pytest.raises(DataError, match="6 of 6 classes.*Did you mean 'Redd'. Found: Redd"):
        FolderSource(tmp_path, partial=True).read(WordSpace(), make(), "satellite")


def test_a_part_of_the_classes_when_allowed(folders):
    for path in (folders / "images" / "Pink").iterdir():
        path.unlink()
    found = zero_shot(WordSpace(noise=0.01), make(), FolderSource(folders, partial=True))
    assert {measure.metric: measure.value for measure in found.measures}["mean per-class recall"] == 1
    assert found.protocol["classes"] == 6
    assert "1 of the classes have no items" in found.answer[-1]
    assert found.tables[0].rows[4] == ("pink", 0, "", "")


@pytest.mark.parametrize(
    ("root", "split", "message"),
    [("nowhere", None, "does not exist"), (".", "imagez", "there is no split 'imagez'.*Did you mean 'images'")],
)
def test_absent_data(folders, root, split, message):
    with pytest.raises(DataError, match=message):
        FolderSource(folders / root, split).read(WordSpace(), make(), "satellite")


def write_index(root, rows, name="meta/all.csv"):
    (root / "meta").mkdir(exist_ok=True)
    with (root / name).open("w", newline="") as file:
        csv.writer(file).writerows([("file", "category"), *rows])


@pytest.fixture
def indexed(folders):
    files = [(path.relative_to(folders / "images"), path.parent.name) for path in folders.glob("images/*/*")]
    write_index(folders, files)
    return folders, make(index={"file": "meta/all.csv", "path": "images/{file}", "label": "category"}), files


def test_a_class_file_gives_what_folders_give(indexed):
    root, task, _ = indexed
    by_file, by_folder = (zero_shot(WordSpace(), t, FolderSource(root)) for t in (task, make()))
    assert by_file.details["confusion"] == by_folder.details["confusion"]
    assert by_file.protocol["origin"] == "classes by meta/all.csv"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("Red/red_0.jpg", "Rad"), "'Rad' is no class.*all.csv:35.*'Red'"),
        (("Red/no.jpg", "Red"), "no.jpg' does not exist"),
    ],
)
def test_a_class_file_with_a_wrong_row(indexed, row, message):
    root, task, files = indexed
    write_index(root, [*files, row])
    with pytest.raises(DataError, match=message):
        FolderSource(root).read(WordSpace(), task, "satellite")


def test_a_class_file_without_its_column_or_absent(indexed):
    root, task, _ = indexed
    index = {"file": "meta/all.csv", "path": "images/{filename}", "label": "category"}
    with pytest.raises(DataError, match="there is no column 'filename'.*Did you mean 'file'"):
        FolderSource(root).read(WordSpace(), make(index=index), "satellite")
    (root / "meta" / "all.csv").unlink()
    with pytest.raises(DataError, match=r"no 'meta/all.csv'.*a folder per class"):
        FolderSource(root).read(WordSpace(), task, "satellite")


@pytest.fixture
def subject(items, dataset):
    """Items by folder name and by words, and some of another source."""
    labels = [name for name in COLOURS for _ in range(4)] + ["field"] * 3 + [""]
    labels[0] = "red"
    tags = {"label": labels, "source": ["mine"] * 24 + ["other"] * 3 + ["mine"]}
    keys = [f"{label or 'none'}_{row}".lower() for row, label in enumerate(labels)]
    table = items("satellite", range(28), key=keys, tags=tags)
    texts = items("text", range(28))
    return Subject(WordSpace(), [dataset(table, texts, origin="captions that name the class")])


def test_tags_name_the_classes(subject):
    found = zero_shot(subject, make(), TagSource(subject, "label", {"source": "mine"}))
    assert found.measures[0].n == 24
    assert found.protocol["data"] == "data-1"
    assert found.protocol["split"] == "test"
    assert found.protocol["origin"] == "classes by tag label, source=mine"
    assert any("satellite and text: captions that name the class" in note for note in found.notes)


@pytest.mark.parametrize(
    ("tag", "where", "split", "message"),
    [
        ("lable", {}, None, "have no tag 'lable'.*Did you mean 'label'"),
        ("label", {"sauce": "mine"}, None, "have no tag 'sauce'"),
        ("label", {"source": "mime"}, None, "is there for.*Did you mean 'mine'"),
        ("label", {}, None, "1 values of the tag 'label' are no class, 'field' the first"),
        ("source", {"label": "Red"}, None, "'mine' the first"),
        ("label", {}, "train", "no dataset holds satellite items in the split 'train'"),
    ],
)
def test_tags_that_do_not_fit(subject, tag, where, split, message):
    with pytest.raises(DataError, match=message):
        zero_shot(subject, make(), TagSource(subject, tag, where, split))


def test_a_class_without_a_tagged_item(subject):
    more = make(classes={**COLOURS, "Gold": "gold"})
    with pytest.raises(DataError, match="classes without images: Gold"):
        zero_shot(subject, more, TagSource(subject, "label", {"source": "mine"}))
    found = zero_shot(subject, more, TagSource(subject, "label", {"source": "mine"}, partial=True))
    assert found.measures[0].chance == 1 / 7


# -- wrong input -----------------------------------------------------------------------------------


def test_a_space_without_words(folders):
    with pytest.raises(SpaceError, match="has no text tower"):
        zero_shot(WordSpace(towers=["satellite"]), make(), FolderSource(folders))


@pytest.mark.parametrize("broken", ["satellite", "text"])
def test_nan_embeddings(folders, broken, monkeypatch):
    whole = WordSpace.encode

    def encode(self, modality, items, **options):
        vectors = whole(self, modality, items, **options)
        if modality == broken:
            vectors[2] = np.nan
        return vectors

    monkeypatch.setattr(WordSpace, "encode", encode)
    with pytest.raises(DataError, match=rf"1 of \d+ embeddings of {broken}.*that of '.+[.]"):
        zero_shot(WordSpace(), make(), FolderSource(folders))


def test_prompts_that_cancel_out():
    class Opposite(WordSpace):
        def encode(self, modality, items, **options):
            return np.array([[1.0], [-1.0]] * (len(items) // 2), dtype=np.float32)

    with pytest.raises(DataError, match="'red' cancel out"):
        ensemble(Opposite(), "text", ["red"], ["{} a", "{} b"])


def test_templates_of_a_file(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("# mine\na view of {}\n\nan image of {}.\na view of {}\n")
    assert read_templates(path) == ("a view of {}", "an image of {}.")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), ("", "is empty"), ("# only\n", "is empty"), ("a view", r"exactly one \{\}")],
)
def test_a_templates_file_that_is_of_no_use(tmp_path, content, message):
    path = tmp_path / "prompts.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(GeobindError, match=message):
        read_templates(path)


# -- the real corpus -------------------------------------------------------------------------------


@pytest.mark.shared
def test_the_folders_of_the_mini_corpus_are_eurosats(shared):
    root = shared / "data" / "mini" / "satellite" / "eurosat"
    if not root.is_dir():
        pytest.skip("the mini corpus has no EuroSAT folders")
    assert {folder.name for folder in root.iterdir()} == set(benchmark("eurosat").classes)

"""Probes of frozen embeddings: known answers, equality with plain scikit-learn, and what is refused."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from geobind.data.items import SPLITS, Dataset
from geobind.errors import DataError, GeobindError, PluginError, SpaceError
from geobind.evaluate.probe import Targets, probe
from geobind.evaluate.probe.fit import C_GRID, K_GRID, choose, folds, linear
from geobind.evaluate.probe.outcome import Outcome, baseline, intervals
from geobind.evaluate.probe.shots import STRENGTH, draw
from geobind.evaluate.probe.task import Part, gather
from geobind.evaluate.subject import Subject

sklearn_linear = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")

SIZES = {"train": 120, "val": 60, "test": 80}


class SplitDataset(Dataset):
    """One modality, a table for each split."""

    modalities = ("a",)
    fingerprint = "data-1"

    def __init__(self, tables):
        self.tables = tables

    def items(self, modality, split):
        table = self.tables.get(split)
        return next(iter(self.tables.values())).take(np.arange(0)) if table is None else table

    def origin(self, a, b):
        return "true location"


@pytest.fixture
def made(space, items):
    """A subject whose tags follow from its embeddings by ``tags(vectors, split)``."""

    def make(tags, *, sizes=SIZES, split="test", places=lambda split, n: [f"{split}-{i}" for i in range(n)]):
        toy = space("a", noise={"a": 0.0})
        tables = {}
        for name, n in sizes.items():
            bare = items("a", places(name, n))
            vectors = toy.encode("a", bare)
            tables[name] = items("a", bare.place, tags=tags(vectors, name))
        return Subject(toy, [SplitDataset(tables)], split=split)

    return make


def weights(n=16):
    return np.random.default_rng(7).standard_normal(n)


def halves(vectors, split):
    """Two classes apart by a plane with nobody near it."""
    side = vectors @ weights() / np.linalg.norm(weights())
    return {"side": np.where(np.abs(side) < 0.1, "", np.where(side > 0, "right", "left"))}


def straight(vectors, split):
    return {"height": 100 * vectors.astype(np.float64) @ weights() + 50}


def random_labels(vectors, split):
    return {"label": np.random.default_rng(SPLITS.index(split)).choice(["x", "y"], len(vectors))}


def figure(finding, metric, method="linear probe"):
    (found,) = [m for m in finding.measures if m.metric == metric and m.protocol["method"] == method]
    return found


# -- known answers ----------------------------------------------------------------------------------


def test_separable_classes_are_told_apart(made):
    finding = probe(made(halves), "side", modality="a")
    assert finding.name == "probe-side"
    for metric in ("accuracy", "mean per-class recall"):
        measure = figure(finding, metric)
        assert (measure.value, measure.low, measure.high) == (1.0, 1.0, 1.0)
        assert measure.chance < 0.7
    assert 0.7 < figure(finding, "accuracy", "k-NN").value < 1.0


def test_a_linear_quantity_is_read_off(made):
    target = Targets.tag("height", unit="m")
    finding = probe(made(straight), target, modality="a", methods=["linear"])
    assert figure(finding, "R²").value > 0.9999
    assert figure(finding, "R²").chance == pytest.approx(0, abs=0.1)
    error = figure(finding, "RMSE m")
    assert error.value < 1 < 50 < error.chance
    assert not error.higher_is_better
    assert error.low <= error.value <= error.high
    assert "R² 1.00" in finding.answer[0]


def test_the_interval_of_random_labels_holds_chance(made):
    finding = probe(made(random_labels, sizes={"train": 300, "val": 100, "test": 300}), "label", modality="a")
    for method in ("linear probe", "k-NN"):
        measure = figure(finding, "mean per-class recall", method)
        assert measure.chance == 0.5
        assert measure.low < 0.5 < measure.high


# -- equality with plain scikit-learn ---------------------------------------------------------------


def arrays(subject, tag):
    out = {}
    for split in SPLITS:
        items = subject.items("a", split)[1]
        known = items.tags[tag] != ""
        out[split] = subject.embedded("a", split).vectors[known], items.tags[tag][known]
    return out


def test_linear_classification_is_logistic_regression(made):
    subject = made(lambda vectors, split: {"class": np.argmax(vectors[:, :4], axis=1).astype(str)})
    finding = probe(subject, Targets.tag("class", kind="classification"), modality="a", methods=["linear"])
    (x, y), (x_val, y_val), (x_test, y_test) = arrays(subject, "class").values()
    centre = x.mean(axis=0)
    scale = np.sqrt(((x - centre) ** 2).sum() / len(x))
    models = [
        sklearn_linear.LogisticRegression(C=c, tol=1e-5, max_iter=10_000).fit((x - centre) / scale, y) for c in C_GRID
    ]
    best = int(np.argmax([model.score((x_val - centre) / scale, y_val) for model in models]))
    assert finding.details["chosen"]["linear"]["C"] == C_GRID[best]
    assert figure(finding, "accuracy").value == models[best].score((x_test - centre) / scale, y_test)
    # The tolerance is tight enough: the optimum of the same problem, found by another solver, answers alike.
    exact = sklearn_linear.LogisticRegression(C=C_GRID[best], solver="newton-cg", tol=1e-8).fit(
        (x.astype(np.float64) - centre) / scale, y
    )
    same = exact.predict((x_test - centre) / scale) == models[best].predict((x_test - centre) / scale)
    assert same.mean() > 0.98


def test_linear_regression_is_ridge(made):
    def noisy(vectors, split):
        return {"height": vectors @ weights() + np.random.default_rng(len(vectors)).standard_normal(len(vectors))}

    subject = made(noisy)
    finding = probe(subject, "height", modality="a", methods=["linear"])
    (x, y), (x_val, y_val), (x_test, y_test) = (
        (x.astype(np.float64), y.astype(np.float64)) for x, y in arrays(subject, "height").values()
    )
    centre, chosen = x.mean(axis=0), finding.details["chosen"]["linear"]
    scale = np.sqrt(((x - centre) ** 2).sum() / len(x))
    errors = [
        np.mean(
            (sklearn_linear.Ridge(alpha=a).fit((x - centre) / scale, y).predict((x_val - centre) / scale) - y_val) ** 2
        )
        for a in chosen["grid"]
    ]
    np.testing.assert_allclose(chosen["losses"], errors)
    assert chosen["alpha"] == chosen["grid"][int(np.argmin(errors))]
    model = sklearn_linear.Ridge(alpha=chosen["alpha"]).fit((x - centre) / scale, y)
    assert figure(finding, "R²").value == pytest.approx(model.score((x_test - centre) / scale, y_test), abs=1e-9)


def test_knn_is_a_count_of_cosines(made):
    subject = made(random_labels)
    finding = probe(subject, "label", modality="a", methods=["knn"])
    (x, y), (x_val, y_val), (x_test, y_test) = arrays(subject, "label").values()

    def answers(queries, k):
        near = np.argsort(-(queries @ x.T), axis=1)[:, :k]
        return np.where((y[near] == "y").sum(axis=1) > k / 2, "y", "x")  # a tie goes to the first class

    shares = [np.mean(answers(x_val, k) == y_val) for k in K_GRID]
    best = K_GRID[int(np.argmax(shares))]
    assert finding.details["chosen"]["knn"]["k"] == best
    assert figure(finding, "accuracy", "k-NN").value == np.mean(answers(x_test, best) == y_test)


def test_figures_are_those_of_sklearn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    place = np.arange(200).astype(str)
    test = Part(np.zeros((200, 2), np.float32), rng.choice(list("abc"), 200), place)
    predicted = rng.choice(list("abc"), 200)
    assert Outcome("classification", test, predicted).figures() == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(test.y, predicted),
            "mean per-class recall": metrics.balanced_accuracy_score(test.y, predicted),
        }
    )
    test = Part(test.x, 1e4 + rng.standard_normal(200), place)
    guess = test.y + rng.standard_normal(200)
    assert Outcome("regression", test, guess).figures() == pytest.approx(
        {
            "R²": metrics.r2_score(test.y, guess),
            "RMSE": metrics.root_mean_squared_error(test.y, guess),
            "MAE": metrics.mean_absolute_error(test.y, guess),
        }
    )


def test_the_interval_resamples_places_together():
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(50) < 0.5, 8)
    test = Part(np.zeros((400, 2), np.float32), np.full(400, "a"), np.repeat(np.arange(50), 8).astype(str))
    guess = np.where(right, "a", "b")
    low, high = intervals(Outcome("classification", test, guess))["accuracy"]
    error = np.sqrt(right.mean() * (1 - right.mean()) / 50)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    alone = Part(test.x, test.y, np.arange(400).astype(str))
    low, high = intervals(Outcome("classification", alone, guess))["accuracy"]
    assert (high - low) / 2 == pytest.approx(1.96 * error / np.sqrt(8), rel=0.1)


def test_the_mean_of_test_has_r2_0_and_the_baseline_is_that_of_train():
    place = np.array(["p", "q"])
    train, test = (Part(np.zeros((2, 2), np.float32), np.array(y), place) for y in ([0.0, 4.0], [2.0, 6.0]))
    assert baseline("regression", test, test).figures()["R²"] == 0
    assert baseline("regression", train, test).figures() == pytest.approx({"R²": -1, "RMSE": 8**0.5, "MAE": 2})


# -- choice and few examples ------------------------------------------------------------------------


@pytest.mark.parametrize(("sizes", "split"), [({"train": 120, "test": 80}, "test"), ({"train": 120, "val": 80}, "val")])
def test_without_a_val_split_it_cross_validates_and_says_so(made, sizes, split):
    finding = probe(made(halves, sizes=sizes, split=split), "side", modality="a")
    assert finding.protocol["hyper-parameter chosen on"] == "5-fold cross-validation in train, places apart"
    assert finding.protocol["val items"] == 0
    assert any("The val split" in note for note in finding.notes)
    assert figure(finding, "accuracy").value > 0.95


def test_folds_keep_places_apart_and_cover_train():
    part = Part(np.zeros((12, 2), np.float32), np.array(list("ab") * 6), np.array(list("ppqqrrssttuu")))
    found = folds("classification", part)
    assert len(found) == 5
    assert sorted(np.concatenate([checked for _, checked in found]).tolist()) == list(range(12))
    for fitted, checked in found:
        assert not set(part.place[fitted]) & set(part.place[checked])
    with pytest.raises(DataError, match="1 places of train are too few to cross-validate"):
        folds("classification", part.take(np.arange(2)))


def test_a_fold_that_would_fit_a_single_class_is_left_out():
    part = Part(np.zeros((3, 2), np.float32), np.array(list("aab")), np.array(list("pqr")))
    assert sorted(checked.tolist() for _, checked in folds("classification", part)) == [[0], [1]]


def test_k_goes_no_further_than_train(made):
    sizes = {"train": 12, "val": 30, "test": 30}
    finding = probe(made(random_labels, sizes=sizes), "label", modality="a", methods=["knn"])
    assert finding.details["chosen"]["knn"]["grid"] == [10, 5, 1]


def test_few_examples(made):
    def four(vectors, split):
        return {"class": np.array(list("abcd"))[np.argmax(vectors[:, :4], axis=1)]}

    subject = made(four, sizes={"train": 400, "val": 60, "test": 300})
    finding = probe(subject, "class", modality="a", shots=[16, 1, 4], seed=3)
    points = finding.details["few shot"]
    assert [point["n"] for point in points] == [1, 4, 16]
    means = [point["accuracy"]["mean"] for point in points]
    assert 0.25 < means[0] < means[1] < means[2] < figure(finding, "accuracy").value

    task = gather(subject, Targets.tag("class"), "a")
    values = []
    for number in range(5):
        part = draw(task.train, task.train.y, 4, np.random.default_rng([3, 4, number]))
        assert np.unique(part.y, return_counts=True)[1].tolist() == [4, 4, 4, 4]
        predict = linear("classification", part, STRENGTH["classification"][1])
        values.append(np.mean(predict(task.test.x) == task.test.y))
    assert points[1]["accuracy"] == pytest.approx({"mean": np.mean(values), "sd": np.std(values, ddof=1)})
    measure = figure(finding, "accuracy", "linear probe, 4 of each class")
    assert measure.low < np.mean(values) < measure.high
    assert measure.protocol["seed"] == 3


def test_few_examples_of_a_quantity_are_places_in_all(made):
    finding = probe(made(straight), "height", modality="a", shots=[8, 64])
    few, many = (point["R²"]["mean"] for point in finding.details["few shot"])
    assert few < many < figure(finding, "R²").value


def test_a_place_is_drawn_with_all_its_items():
    part = Part(np.zeros((6, 2), np.float32), np.array(list("aaaabb")), np.array(list("ppqqrr")))
    found = draw(part, part.y, 1, np.random.default_rng(0))
    assert np.unique(found.place, return_counts=True)[1].tolist() == [2, 2]
    assert len(draw(part, part.y, 9, np.random.default_rng(0))) == 6


def test_the_same_seed_gives_the_same_finding(made):
    one, two, other = (probe(made(halves), "side", modality="a", shots=[2], seed=seed) for seed in (0, 0, 1))
    assert one == two
    assert one.details["few shot"] != other.details["few shot"]
    assert one.details["chosen"] == other.details["chosen"]


# -- what is said -----------------------------------------------------------------------------------


def test_missing_targets_are_left_out_and_counted(made, tmp_path):
    subject = made(straight)
    lines = ["id,slope"]
    for split in SPLITS:
        places = subject.items("a", split)[1].place.tolist()
        lines += [f"{place},{'' if i < 3 else i / 7}" for i, place in enumerate(places[5:])]
    path = tmp_path / "slopes.csv"
    path.write_text("\n".join(lines))
    finding = probe(subject, Targets.read(path, "slope", "id"), modality="a")
    assert [finding.protocol[f"{split} items"] for split in SPLITS] == [112, 52, 72]
    assert finding.details["left out"] == {
        "no row": {"train": 5, "val": 5, "test": 5},
        "empty": {"train": 3, "val": 3, "test": 3},
    }
    assert any("Left out: 15 items that no row belongs to" in n and "9 items with an empty" in n for n in finding.notes)
    assert finding.protocol["target source"] == "slopes.csv: slope by id"


def test_a_class_that_train_lacks_counts_as_wrong_and_is_said(made):
    def rare(vectors, split):
        tags = halves(vectors, split)["side"].astype("<U6")
        tags[tags == ""] = "left"
        if split == "test":
            tags[:4] = "centre"
        return {"side": tags}

    subject = made(rare)
    finding = probe(subject, "side", modality="a")
    assert finding.details["classes train lacks"] == {"centre": 4}
    assert any(
        "4 test items are of 1 classes that train lacks and count as wrong: centre (4)" in s for s in finding.answer
    )
    assert figure(finding, "accuracy").value <= 76 / 80
    classes = next(table for table in finding.tables if "class by class" in table.title)
    assert ("centre", 0, 4, "0.0 %", "0.0 %") in classes.rows


def test_places_that_train_has_met_are_said(made):
    shared = lambda split, n: [f"{i if i < 7 else split + str(i)}" for i in range(n)]  # noqa: E731
    finding = probe(made(straight, places=shared), "height", modality="a", methods=["linear"])
    assert "7 test items share their place with an item of train." in finding.notes


def test_a_few_extremes_are_said(made):
    def heavy(vectors, split):
        heights = straight(vectors, split)["height"]
        heights[0] = 1e6
        return {"height": heights}

    finding = probe(made(heavy), "height", modality="a", methods=["linear"])
    assert any("The 1 test items farthest from the mean make up 99 % of the squared" in note for note in finding.notes)


def test_the_protocol_travels_with_every_figure(made):
    finding = probe(made(straight), "height", modality="a", shots=[8])
    for measure in finding.measures:
        assert measure.protocol["query"] == "a"
        assert measure.protocol["target source"] == "tag height"
        assert measure.protocol["origin"] == "true location"
        assert measure.protocol["dataset"] == "data-1"
        assert measure.protocol["train items"] == 120
        assert measure.n == 80
    assert (finding.protocol["space"], finding.protocol["fingerprint"]) == ("toy", "f00dcafe")
    assert finding.protocol["linear probe"].startswith("alpha = ")
    assert finding.protocol["k-NN"].startswith("k = ")
    assert len({(m.of, m.metric) for m in finding.measures}) == len(finding.measures) == 9
    assert json.loads(json.dumps(finding.as_dict()))["name"] == "probe-height"


@pytest.mark.parametrize(
    ("tags", "target", "names"),
    [
        (halves, "side", ["probe-side-a-confusion", "probe-side-a-few-shot"]),
        (straight, "height", ["probe-height-a-predicted", "probe-height-a-few-shot"]),
    ],
)
def test_pictures_can_be_opened(made, tags, target, names):
    finding = probe(made(tags), target, modality="a", shots=[4])
    assert [picture.name for picture in finding.pictures] == names
    for picture in finding.pictures:
        image = Image.open(io.BytesIO(picture.png))
        assert image.width > 300
        assert len(set(image.convert("L").resize((50, 50)).tobytes())) > 5


def test_many_classes_have_no_confusion_matrix(made):
    def many(vectors, split):
        return {"class": [f"c{i % 41}" for i in range(len(vectors))]}

    finding = probe(made(many, sizes={"train": 123, "val": 41, "test": 82}), "class", modality="a", methods=["knn"])
    assert finding.pictures == ()
    assert "k-NN" in finding.answer[0]


def test_a_name_that_is_no_file(made):
    finding = probe(made(lambda v, s: {"land cover/2": halves(v, s)["side"]}), "land cover/2", modality="a")
    assert finding.name == "probe-land-cover-2"


# -- wrong input ------------------------------------------------------------------------------------


def test_wrong_words(made):
    subject = made(halves)
    with pytest.raises(SpaceError, match=r"modality 'sound' is not bound in space 'toy'"):
        probe(subject, "side", modality="sound")
    with pytest.raises(DataError, match=r"no tag 'sides'.*Did you mean 'side'"):
        probe(subject, "sides", modality="a")
    with pytest.raises(GeobindError, match=r"unknown method 'liner'.*Did you mean 'linear'"):
        probe(subject, "side", modality="a", methods=["liner"])
    with pytest.raises(GeobindError, match="no method"):
        probe(subject, "side", modality="a", methods=[])
    with pytest.raises(GeobindError, match="few examples are fitted by the linear probe"):
        probe(subject, "side", modality="a", methods=["knn"], shots=[1])


@pytest.mark.parametrize("n", [0, -1, 1000])
def test_shots_that_cannot_be_drawn(made, n):
    with pytest.raises(GeobindError, match=r"cannot draw -?[\d,]+ places of a class: train has up to \d+"):
        probe(made(halves), "side", modality="a", shots=[n])


def test_absent_splits(made):
    with pytest.raises(DataError, match="no dataset holds a items in the split 'train'"):
        probe(made(halves, sizes={"val": 20, "test": 20}), "side", modality="a")
    with pytest.raises(DataError, match="no dataset holds a items in the split 'test'"):
        probe(made(halves, sizes={"train": 20, "val": 20}), "side", modality="a")
    with pytest.raises(GeobindError, match="a probe is fitted on train and cannot be tested there"):
        probe(made(halves, split="train"), "side", modality="a")


def test_targets_that_cannot_be_learnt(made):
    constant = made(lambda vectors, split: {"c": ["same"] * len(vectors), "q": ["1.5"] * len(vectors)})
    with pytest.raises(DataError, match="'c' is 'same' for all 120 train items: there is nothing to tell"):
        probe(constant, "c", modality="a")
    with pytest.raises(DataError, match=r"'q' is 1.5 for all 120 train items"):
        probe(constant, "q", modality="a")
    with pytest.raises(DataError, match="no class of test occurs in train"):
        probe(made(lambda v, s: {"c": [f"{s}{i % 2}" for i in range(len(v))]}), "c", modality="a")
    with pytest.raises(DataError, match="no test item has a value of 'c'"):
        probe(made(lambda v, s: {"c": ["" if s == "test" else "xy"[i % 2] for i in range(len(v))]}), "c", modality="a")


def test_embeddings_that_are_not_finite(made):
    subject = made(halves)
    encode = subject.space.encode
    subject.space.encode = lambda *args, **options: np.where(np.arange(16) == 3, np.nan, encode(*args, **options))
    with pytest.raises(DataError, match=r"of \d+ a embeddings are not finite"):
        probe(subject, "side", modality="a")


def test_without_sklearn_it_says_what_to_install(made, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.linear_model", None)
    with pytest.raises(PluginError, match=r"scikit-learn cannot be imported.*pip install 'geobind\[probe\]'"):
        probe(made(halves), "side", modality="a")


def test_choose_prefers_the_smoother_of_equals(made):
    task = gather(made(halves), Targets.tag("side"), "a")
    chosen, _ = choose("linear", task.kind, task.train, task.val)
    assert chosen.value == chosen.grid[int(np.argmin(chosen.losses))]
    assert not chosen.at_edge or chosen.losses[0] < chosen.losses[1] or chosen.losses[-1] < chosen.losses[-2]

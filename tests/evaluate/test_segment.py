"""Segmentation: known answers, equality with torchmetrics, what is ignored, and what wrong input says."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

import geobind
from geobind.data.items import SPLITS, Dataset
from geobind.errors import DataError, GeobindError, SpaceError
from geobind.evaluate.findings import Picture
from geobind.evaluate.report import write_report
from geobind.evaluate.segment import Segmentation, question, segment, segmentation
from geobind.evaluate.segment import head as head_module
from geobind.evaluate.segment.colours import distinct, oklab
from geobind.evaluate.segment.dense import taken_for
from geobind.evaluate.segment.figures import majority, tally
from geobind.evaluate.segment.head import learn
from geobind.evaluate.segment.masks import IGNORED, Legend, Window, sampled
from geobind.evaluate.segment.scenes import folds, gather
from geobind.evaluate.subject import Subject
from geobind.space.heads import Tower

WORDS = ("sand", "wood", "water", "snow")
GRID = 4


class Mosaic(geobind.Encoder):
    """Sees a grid of classes; a token is its class's vector, with noise that the image alone decides."""

    embed_dim = 16

    def __init__(self, noise=0.0, told=None):
        super().__init__()
        self.noise, self.told = noise, told or {}
        self.register_buffer("vectors", torch.eye(16)[: len(WORDS)])

    def preprocess(self, item, *, train, generator=None):
        grid = np.asarray(item)
        if (grid == 99).any():
            raise DataError("a torn mosaic", where="row 0")
        own = torch.Generator().manual_seed(int(grid.sum() * 31 + grid[0].sum()))
        tokens = self.vectors[torch.from_numpy(grid).flatten()]
        return {"tokens": tokens + self.noise * torch.randn(tokens.shape, generator=own)}

    def tokens(self, batch):
        return batch["tokens"]

    def forward(self, batch):
        return batch["tokens"].mean(dim=1)

    def describe_preprocessing(self):
        return self.told


class Pooled(Mosaic):
    """The same without dense features."""

    tokens = geobind.Encoder.tokens


class Space:
    """Mosaics, and words whose vectors are those of the tokens."""

    name, path, dim, anchor, fingerprint, device, stale = "mosaics", Path("mosaics"), 16, "mosaic", "f00d", "cpu", ()
    trained_pairs = frozenset([frozenset(("mosaic", "text"))])

    def __init__(self, encoder, towers=("mosaic", "text")):
        self.encoder, self.towers, self.prompts = encoder, dict.fromkeys(towers), []

    def tower(self, modality):
        return Tower(self.encoder if modality == "mosaic" else Pooled(), nn.Identity())

    def encode(self, modality, items):
        self.prompts += list(items)
        return np.eye(16, dtype=np.float32)[[next(i for i, w in enumerate(WORDS) if w in text) for text in items]]


class Mosaics(Dataset):
    """Places with a grid of classes, and a map that shows each cell as a block of pixels."""

    modalities, fingerprint = ("mosaic", "classmap"), "mosaics-1"

    def __init__(self, items, grids, masks, places=None):
        self.make, self.grids, self.masks = items, grids, masks
        self.places = places or {split: [f"{split}{i}" for i in range(len(grids[split]))] for split in grids}

    def items(self, modality, split):
        values = (self.grids if modality == "mosaic" else self.masks).get(split, [])
        places = self.places.get(split, [])[: len(values)]
        made = self.make(modality, places, lat_lon=np.full((len(places), 2), 12.5))
        object.__setattr__(made, "load", values.__getitem__)
        return made

    def origin(self, a, b):
        return "made up"


def stripes(rng, n):
    """Grids whose rows are all alike: scores between two cells then are of two classes alone."""
    return [np.tile(rng.integers(len(WORDS), size=GRID), (GRID, 1)) for _ in range(n)]


def blocks(grid, height=8, width=12):
    return np.kron(grid, np.ones((height // GRID, width // GRID), dtype=np.int64)) + 1


def make(**changes):
    values = {
        "name": "tiles",
        "summary": "Ground of mosaics",
        "image": "mosaic",
        "legend": {i + 1: word for i, word in enumerate(WORDS)},
        "ignore": (0,),
        "templates": ("a photo of {}.", "{} from above"),
    }
    return Segmentation.model_validate({**values, **changes})


@pytest.fixture
def drawn():
    """Ask for it to have pictures, which take most of the time."""


@pytest.fixture(autouse=True)
def short(monkeypatch, request):
    """Toys are learnt soon."""
    monkeypatch.setattr(head_module, "STEPS", 120)
    if "drawn" not in request.fixturenames:
        for name in ("examples", "bars"):
            monkeypatch.setattr(question, name, lambda run: Picture(name="none", caption="", alt="", png=b""))


@pytest.fixture
def mosaics(items):
    def build(sizes=(12, 6, 10), *, seed=0, noise=0.0, told=None, change=lambda mask: mask, towers=("mosaic", "text")):
        rng = np.random.default_rng(seed)
        grids = {split: stripes(rng, n) for split, n in zip(SPLITS, sizes, strict=True)}
        masks = {split: [change(blocks(grid)) for grid in own] for split, own in grids.items()}
        data = Mosaics(items, grids, masks)
        return Subject(Space(Mosaic(noise, told), towers), [data], split="test")

    return build


def by_metric(finding, metric):
    return {measure.of.partition(", ")[2]: measure for measure in finding.measures if measure.metric == metric}


# -- the whole ---------------------------------------------------------------------------------------


def test_tokens_that_are_the_words_tell_every_pixel(mosaics, tmp_path, drawn):
    subject = mosaics()
    found = segment(subject, make())
    miou = by_metric(found, "mIoU")
    assert {name: m.value for name, m in miou.items()} == {"linear head": 1.0, "words alone": 1.0}
    assert {m.value for m in by_metric(found, "pixel accuracy").values()} == {1.0}
    assert miou["words alone"].chance < 0.15 and miou["words alone"].n == 10
    assert "above the majority class" in found.answer[0] and "unseen" not in found.answer[1]
    assert "10 places: the intervals are rough" in found.answer[-1]
    assert set(subject.space.prompts) == {f"a photo of {w}." for w in WORDS} | {f"{w} from above" for w in WORDS}
    assert found.details["IoU"]["words alone"] == dict.fromkeys(WORDS, 1.0)
    assert len(found.details["places"]) == 10 and found.details["places"][0]["lat"] == 12.5
    assert (found.protocol["space"], found.protocol["fingerprint"]) == ("mosaics", "f00d")
    assert found.protocol["tokens"] == "4 × 4" and found.protocol["seen of an image"] == "all"
    for picture in found.pictures:
        with Image.open(io.BytesIO(picture.png)) as image:
            assert min(image.size) > 200
    names = {path.name for path in write_report(tmp_path, None, [found])}
    assert {"segment-tiles-places.png", "segment-tiles-classes.png"} <= names
    assert "<h1>mosaics</h1>" in (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "results.json").read_text())["findings"][0]["name"] == "segment-tiles"


@pytest.mark.parametrize("head", ["linear", "decoder"])
def test_a_head_learns_in_spite_of_noise(mosaics, head):
    found = segment(mosaics((24, 8, 10), noise=0.1), make(), head=head, seed=1)
    assert by_metric(found, "mIoU")[f"{head} head"].value > 0.8
    assert found.protocol["head seed"] == 1 and int(found.protocol["head steps"]) % 30 == 0


def test_the_same_seed_gives_the_same_finding(mosaics):
    first, second = (segment(mosaics((8, 4, 6), noise=0.3), make()).as_dict() for _ in range(2))
    assert first == second
    assert first["measures"][0]["value"] < 1


def test_ignored_pixels_change_nothing(mosaics):
    def veil(mask):
        veiled = mask.copy()
        veiled[:, :3] = 0
        return veiled

    found = segment(mosaics(change=veil), make())
    assert by_metric(found, "mIoU")["linear head"].value == 1.0
    assert found.protocol["test pixels"] == 10 * 8 * 9
    assert len(by_metric(segment(mosaics(change=veil), make(ignore=(0, 7))), "mIoU")) == 2


def test_words_alone_need_no_train(mosaics):
    found = segment(mosaics((0, 0, 10)), make(), head="none")
    assert set(by_metric(found, "mIoU")) == {"words alone"}
    assert "the largest class of test" in found.answer[0]
    assert found.protocol["head"] == "none" and found.protocol["test scenes"] == 10
    with pytest.raises(DataError, match="no scene to learn from"):
        segment(mosaics((0, 0, 10)), make())


def test_codes_of_equal_words_are_one_class(mosaics):
    task = make(legend={1: "sand", 2: "wood", 3: "sand", 4: "snow"})
    assert task.classes == ("sand", "wood", "snow")
    found = segment(mosaics(), task)
    assert by_metric(found, "mIoU")["linear head"].value == 1.0
    assert found.protocol["classes"] == 3


def test_without_words_only_the_head_is_told(mosaics):
    told = segment(mosaics(), make(templates=()))
    assert set(by_metric(told, "mIoU")) == {"linear head"}
    assert any("no words that mean anything" in sentence for sentence in told.answer)
    assert any("no text tower" in line for line in segment(mosaics(towers=("mosaic",)), make()).answer)
    with pytest.raises(SpaceError, match="no words that mean anything"):
        segment(mosaics(), make(templates=()), head="none")


def test_tokens_of_another_width_stay_out_of_the_space(mosaics):
    subject = mosaics()
    subject.space.encoder.embed_dim = 24
    assert any("16 wide" in line for line in segment(subject, make()).answer)


def test_unreadable_and_unmapped_images_are_left_out(mosaics):
    subject = mosaics()
    data = subject.datasets[0]
    data.grids["test"][3] = np.full((GRID, GRID), 99)
    data.masks["test"].pop()
    found = segment(subject, make())
    assert found.protocol["test scenes"] == 8
    assert [note for note in found.notes if note.startswith("Left out")] == [
        "Left out: 1 images without a map of their place.",
        "Left out: 1 images that cannot be read.",
    ]
    assert by_metric(found, "mIoU")["linear head"].value == 1.0


def test_a_class_that_train_lacks_is_told(mosaics):
    subject = mosaics()
    for grid, mask in zip(subject.datasets[0].grids["train"], subject.datasets[0].masks["train"], strict=True):
        mask[mask == 4], grid[grid == 3] = 1, 0
    found = segment(subject, make())
    assert any("could not learn" in sentence and "snow" in sentence for sentence in found.answer)
    assert found.details["IoU"]["linear head"]["snow"] == 0.0


# -- folds, limits, windows --------------------------------------------------------------------------


def test_folds_test_every_place_by_what_never_saw_it(mosaics):
    subject, task = mosaics((5, 1, 3)), make(folds=3)
    scenes = gather(subject, task, "mosaic", Window(False, 1.0))
    parts = folds(scenes, task, "test")
    assert sorted(np.concatenate([part.test for part in parts]).tolist()) == list(range(9))
    for part in parts:
        assert not set(scenes.place[part.learn]) & set(scenes.place[part.test])
        assert len(part.learn) + len(part.test) == 9 and not len(part.choose)
    found = segment(subject, task)
    assert found.protocol["split"] == "all" and found.protocol["test places"] == 9
    assert any("5 of the 9 scenes are of the train split" in note for note in found.notes)
    with pytest.raises(DataError, match="9 places cannot make 10 folds"):
        segment(subject, make(folds=10))


def test_scenes_of_one_place_stay_together(mosaics):
    subject, task = mosaics((8, 0, 4)), make(folds=2)
    subject.datasets[0].places = {"train": ["a", "a", "b", "b", "c", "c", "d", "d"], "test": ["a", "b", "e", "e"]}
    scenes = gather(subject, task, "mosaic", Window(False, 1.0))
    for part in folds(scenes, task, "test"):
        assert not set(scenes.place[part.learn]) & set(scenes.place[part.test])
    assert segment(subject, task).protocol["test places"] == 5


def test_a_limit_draws_places(mosaics):
    found = segment(mosaics(), make(limit=4))
    assert [found.protocol[f"{name} scenes"] for name in ("train", "val", "test")] == [4, 4, 4]


def test_a_window_is_cut_out_of_the_map():
    assert Window(True, 0.5).of_shape(100, 200) == (slice(25, 75), slice(75, 125))
    assert Window(True, 1.0).of_shape(8, 12) == (slice(0, 8), slice(2, 10))
    assert Window(False, 0.5).of_shape(100, 200) == (slice(25, 75), slice(50, 150))
    assert Window.of(Mosaic(told={"fit": "crop", "crop": 0.875})) == (True, 0.875)
    assert Window.of(Mosaic(told={"fit": "squash", "crop": 0.9})) == (False, 0.9)
    assert Window.of(Mosaic()) == (False, 1.0)


def test_what_the_encoder_does_not_see_is_not_counted(mosaics):
    found = segment(mosaics(told={"fit": "crop", "crop": 0.5}), make())
    assert found.protocol["test pixels"] == 10 * 4 * 4
    assert any("pixels outside of that are not counted" in note for note in found.notes)


# -- pixels ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 10), (10, 8), (50, 54), (4, 2)])
def test_a_step_edge_stays_where_it_is(height, width):
    """Half of the tokens show one class: the edge lies in the middle of the pixels, not half a pixel beside it."""
    grid = np.zeros((2, GRID, GRID), dtype=np.float32)
    grid[0, :, : GRID // 2] = grid[1, :, GRID // 2 :] = 1
    assert (taken_for(grid, height, width) == np.repeat([0, 1], width // 2)).all()
    turned = taken_for(grid.swapaxes(1, 2).copy(), width, height)
    assert np.array_equal(turned.T, np.broadcast_to(np.repeat([0, 1], width // 2), (height, width)))


def test_sampling_takes_the_middle_of_each_cell():
    mask = np.arange(48, dtype=np.int16).reshape(6, 8)
    expected = torch.nn.functional.interpolate(torch.from_numpy(mask)[None, None].float(), 4, mode="nearest-exact")
    assert (sampled(mask, 4) == expected[0, 0].numpy()).all()
    assert (sampled(mask, 16).shape, sampled(mask[:, :6], 6).tolist()) == ((16, 16), mask[:, :6].tolist())


def test_maps_of_classes_are_read_as_arrays_and_as_pictures(tmp_path):
    codes = np.array([[0, 1], [4, 3]], dtype=np.uint8)
    path = tmp_path / "map.png"
    picture = Image.fromarray(codes, mode="P")
    picture.putpalette([200] * 768)
    picture.save(path)
    legend = Legend(make())
    for item in (codes, codes.astype(np.int64), path, str(path)):
        assert legend.read(item, "x").tolist() == [[IGNORED, 0], [3, 2]]
    assert legend.read(codes.astype(np.int16) - 1, "x").tolist() == [[IGNORED, IGNORED], [2, 1]]
    for wrong in (codes.astype(float), codes[0], np.zeros((2, 2, 3), np.uint8), tmp_path / "none.png"):
        with pytest.raises(DataError, match=r"map of classes"):
            legend.read(wrong, "x")
    with pytest.raises(DataError, match=r"code 6 is neither in the legend nor ignored \(place w1\)"):
        legend.read(codes + 6, "place w1")


# -- figures -----------------------------------------------------------------------------------------


def problem(seed, n=6, classes=5, shape=(9, 7)):
    rng = np.random.default_rng(seed)
    truth = [rng.integers(-1, classes, size=shape).astype(np.int16) for _ in range(n)]
    taken = [np.where(rng.random(shape) < 0.5, np.maximum(m, 0), rng.integers(classes, size=shape)) for m in truth]
    return truth, taken


@pytest.mark.parametrize("seed", range(3))
def test_figures_equal_torchmetrics(seed):
    truth, taken = problem(seed)
    found = tally(zip(truth, taken, strict=True), np.arange(6).astype(str), 5)
    target, preds = torch.from_numpy(np.stack(truth)), torch.from_numpy(np.stack(taken))
    options = {"num_classes": 5, "ignore_index": IGNORED}
    assert (found.confusion == MulticlassConfusionMatrix(**options)(preds, target.long()).numpy()).all()
    macro = MulticlassJaccardIndex(**options)(preds, target.long())
    each = MulticlassJaccardIndex(**options, average="none")(preds, target.long())
    assert found.figures()["mIoU"] == pytest.approx(float(macro), abs=1e-6)
    assert found.iou == pytest.approx(each.numpy(), abs=1e-6)
    known = target != IGNORED
    assert found.figures()["pixel accuracy"] == pytest.approx(float((preds == target)[known].float().mean()))


def test_a_class_that_occurs_nowhere_is_not_in_the_mean():
    truth, taken = np.array([[0, 0, 1, 1]]), np.array([[0, 2, 1, 1]])
    found = tally([(truth, taken)], np.array(["a"]), 3)
    assert found.iou[:2].tolist() == [0.5, 1.0] and np.isnan(found.iou[2])
    assert found.figures() == {"mIoU": 0.75, "pixel accuracy": 0.75}


def test_intervals_resample_places_and_differences_in_pairs():
    truth, taken = problem(1, n=40)
    place = np.repeat([f"p{i}" for i in range(20)], 2)
    found = tally(zip(truth, taken, strict=True), place, 5)
    assert len(found.places) == 20
    rng = np.random.default_rng(3)
    drawn = []
    for _ in range(800):
        rows = [2 * p + j for p in rng.integers(20, size=20) for j in (0, 1)]
        pairs = [(truth[row], taken[row]) for row in rows]
        drawn.append(tally(pairs, np.arange(40).astype(str), 5).figures()["mIoU"])
    low, high = found.intervals()["mIoU"]
    assert (low, high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.01)
    assert low < found.figures()["mIoU"] < high
    flat = tally(zip(truth, [np.zeros_like(m) for m in truth], strict=True), place, 5)
    assert found.above(found) == (0.0, 0.0)
    assert found.above(flat)[0] > 0 > flat.above(found)[1]


def test_names_at_random_are_the_mean_over_all_names():
    truth, taken = problem(2, classes=4)
    found = tally(zip(truth, taken, strict=True), np.arange(6).astype(str), 4)
    drawn = [
        tally(((t, np.array(p)[m]) for t, m in zip(truth, taken, strict=True)), found.places, 4).figures()
        for p in itertools.permutations(range(4))
    ]
    for name, value in found.renamed().items():
        assert value == pytest.approx(np.mean([figures[name] for figures in drawn]))


def test_places_without_a_counted_pixel_are_no_places():
    truth, taken = problem(0, n=3)
    truth[1][:] = IGNORED
    assert tally(zip(truth, taken, strict=True), np.array(["a", "b", "c"]), 5).places.tolist() == ["a", "c"]
    with pytest.raises(DataError, match="no pixel of the tested maps has a class"):
        tally([(truth[1], taken[1])], np.array(["b"]), 5)
    assert majority([np.array([[2, 2, 0]]), np.array([[IGNORED] * 9])], 3) == 2


def test_val_decides_when_a_head_is_done():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 3, 2, 2)).astype(np.float32)
    masks = [np.where(own[0] > 0, 1, 0).astype(np.int16) for own in x]
    plain, chosen = learn("linear", x, masks, 2), learn("linear", x, masks, 2, val=(x[:2], masks[:2]))
    assert (plain.step, plain.on, chosen.on) == (120, "the last step", "val")
    assert chosen.step % 30 == 0
    nothing = [np.full((2, 2), IGNORED, dtype=np.int16)] * 2
    blind = learn("linear", x, masks, 2, val=(x[:2], nothing))
    assert (blind.step, blind.on) == (120, "the last step"), "val without a class says nothing"
    assert plain.scores(x).shape == (8, 2, 2, 2)
    assert learn("decoder", x, masks, 2).scores(x).shape == (8, 2, 4, 4)
    with pytest.raises(DataError, match="no pixel that a head could learn from"):
        learn("linear", x, [np.full((2, 2), IGNORED, dtype=np.int16)] * 8, 2)


def test_colours_stay_apart():
    colours = oklab(np.array(distinct(34)))
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=-1) + np.eye(34)
    assert apart.min() > 0.09
    assert distinct(34)[:8] == distinct(8)


# -- mistakes ----------------------------------------------------------------------------------------


def test_a_tower_without_dense_features_is_named(mosaics):
    subject = mosaics()
    subject.space.encoder = Pooled()
    with pytest.raises(SpaceError, match=r"mosaic tower of space 'mosaics' has no dense features: Pooled"):
        segment(subject, make())
    subject.space.encoder = Mosaic()
    with pytest.raises(SpaceError, match="Towers here that have them: mosaic"):
        segment(subject, make(), image="text")


def test_tokens_that_are_no_square_are_refused(mosaics):
    subject = mosaics()
    subject.space.encoder.tokens = lambda batch: batch["tokens"][:, 1:]
    with pytest.raises(SpaceError, match=r"tokens \[15, 16\] of Mosaic are no square grid"):
        segment(subject, make())


def test_what_cannot_be_asked(mosaics):
    with pytest.raises(GeobindError, match=r"unknown head 'linea'. Did you mean 'linear'"):
        segment(mosaics(), make(), head="linea")
    subject = mosaics()
    subject.split = "train"
    with pytest.raises(GeobindError, match="learnt on train and cannot be tested there"):
        segment(subject, make())
    assert segment(subject, make(), head="none").protocol["split"] == "train"
    with pytest.raises(DataError, match=r"no dataset has mosaic and landcover of the same places.*Held: classmap, mos"):
        segment(mosaics(), make(masks="landcover"))


# -- real maps ---------------------------------------------------------------------------------------


class Colours(geobind.Encoder):
    """Tokens of a picture: mean and spread of its colours in each of 16 × 16 cells. No weights at all."""

    embed_dim = 6

    def preprocess(self, item, *, train, generator=None):
        with Image.open(item) as picture:
            pixels = torch.from_numpy(np.array(picture.convert("RGB"))).float()
        cells = pixels.unflatten(0, (16, -1)).unflatten(2, (16, -1)).transpose(1, 2).flatten(2, 3)
        return {"tokens": torch.cat([cells.mean(dim=2), cells.std(dim=2)], dim=-1).flatten(0, 1)}

    def tokens(self, batch):
        return batch["tokens"]


@pytest.mark.shared
def test_land_cover_of_geolifeclef_above_the_majority_class(shared, items, drawn):
    """Nine real places, each tested by a head that never saw it; colours alone tell more than the largest class."""
    maps = sorted(shared.glob("data/glc22_sample/**/*_landcover.tif"))
    images = [path.with_name(path.name.replace("_landcover.tif", "_rgb.jpg")) for path in maps]
    data = Mosaics(items, {"train": images}, {"train": maps}, {"train": [path.stem for path in maps]})
    subject = Subject(Space(Colours(), ("mosaic",)), [data])
    found = segment(subject, segmentation("glc22"), image="mosaic")
    measured = by_metric(found, "mIoU")["linear head"]
    assert measured.n == 9 and found.protocol["test pixels"] == 9 * 256 * 256
    assert measured.value > 2 * measured.chance

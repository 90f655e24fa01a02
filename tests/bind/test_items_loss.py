"""Losses with terms of single items: their gradient is that of the whole batch, their teachers are asked once."""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import geobind
from geobind.bind.feed.sides import ItemSide, TaughtSide
from geobind.bind.parallel.distributed import World
from geobind.bind.trainer import Trainer
from geobind.bind.training import train
from geobind.bind.validation import positives_of
from geobind.errors import DataError, PluginError, RecipeError
from geobind.loss import Positives

HERE = Path(__file__).parent


def load_case():
    """The case file beside this one: tests cannot import each other."""
    if "items_case" not in sys.modules:
        spec = importlib.util.spec_from_file_location("items_case", HERE / "items_case.py")
        sys.modules["items_case"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["items_case"]


case = load_case()


def assert_same(found, wanted):
    assert found[0] == pytest.approx(wanted[0], rel=1e-9)
    assert found[1].keys() == wanted[1].keys()
    for name, gradient in wanted[1].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-8, atol=1e-12, msg=name)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The gradient of a batch that is embedded once in one process, and the folder its teachers' features are in."""
    folder = tmp_path_factory.mktemp("plain")
    return folder, case.gradients(folder)


def test_the_loss_is_the_pairs_and_the_mean_of_the_items_own(plain, tmp_path):
    """Against autograd on the whole batch, with the teachers asked directly."""
    torch.set_default_dtype(torch.float64)
    try:
        made = case.training(tmp_path)
        pairs, loss = case.pairs(), made.loss
        trainer = case.trainer_of(made, pairs)
        ((rows, _),) = next(trainer._drawn(lambda step, state: None))
        x, y = (
            torch.stack([torch.as_tensor(side[row]) for row in rows[:, c]]) for c, side in enumerate((pairs.a, pairs.b))
        )
        features, tokens = made.towers[1].encoder.features_and_tokens({"x": y})
        taught = {name: teacher.tokens({"x": y}).detach() for name, teacher in loss.teachers.items()}
        value = loss(made.towers[0]({"x": x}), made.towers[1].project(features), positives_of(pairs, rows, None, "cpu"))
        value = value + loss.of_items(tokens, {"x": y}, taught).mean()
    finally:
        torch.set_default_dtype(torch.float32)
    value.backward()
    assert value.item() == pytest.approx(plain[1][0], rel=1e-6)
    for name, part in trainer.parts.items():
        for key, parameter in part.named_parameters():
            wanted = plain[1][1][f"{name}.{key}"]
            torch.testing.assert_close(parameter.grad, wanted, rtol=1e-5, atol=1e-6 * wanted.abs().max().item())
    assert {
        "loss.maps.one.weight",
        "loss.contrastive.log_scale",
        "modality.head.weight",
        "anchor.encoder.net.0.weight",
    } < (plain[1][1].keys())


@pytest.mark.parametrize("micro_batch", [1, 6, 12])
def test_micro_batches_give_the_plain_gradient(plain, micro_batch):
    folder, wanted = plain
    assert_same(case.gradients(folder, optim={"micro_batch": micro_batch}), wanted)


@pytest.mark.parametrize("at_once", [True, False])
def test_both_passes_draw_the_same_dropout(tmp_path, at_once):
    """With dropout, a finite difference of the reported loss is the gradient that was walked.

    Also where the head drops out after an encoder that has embedded the batch for its tokens once more.
    """
    options = {"optim": {"micro_batch": 6}, "dropout": 0.3}
    step, real, found = 1e-6, case.Exact, []
    for sign in (0, 1, -1):

        def shifted(encoder, head, sign=sign):
            if encoder.embed_dim == 8:
                with torch.no_grad():
                    encoder.net[0].weight[1, 2] += sign * step
                if not at_once:
                    encoder.tokens = lambda batch: encoder.net(batch["x"]).unflatten(1, (case.PLACES, -1))
                    encoder.forward = lambda batch: encoder.tokens(batch).mean(1)
                    encoder.features_and_tokens = partial(geobind.Encoder.features_and_tokens, encoder)
                    head = torch.nn.Sequential(torch.nn.Dropout(0.3), head)
            return real(encoder, head)

        case.Exact = shifted
        try:
            found.append(case.gradients(tmp_path, **options))
        finally:
            case.Exact = real
    (_, gradients), (more, _), (less, _) = found
    walked = gradients["modality.encoder.net.0.weight"][1, 2].item()
    assert (more - less) / (2 * step) == pytest.approx(walked, rel=1e-4)


def test_two_processes_give_the_gradient_of_one(in_two_processes, plain):
    for found in in_two_processes(HERE / "items_case.py", [{}, {"optim": {"micro_batch": 4}}]):
        for one in found:
            # Every rank has the whole gradient after the sum, and features from the other's blocks.
            assert_same(one, plain[1])


def test_teachers_features_are_computed_once_and_are_their_own(tmp_path):
    first = case.training(tmp_path)
    strand, _ = first.strand(case.pairs(), None)
    side = strand.sides[1]
    assert isinstance(side, TaughtSide)
    rows = np.array([4, 0, 17])
    for name, teacher in first.loss.teachers.items():
        items = torch.stack([teacher.preprocess(side.items[row], train=False)["x"] for row in rows])
        torch.testing.assert_close(side.taught[name].gather(rows), teacher.tokens({"x": items}))
    again = case.training(tmp_path)
    again.strand(case.pairs(), None)
    assert [teacher.called for teacher in again.loss.teachers.values()] == [1, 1]  # of one item, to see its shape


def test_what_a_teacher_cannot_read_is_left_out(tmp_path):
    made = case.training(tmp_path, bad=3.0, max_unreadable=0.1)
    strand, _ = made.strand(case.pairs(), None)
    assert len(strand.pairs) == 22 and "3" not in strand.pairs.b.place.tolist()
    assert "3.0 cannot be read" in (made.run.path / "s" / "unreadable.txt").read_text()
    ((_, prepared),) = strand.batches(0, 1)
    batch, taught = prepared.chunks[0][1]
    assert len(batch["x"]) == len(taught["one"]) == len(taught["other"]) == 22
    with pytest.raises(DataError, match=r"3\.0 cannot be read.*1 of 23 m items"):
        case.training(tmp_path, bad=3.0, max_unreadable=0).strand(case.pairs(), None)


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_bring_each_item_what_was_seen_in_it(tmp_path, workers):
    made = case.training(tmp_path, workers=workers, optim={"batch_size": 7, "micro_batch": 3})
    strand, _ = made.strand(case.pairs(), None)
    teacher = made.loss.teachers["one"]
    for rows, prepared in strand.batches(0, 2):
        seen = torch.cat([lesson.taught["one"] for _, lesson in prepared.chunks])
        items = torch.stack([teacher.preprocess(strand.pairs.b[row], train=False)["x"] for row in rows[:, 1]])
        torch.testing.assert_close(seen, teacher.tokens({"x": items}))


def test_terms_are_never_taken_in_half_precision(tmp_path):
    made = case.training(tmp_path, optim={"precision": "bf16"})
    trainer = case.trainer_of(made)
    trainer.gradients(next(trainer._drawn(lambda step, state: None)))
    assert made.loss.dtypes == {torch.float32}


def test_a_stage_learns_reports_and_validates_by_the_pairs_alone(tmp_path):
    made = case.training(tmp_path, optim={"epochs": 6, "lr": 0.02, "batch_size": 10})
    val = case.pairs(12, seed=7)
    ((metrics, _),) = train([made], [(case.pairs(), val)])
    lines = (made.run.path / "s" / "metrics.jsonl").read_text().splitlines()
    terms = [json.loads(line)["item_loss"] for line in lines]
    assert len(terms) == 6 and terms[-1] < 0.8 * terms[0] and metrics["item_loss"] == terms[-1] < metrics["loss"]
    x, y = (torch.stack([torch.as_tensor(item).float() for item in side]) for side in (val.a, val.b))
    with torch.no_grad():
        z = [tower.eval()({"x": side}) for tower, side in zip(made.towers, (x, y), strict=True)]
        rows, total = val.draw(np.random.default_rng(0)), 0.0
        for part in (rows[:10], rows[10:]):
            ids = torch.from_numpy(part[:, 0])
            of_pairs = made.loss.contrastive(z[0][part[:, 0]], z[1][part[:, 1]], Positives(ids, ids))
            total += len(part) / 12 * of_pairs.item()
    assert metrics["val_loss"] == pytest.approx(total, rel=1e-5)
    assert isinstance(case.training(tmp_path).strand(case.pairs(), val)[0].validator.sides[1], ItemSide)


def test_a_resumed_stage_meets_its_teachers_again(tmp_path):
    first = case.trainer_of(case.training(tmp_path, optim={"lr": 0.02}))
    first._train(next(first._drawn(lambda step, state: None)))
    state = first.state()
    second = case.trainer_of(case.training(tmp_path, optim={"lr": 0.02}))
    before = second.parts["loss"].maps["one"].weight.clone()
    second.restore(state)
    after = second.parts["loss"].maps["one"].weight
    assert torch.equal(after, first.parts["loss"].maps["one"].weight) and not torch.equal(after, before)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"augment": True}, "augmented"),
        ({"train": "anchor"}, "lets nothing learn"),
        ({"train": "heads"}, "lets nothing learn"),
    ],
)
def test_stages_that_cannot_be_taught_are_refused(tmp_path, keys, message):
    with pytest.raises(RecipeError, match=message) as refused:
        case.training(tmp_path, **keys)
    assert "stage 's', loss 'distil'" in refused.value.where and refused.value.fix


def test_a_student_or_teacher_without_dense_features_is_refused(tmp_path):
    made = case.training(tmp_path)
    made.towers[1].encoder.tokens = super(case.Numbers, made.towers[1].encoder).tokens
    with pytest.raises(PluginError, match="Numbers has no dense features"):
        made.strand(case.pairs(), None)
    made = case.training(tmp_path)
    teacher = made.loss.teachers["one"]
    teacher.tokens = lambda batch: case.Numbers.tokens(teacher, batch)[:, : 1 + int(batch["x"][0, 0] == 0)]
    with pytest.raises(PluginError, match=r"gives dense features \[1, 7\] here and \[2, 7\] there"):
        made.strand(case.pairs(40), None)


def test_each_of_several_strands_has_its_own_terms(tmp_path):
    alone = case.trainer_of(case.training(tmp_path))
    alone.gradients(next(alone._drawn(lambda step, state: None)))
    made = [case.training(tmp_path), case.training(tmp_path)]
    made[1].anchor = made[0].learning[0]
    strands = []
    for label, one in zip(("x/", "y/"), made, strict=True):
        one.label = label
        strand, precision = one.strand(case.pairs(), None)
        strands.append(strand)
    trainer = Trainer(strands, precision=precision, world=World(), device="cpu", dim=case.DIM)
    trainer.gradients(next(trainer._drawn(lambda step, state: None)))
    wanted = alone.sums[list(alone.averaged).index("item_loss")].item()
    for number, label in enumerate(("x/", "y/")):
        found = trainer.sums[list(trainer.averaged).index(f"{label}item_loss")].item()
        assert found == pytest.approx(wanted, rel=1e-5)
        maps = strands[number].loss.maps
        torch.testing.assert_close(maps["one"].weight.grad, alone.parts["loss"].maps["one"].weight.grad)


def test_sharded_weights_and_teachers_do_not_go_together(tmp_path):
    with pytest.raises(RecipeError, match="parallel: fsdp"):
        case.training(tmp_path, world=World(0, 2), optim={"parallel": "fsdp"})

"""MaKA: its distances and translators are the published ones, and its gradient that of the whole batch."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from geobind_sensors.maka import Distances, MakaConfig
from geobind_sensors.maka.loss import build, distance
from geobind_sensors.maka.translator import Resized, Translator
from geobind_sensors.pictures import as_picture
from geobind_sensors.wavelengths import wavelength_code
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from geobind.bind.parallel.distributed import World
from geobind.errors import RecipeError, WeightsError
from geobind.loss import Positives
from geobind.plan import load_plan
from geobind.plugins import get_plugins

HERE = Path(__file__).parent
TINY = {"type": "timm", "model": "test_vit", "pretrained": False, "image_size": 32}
WAVES = torch.tensor([0.665, 0.56, 0.49, 0.842, 2.19])


def load_case():
    """The case file beside this one: tests cannot import each other."""
    if "maka_case" not in sys.modules:
        spec = importlib.util.spec_from_file_location("maka_case", HERE / "maka_case.py")
        sys.modules["maka_case"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["maka_case"]


case = load_case()


def maka(*teachers, **keys):
    named = [{"name": f"t{i}", "encoder": TINY, **teacher} for i, teacher in enumerate(teachers)]
    return build(MakaConfig(teachers=named, **keys))


def assert_same(found, wanted):
    assert found[:2] == pytest.approx(wanted[:2], rel=1e-9)
    assert found[2].keys() == wanted[2].keys()
    for name, gradient in wanted[2].items():
        torch.testing.assert_close(found[2][name], gradient, rtol=1e-7, atol=1e-11, msg=name)


# -- the gradient ---------------------------------------------------------------------------------


def test_two_passes_in_two_processes_give_the_plain_gradient(tmp_path):
    """Of student, heads, anchor, translators, temperature and bias; teachers' features are shared by the processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, HERE / "maka_case.py", tmp_path],
            env={**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": rank, "WORLD_SIZE": "2"},
        )
        for rank in "01"
    ]
    plain = case.gradients(tmp_path / "alone")
    assert all(gradient.abs().max() > 1e-8 for gradient in plain[2].values())
    parts = {name.rpartition(".")[0] for name in plain[2]}
    assert {
        "anchor.encoder.net",
        "modality.head",
        "modality.encoder.trunk.patch_embed.weight_generator.fc_weight",
        "loss.translators.0.condition",
        "loss.translators.1.project",
        "loss.contrastive",
    } <= parts
    assert 0 < plain[1] < plain[0]
    assert_same(case.gradients(tmp_path / "alone", micro_batch=3), plain)
    assert [process.wait(timeout=240) for process in processes] == [0, 0]
    for rank in range(2):
        for found in torch.load(tmp_path / f"{rank}.pt", weights_only=True):
            assert_same(found, plain)


def test_stored_features_are_what_the_teacher_sees_in_its_bands(tmp_path):
    made = case.training(tmp_path, World())
    strand, _ = made.strand(case.pairs(), None)
    rows = np.array([7, 2])
    shapes = {name: list(features.gather(rows).shape) for name, features in strand.sides[1].taught.items()}
    assert shapes == {"vit": [2, 16, 64], "lite": [2, 9, 320], "same": [2, 4, 64]}
    teacher = made.loss.teachers["lite"].tower.eval()
    images = [case.image(row).select(["b4", "b2", "b0"]) for row in rows]
    batch = teacher.collate([teacher.preprocess(as_picture(image, None), train=False) for image in images])
    with torch.no_grad():
        torch.testing.assert_close(strand.sides[1].taught["lite"].gather(rows), teacher.tokens(batch))


# -- the distances --------------------------------------------------------------------------------


def test_the_distances_are_torchs_own():
    """As published: MSE and smooth L1 by the mean, and CosineEmbeddingLoss with the target 1 on whole items."""
    x, y = 3 * torch.randn(2, 5, 9, 7)
    flat = x.flatten(1), y.flatten(1)
    losses = nn.MSELoss()(x, y), nn.SmoothL1Loss()(x, y), nn.CosineEmbeddingLoss()(*flat, torch.ones(5))
    for weights in ((1, 1, 1), (2, 0, 0), (0, 0.5, 0), (0, 0, 3)):
        found = distance(x, y, Distances(**dict(zip(("mse", "smooth_l1", "cosine"), weights, strict=True))))
        assert found.shape == (5,)
        wanted = sum(weight * loss for weight, loss in zip(weights, losses, strict=True))
        torch.testing.assert_close(found.mean(), wanted)


def test_teachers_are_summed_by_their_weights():
    loss = maka({"weight": 2.0, "translate": False}, {"translate": False}, weight=0.5)
    tokens, taught = torch.randn(3, 16, 8), {"t0": torch.randn(3, 4, 8), "t1": torch.randn(3, 16, 8)}
    loss.meet(tokens[:1], {}, {name: seen[:1] for name, seen in taught.items()})
    assert not list(loss.translators.parameters())
    pooled = F.interpolate(tokens.mT.unflatten(2, (4, 4)), size=(2, 2), mode="bilinear").flatten(2).mT
    wanted = 0.5 * (2 * distance(pooled, taught["t0"], Distances()) + distance(tokens, taught["t1"], Distances()))
    torch.testing.assert_close(loss.of_items(tokens, {}, taught), wanted)


def test_pairs_are_scored_by_the_contrastive_loss_alone():
    a, b = F.normalize(torch.randn(2, 6, 4), dim=-1)
    ids = Positives(torch.arange(6), torch.arange(6))
    for contrastive in ({"type": "siglip", "bias": -3.0}, {"type": "infonce"}):
        loss, plain = maka({}, contrastive=contrastive), get_plugins().loss(contrastive).build()
        assert torch.equal(loss(a, b, ids), plain(a, b, ids))
        assert loss.report() == plain.report()


# -- the translator -------------------------------------------------------------------------------


def test_a_translator_is_resize_norm_and_convolution():
    torch.manual_seed(0)
    translator = Translator(6, 10, 3, conditioned=True)
    nn.init.normal_(translator.condition.weight)
    tokens = torch.randn(2, 16, 6)
    x = F.interpolate(tokens.mT.reshape(2, 6, 4, 4), size=(3, 3), mode="bilinear", align_corners=False)
    x = F.layer_norm(x, (6, 3, 3))
    gamma, beta = translator.condition(wavelength_code(WAVES, 128)).mean(0).chunk(2)
    x = x + gamma.view(6, 1, 1) * x + beta.view(6, 1, 1)
    wanted = F.conv2d(x, translator.project.weight, translator.project.bias, padding=1)
    torch.testing.assert_close(translator(tokens, WAVES), wanted.flatten(2).mT)


def test_wavelengths_condition_whatever_their_number_and_order():
    torch.manual_seed(0)
    translator = Translator(6, 10, 4, conditioned=True)
    nn.init.normal_(translator.condition.weight, std=0.1)
    tokens = torch.randn(2, 16, 6)
    one = translator(tokens, WAVES)
    torch.testing.assert_close(translator(tokens, WAVES[[3, 0, 4, 2, 1]]), one)
    assert (translator(tokens, WAVES[:2]) - one).abs().max() > 0.01
    one.square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in translator.parameters())


def test_places_keep_their_places():
    """A student that is twice the teacher's grid, constant in its quarters, is compared with these."""
    quarters = torch.arange(4.0).reshape(2, 2).repeat_interleave(2, 0).repeat_interleave(2, 1)
    found = Resized(2)(quarters.reshape(1, 16, 1))
    assert found.flatten().tolist() == [0, 1, 2, 3]


def test_a_student_without_wavelengths_has_a_plain_norm():
    tokens, taught = torch.randn(1, 16, 6), {"t0": torch.randn(1, 4, 8)}
    loss = maka({})
    loss.meet(tokens, {"image": torch.zeros(1)}, taught)
    assert {name for name, _ in loss.translators.named_parameters()} == {"0.project.weight", "0.project.bias"}
    loss.meet(tokens, {"wavelengths": WAVES}, taught)
    assert len(list(loss.translators.parameters())) == 4


# -- what is refused, and teachers ----------------------------------------------------------------


def test_what_does_not_fit_is_refused():
    tokens, square = torch.randn(1, 16, 6), torch.randn(1, 4, 8)
    with pytest.raises(RecipeError, match="the student has 17 dense features of an item"):
        maka({}).meet(torch.randn(1, 17, 6), {}, {"t0": square})
    with pytest.raises(RecipeError, match="teacher 't0' has 5 dense features of an item"):
        maka({}).meet(tokens, {}, {"t0": torch.randn(1, 5, 8)})
    with pytest.raises(RecipeError, match=r"width 8, the student of width 6.*translate: true"):
        maka({"translate": False}).meet(tokens, {}, {"t0": square})
    for keys in (
        {"teachers": []},
        {"teachers": [{"name": "a", "encoder": TINY}] * 2},
        {"teachers": [{"name": "a", "encoder": TINY}], "contrastive": {"type": "maka"}},
        {"teachers": [{"name": "a", "encoder": TINY}], "distances": {"mse": 0, "smooth_l1": 0, "cosine": 0}},
    ):
        with pytest.raises(ValidationError):
            MakaConfig(**keys)


@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        ("{type: efficientnet_lit0}", "{type: efficientnet_lite0}", "Did you mean 'efficientnet_lite0'"),
        ("{type: timm, modell: x}", "{type: timm, model: x}", "unknown key 'modell'. Did you mean 'model'"),
        ("{type: timm, model: 3}", "{type: timm, model: x}", "model = 3: Input should be a valid string"),
        ("{type: sigmoid}", "{type: siglip}", "unknown loss 'sigmoid'"),
        ("{type: siglip, bios: 1}", "{type: siglip, bias: 1}", "unknown key 'bios'. Did you mean 'bias'"),
        ("{type: maka}", "{type: siglip}", "the contrastive loss inside maka is maka again"),
    ],
)
def test_a_wrong_part_is_told_at_its_line_while_the_recipe_is_read(tmp_path, wrong, right, told):
    recipe = tmp_path / "taught.yaml"
    lines = [
        "space: {dim: 8}",
        "anchor: {modality: text, encoder: {type: minilm}}",
        "stages:",
        "- name: s",
        "  modality: rgb",
        "  train: modality",
        "  encoder: {type: dynamic_vit}",
        "  dataset: {type: world}",
        "  loss:",
        "    type: maka",
        "    contrastive:",
        "      {type: siglip}",
        "    teachers:",
        "    - {name: one, encoder: {type: efficientnet_lite0}}",
        "    - name: other",
        "      encoder:",
        "        {type: timm, model: x}",
    ]
    line, key = (11, "contrastive") if right.startswith("{type: siglip") else (16, "teachers.1.encoder")
    lines[line] = f"{' ' * 8}{right}"
    recipe.write_text("\n".join(lines))
    load_plan(str(recipe), get_plugins())
    lines[line] = f"{' ' * 8}{wrong}"
    recipe.write_text("\n".join(lines))
    with pytest.raises(RecipeError) as error:
        load_plan(str(recipe), get_plugins())
    assert error.value.what.startswith(f"{key} = {{'type': ")
    assert told in error.value.what
    assert error.value.where == f"{recipe}:{line}, loss 'maka'"


def test_missing_weights_end_a_stage_before_anything_is_computed(tmp_path):
    absent = {"name": "clip", "encoder": {**TINY, "pretrained": str(tmp_path / "absent.safetensors")}}
    with pytest.raises(WeightsError, match=r"absent\.safetensors"):
        case.training(tmp_path, World(), teachers=[absent])
    assert not (tmp_path / "cache").exists()


def test_losses_share_a_teacher_and_none_of_it_learns():
    one, other = maka({}, {"bands": ["a", "b", "c"]}), maka({})
    assert one.teachers["t0"] is other.teachers["t0"] is not one.teachers["t1"]
    assert not any(parameter.requires_grad for parameter in one.teachers["t0"].parameters())
    assert {name for name, _ in one.named_parameters()} == {"contrastive.log_scale", "contrastive.bias"}
    assert set(one.state_dict()) == {"contrastive.log_scale", "contrastive.bias"}

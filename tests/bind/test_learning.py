"""What learns moves and nothing else does; what a stage put into a tower is gone after it."""

from __future__ import annotations

import copy
import math
import os
import pickle
import shutil
import sys
from functools import partialmethod

import pytest
import torch
from torch import nn

from geobind.bind.dryrun import outline
from geobind.bind.learn import learning as module
from geobind.bind.learn.learning import Learning, parameter_groups
from geobind.config import Lora, Optim
from geobind.encoder import Encoder
from geobind.errors import PluginError, RecipeError
from geobind.plan import load_plan
from geobind.plugins import get_plugins
from geobind.space.heads import Tower

DIM = 4
BATCH = {"x": torch.randn(5, 6, 8, generator=torch.Generator().manual_seed(0))}
LEARNS = ("frozen", "head", "last_1", "last_2", "last_3", "lora", "full")


class Attentive(Encoder):
    """Three transformer layers, and an output projection that is a parameter of the encoder itself."""

    embed_dim = DIM

    def __init__(self):
        super().__init__()
        self.projection = nn.Parameter(torch.randn(16, DIM) / 4)
        self.fixed = nn.Parameter(torch.randn(16), requires_grad=False)
        self.embed = nn.Sequential(nn.Linear(8, 16))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(16, 2, 32, dropout=0.2, batch_first=True) for _ in range(3)
        )
        self.norm = nn.LayerNorm(16)

    def forward(self, batch):
        x = self.embed(batch["x"]) + self.fixed
        for layer in self.layers:
            x = layer(x)
        return self.norm(x).mean(dim=1) @ self.projection

    def depths(self):
        return super().depths() | {"projection": 4}


class Convolutional(Encoder):
    """Three blocks with batch norms, and one before them that has no parameters."""

    embed_dim = DIM

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.BatchNorm1d(6, affine=False), nn.Conv1d(6, 8, 3), nn.BatchNorm1d(8))
        self.stages = nn.Sequential(
            *(nn.Sequential(nn.Conv1d(8, 8, 3, padding=1), nn.BatchNorm1d(8), nn.ReLU()) for _ in range(3))
        )
        self.out = nn.Linear(8, DIM)
        self.calls = 0
        self.stages[0].register_forward_hook(self._count)

    def _count(self, *_):
        self.calls += 1

    def forward(self, batch):
        return self.out(self.stages(self.stem(batch["x"])).mean(dim=2))


class Blockless(Encoder):
    """Nothing repeats."""

    embed_dim = DIM

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(48, DIM), nn.BatchNorm1d(DIM))

    def forward(self, batch):
        return self.net(batch["x"])


def make(encoder=Attentive):
    torch.manual_seed(0)
    tower = Tower(encoder(), nn.Sequential(nn.LayerNorm(DIM), nn.Linear(DIM, DIM), nn.Dropout(0.1)))
    return tower.eval()


def ready(tower, learn, lora=None, **options):
    torch.manual_seed(1)
    return Learning(tower, learn, lora or Lora(), **options)


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def step(learning, seed=2):
    """One step of everything that learns, in training mode; returns gradients by name."""
    learning.train_mode(True)
    torch.manual_seed(seed)
    learning.tower(BATCH).sum(dim=0).prod().backward()
    gradients = {name: p.grad.clone() for name, p in learning.tower.named_parameters() if p.grad is not None}
    with torch.no_grad():
        for parameter in learning.tower.parameters():
            if parameter.grad is not None:
                parameter -= 0.5 * parameter.grad
    learning.train_mode(False)
    return gradients


def test_parameters_are_as_deep_as_their_place():
    depths = make().encoder.depths()
    assert {name.removesuffix(".weight"): depth for name, depth in depths.items() if name.endswith("norm1.weight")} == {
        "layers.0.norm1": 1,
        "layers.1.norm1": 2,
        "layers.2.norm1": 3,
    }
    assert (depths["fixed"], depths["embed.0.bias"], depths["norm.weight"], depths["projection"]) == (0, 0, 4, 4)
    convolutional = make(Convolutional).encoder
    assert list(convolutional.blocks()) == list(convolutional.stages)
    assert convolutional.depths()["stem.1.weight"] == 0 and convolutional.depths()["out.weight"] == 4
    assert list(make(Blockless).encoder.blocks()) == []


@pytest.mark.parametrize("encoder", [Attentive, Convolutional])
@pytest.mark.parametrize("learn", LEARNS)
def test_what_learns_moves_and_nothing_else(encoder, learn):
    tower = make(encoder)
    before, depths = state(tower), tower.encoder.depths()
    flags = {name: p.requires_grad for name, p in tower.named_parameters()}
    learning = ready(tower, learn)
    assert list(learning.parts()) == {"frozen": [], "head": ["head"]}.get(learn, ["encoder", "head"])
    if learn != "frozen":
        step(learning)
    learning.finish()
    after = state(tower)
    assert after.keys() == before.keys()
    assert {name: p.requires_grad for name, p in tower.named_parameters()} == flags

    moved = {name for name in before if not torch.equal(before[name], after[name])}
    lowest = 4 - int(learn[-1]) if learn.startswith("last") else {"full": 0}.get(learn, 9)
    for name in before:
        own = name.removeprefix("encoder.")
        if name == "encoder.fixed":
            assert name not in moved
        elif name.startswith("head."):
            assert (name in moved) == (learn != "frozen"), name
        elif learn == "lora":
            matrix = before[name].ndim == 2 and (".layers." in name or "embed" in name or "out." in name)
            assert (name in moved) == (matrix and own not in ("projection",)), name
        elif own in depths:
            assert (name in moved) == (depths[own] >= lowest), name
        else:  # running statistics
            block = own.split(".")[1] if own.startswith("stages") else -1
            assert (name in moved) == (learn == "full" or (learn.startswith("last") and int(block) + 1 >= lowest)), name


def test_the_frozen_part_stays_in_evaluation_mode():
    tower = make(Convolutional)
    learning = ready(tower, "last_1")
    learning.train_mode(True)
    assert [name for name, m in tower.named_modules() if m.training] == [
        "encoder.stages.2", "encoder.stages.2.0", "encoder.stages.2.1", "encoder.stages.2.2", "encoder.out",
        "head", "head.0", "head.1", "head.2",
    ]  # fmt: skip
    learning.train_mode(False)
    assert not any(m.training for m in tower.modules())


@pytest.mark.parametrize(
    ("encoder", "learn", "options", "match"),
    [
        (Attentive, "last_4", {}, "Attentive has 3 blocks.*last_3"),
        (Blockless, "last_1", {}, "last_1 needs an encoder made of blocks; Blockless has none"),
        (Blockless, "full", {"gradient_checkpointing": True}, "gradient_checkpointing needs .* Blockless has none"),
        (
            Convolutional,
            "full",
            {"gradient_checkpointing": True, "compile": True},
            "Convolutional, whose .* batch norms",
        ),
        (Attentive, "lora", {"lora": Lora(targets="layers[")}, r"'layers\[' is no regular expression"),
        (Attentive, "lora", {"lora": Lora(targets="blocks.*")}, r"fits no module of Attentive.*layers\.0\.self_attn"),
    ],
)
def test_mistakes_are_told_and_leave_nothing_behind(encoder, learn, options, match):
    tower = make(encoder)
    flags = [p.requires_grad for p in tower.parameters()]
    with pytest.raises(RecipeError, match=match):
        ready(tower, learn, **options)
    assert [p.requires_grad for p in tower.parameters()] == flags
    assert not any("forward" in vars(m) for m in tower.modules())


def test_head_and_frozen_need_no_blocks_for_checkpointing():
    for learn in ("frozen", "head"):
        ready(make(Blockless), learn, gradient_checkpointing=True).finish()


# -- LoRA -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", [Attentive, Convolutional, Blockless])
def test_untrained_adapters_change_nothing(encoder):
    tower = make(encoder)
    with torch.no_grad():
        plain = tower(BATCH)
        before = state(tower)
        learning = ready(tower, "lora", Lora(dropout=0.5))
        assert torch.equal(tower(BATCH), plain)
    learning.finish()
    assert all(torch.equal(before[name], tensor) for name, tensor in tower.state_dict().items())


def test_adapters_follow_from_the_seed():
    first, second = (ready(make(), "lora").tower.state_dict() for _ in range(2))
    assert any("lora_A" in name for name in first) and any(name.endswith("in_proj_weight.0.A") for name in first)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    "targets", ["all-linear", r"layers\.\d\.self_attn(\.out_proj)?", r"layers\.2\.linear1|embed.*"]
)
def test_adapters_are_low_rank_weights(targets):
    """Their forward pass is that of W + α/r · B A, before and after they are merged; attention really changes."""
    tower, plain = make().double(), make().double()
    batch = {"x": BATCH["x"].double()}
    learning = ready(tower, "lora", Lora(rank=3, alpha=6, targets=targets))
    adapted = {}
    with torch.no_grad():
        for name, parameter in tower.encoder.named_parameters():
            if "lora_" in name or name.rpartition(".")[2] in ("A", "B"):
                parameter.normal_(std=0.3)
        expected = plain.encoder.state_dict()
        layers = dict(tower.encoder.named_modules())
        for name, weight in expected.items():
            owner, _, last = name.rpartition(".")
            if (layer := layers.get(owner)) is not None and hasattr(layer, "lora_A") and last == "weight":
                adapted[name] = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
            elif hasattr(layer, "parametrizations") and last in layer.parametrizations:
                low_rank = layer.parametrizations[last][0]
                adapted[name] = low_rank.B @ low_rank.A
            if name in adapted:
                weight += 6 / 3 * adapted[name]
    wanted = {"all-linear": 13, r"layers\.2\.linear1|embed.*": 2}.get(targets, 6)
    assert len(adapted) == wanted
    with torch.no_grad():
        assert torch.allclose(tower(batch), plain(batch), atol=1e-12)
    learning.finish()
    assert all(torch.allclose(expected[name], weight) for name, weight in tower.encoder.state_dict().items())
    with torch.no_grad():
        assert torch.allclose(tower(batch), plain(batch), atol=1e-12)


def test_every_adapter_learns_and_the_base_stands():
    tower = make()
    learning = ready(tower, "lora")
    gradients = step(learning)
    again = step(learning, seed=3)  # A learns once B has left zero
    adapters = [name for name, p in tower.encoder.named_parameters() if p.requires_grad]
    assert len(adapters) == 2 * 13 and {f"encoder.{name}" for name in adapters} <= gradients.keys()
    assert all(again[f"encoder.{name}"].any() for name in adapters)
    assert not {name for name in gradients if name.startswith("encoder.")} - {f"encoder.{name}" for name in adapters}


def test_convolutions_are_adapted_by_name():
    tower = make(Convolutional)
    learning = ready(tower, "lora", Lora(rank=2, targets=r"stages\.\d\.0"))
    step(learning)
    with torch.no_grad():
        adapted = tower(BATCH)
        learning.finish()
        assert torch.allclose(tower(BATCH), adapted, atol=1e-6)


def test_adapters_alone_drop_out():
    tower = make()
    learning = ready(tower, "lora", Lora(dropout=0.5))
    learning.train_mode(True)
    training = {name.rpartition("lora_dropout")[1] or name for name, m in tower.named_modules() if m.training}
    assert training == {"lora_dropout", "head", "head.0", "head.1", "head.2"}


def test_an_adapter_that_the_network_goes_past_is_told(monkeypatch):
    class Past(Blockless):
        def forward(self, batch):
            x = nn.functional.linear(batch["x"].flatten(1), self.net[1].weight)
            return self.after(x)

        def __init__(self):
            super().__init__()
            self.after = nn.Linear(DIM, DIM)

    told = []
    monkeypatch.setattr("geobind.bind.learn.lora.say", told.append)
    learning = ready(make(Past), "lora")
    step(learning)
    learning.finish()
    assert told == ["lora: 1 of 2 adapters learnt nothing, as that of net.1"]


def test_without_peft_there_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    tower = make()
    with pytest.raises(PluginError, match=r"peft cannot be imported.*pip install 'geobind\[lora\]'"):
        ready(tower, "lora")
    assert tower.encoder.projection.requires_grad


# -- gradient checkpointing -----------------------------------------------------------------------


@pytest.mark.parametrize("encoder", [Attentive, Convolutional])
@pytest.mark.parametrize("learn", ["full", "last_2", "lora"])
def test_checkpointing_changes_no_number(encoder, learn):
    """Dropout and the running statistics of batch norms included."""
    towers, gradients = [], []
    for checkpointing in (False, True):
        learning = ready(make(encoder), learn, Lora(dropout=0.2), gradient_checkpointing=checkpointing)
        gradients.append(step(learning))
        learning.finish()
        towers.append(learning.tower)
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])
    plain, other = (tower.state_dict() for tower in towers)
    assert list(plain) == list(other) and all(torch.equal(plain[name], other[name]) for name in plain)


def test_blocks_are_computed_twice_and_names_stay():
    tower = make(Convolutional)
    names = list(tower.state_dict())
    learning = ready(tower, "full", gradient_checkpointing=True)
    assert list(tower.state_dict()) == names
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.shape) or x, lambda x: x):
        tower(BATCH)
    checkpointed = len(kept)
    learning.finish()
    kept.clear()
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.shape) or x, lambda x: x):
        tower(BATCH)
    assert checkpointed < len(kept)
    assert not any("forward" in vars(m) for m in tower.modules())


def test_a_checkpointed_encoder_can_be_copied_and_sent():
    tower = make()
    ready(tower, "full", gradient_checkpointing=True)
    for twin in (copy.deepcopy(tower), pickle.loads(pickle.dumps(tower))):
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.zero_()
        assert twin.encoder.layers[0].forward.args[0].__self__ is twin.encoder.layers[0]
        assert not twin.encoder(BATCH).any() and tower.encoder(BATCH).any()


# -- compilation ----------------------------------------------------------------------------------


def test_no_compiler_is_told_at_once(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    with pytest.raises(RecipeError, match=r"needs a C\+\+ compiler"):
        ready(make(), "full", compile=True)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_compiling_and_checkpointing_go_together(monkeypatch, checkpointing):
    """The wiring, by a compiler that needs no C++ and no time; it stays through copying, which compiled code cannot."""
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))
    plain, tower = make(), make()
    learning = ready(tower, "last_1", gradient_checkpointing=checkpointing, compile=True)
    for layer in (*plain.encoder.layers, *tower.encoder.layers):
        layer.dropout.p = layer.dropout1.p = layer.dropout2.p = layer.self_attn.dropout = 0.0  # drawn otherwise
    wanted, found = step(ready(plain, "last_1")), step(learning)
    assert wanted.keys() == found.keys()
    assert all(torch.allclose(wanted[name], found[name], atol=1e-5) for name in wanted)
    assert tower.encoder._compiled_call_impl and not copy.deepcopy(tower).encoder._compiled_call_impl
    learning.finish()
    assert tower.encoder._compiled_call_impl is None
    assert list(tower.state_dict()) == list(plain.state_dict())


@pytest.mark.skipif("GEOBIND_SLOW" not in os.environ, reason="takes 15 s; set GEOBIND_SLOW=1 to run it")
@pytest.mark.skipif(not any(map(shutil.which, module.COMPILERS)), reason="torch.compile needs a C++ compiler")
def test_a_compiled_encoder_computes_the_same():
    tower = make(Blockless)
    with torch.no_grad():
        plain = tower(BATCH)
        learning = ready(tower, "full", compile=True)
        learning.train_mode(False)
        assert torch.allclose(tower(BATCH), plain, atol=1e-6)


# -- parameter groups -----------------------------------------------------------------------------


@pytest.mark.parametrize("layer_decay", [None, 0.5])
@pytest.mark.parametrize("learn", LEARNS)
@pytest.mark.parametrize("encoder", [Attentive, Convolutional])
def test_every_parameter_that_learns_is_in_one_group(encoder, learn, layer_decay):
    learning = ready(make(encoder), learn)
    parts = {f"anchor.{name}": part for name, part in learning.parts().items()} | {"loss": nn.Linear(2, 2)}
    optim = Optim(lr=0.1, encoder_lr=0.01, weight_decay=0.3, layer_decay=layer_decay)
    groups = parameter_groups(parts, optim)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for part in parts.values() for p in part.parameters() if p.requires_grad}
    for group in groups:
        assert group["params"]
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] == 0.3}
    again = parameter_groups(parts, optim)
    assert [[id(p) for p in group["params"]] for group in again] == [[id(p) for p in g["params"]] for g in groups]


def test_layer_decay_by_hand():
    tower = make()
    learning = ready(tower, "full")
    parts = {f"modality.{name}": part for name, part in learning.parts().items()}
    groups = parameter_groups(parts, Optim(lr=0.5, encoder_lr=0.16, layer_decay=0.5))
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    encoder = tower.encoder
    assert rates[id(encoder.embed[0].weight)] == 0.01
    assert [rates[id(layer.linear1.bias)] for layer in encoder.layers] == [0.02, 0.04, 0.08]
    assert rates[id(encoder.norm.weight)] == rates[id(encoder.projection)] == 0.16
    assert rates[id(tower.head[1].weight)] == 0.5
    assert [group["lr"] for group in groups] == [0.01, 0.01, 0.02, 0.02, 0.04, 0.04, 0.08, 0.08, 0.16, 0.16, 0.5, 0.5]


def test_without_layer_decay_a_part_has_matrices_and_vectors():
    tower = make()
    parts = {f"anchor.{name}": part for name, part in ready(tower, "full").parts().items()}
    groups = parameter_groups(parts, Optim(lr=0.5, weight_decay=0.1))
    learning = [p for p in tower.encoder.parameters() if p.requires_grad]
    assert [len(group["params"]) for group in groups][:2] == [
        sum(p.ndim > 1 for p in learning), sum(p.ndim <= 1 for p in learning)
    ]  # fmt: skip
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(0.5, 0.1), (0.5, 0.0)] * 2


def test_layer_decay_needs_blocks():
    parts = {"anchor.encoder": make(Blockless).encoder}
    with pytest.raises(RecipeError, match="layer_decay needs an encoder made of blocks"):
        parameter_groups(parts, Optim(layer_decay=0.9))
    assert math.isclose(parameter_groups(parts, Optim())[0]["lr"], 1e-3)


# -- dry run --------------------------------------------------------------------------------------


HEAD, ENCODER, ADAPTERS = 440, 144, 4 * (6 + 16)
"""Parameters of a toy tower; adapters of rank 4."""


@pytest.mark.parametrize(
    ("train", "optim", "trained", "features", "copies"),
    [
        ({"modality": "head"}, {}, HEAD, 2, 3),
        ({"modality": "full"}, {}, HEAD + ENCODER, 1, 3),
        ({"modality": "full"}, {"ema": 0.9}, HEAD + ENCODER, 1, 4),
        ({"modality": "lora"}, {}, HEAD + ADAPTERS, 1, 3),
        ({"anchor": "head", "modality": "lora"}, {}, 2 * HEAD + ADAPTERS, 1, 3),
    ],
)
def test_a_dry_run_counts_what_learns(toy_recipe, write_recipe, train, optim, trained, features, copies):
    toy_recipe["stages"] = [{**toy_recipe["stages"][0], "train": train, "lora": {"rank": 4}}]
    toy_recipe["defaults"]["optim"] |= optim
    plan = load_plan(str(write_recipe(toy_recipe)), get_plugins())
    (found,) = outline(plan, plan.stages)
    total = 2 * (HEAD + ENCODER) + (ADAPTERS if "lora" in train.values() else 0)
    assert (found.trained, found.frozen) == (trained, total - trained)
    assert (found.pairs, found.steps, found.trouble) == (140, 3 * 4, "")
    stored = features * 140 * 16
    assert found.memory_mb == pytest.approx(4e-6 * (total + copies * trained + stored + 3 * 32**2))


def test_a_dry_run_refuses_what_the_stage_would(toy_recipe, write_recipe):
    toy_recipe["stages"] = [{**toy_recipe["stages"][0], "train": {"modality": "last_2"}}]
    plan = load_plan(str(write_recipe(toy_recipe)), get_plugins())
    with pytest.raises(RecipeError, match="last_2 needs an encoder made of blocks"):
        outline(plan, plan.stages)

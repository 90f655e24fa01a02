"""What of these towers learns when a recipe says last_N or lora: their blocks, and what lies before and after."""

import pytest
import torch
from geobind_satellite import EfficientNetLite0Config, OpenClipConfig, OpenClipImageConfig, TimmConfig
from geobind_satellite.efficientnet import build as build_efficientnet
from geobind_satellite.open_clip import build_image, build_text
from geobind_satellite.timm import build as build_timm
from timm.models import group_parameters
from torch import nn

from geobind.bind.learn.learning import Learning, parameter_groups
from geobind.config import Lora, Optim
from geobind.space.heads import Tower

VISION = {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 3}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 3}
TINY = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT}
POOLED = {"attentional_pool": True, "attn_pooler_queries": 4, "attn_pooler_heads": 2, "output_tokens": True}


def timm_tower(model="vit_tiny_patch16_224", size=32):
    return build_timm(TimmConfig(model=model, pretrained=False, image_size=size))


def image_tower(vision):
    return build_image(OpenClipImageConfig(model={**TINY, "vision_cfg": vision}))


def text_tower(**text):
    return build_text(OpenClipConfig(model={**TINY, "text_cfg": {**TEXT, **text}}))


ENCODERS = {
    "timm vit": timm_tower,
    "timm convnext": lambda: timm_tower("test_convnext"),
    "timm resnet": lambda: timm_tower("resnet18d"),
    "efficientnet": lambda: build_efficientnet(EfficientNetLite0Config(pretrained=False, image_size=32)),
    "open_clip": lambda: image_tower(VISION),
    "open_clip pooled": lambda: image_tower(VISION | POOLED),
    "open_clip with timm": lambda: image_tower({"timm_model_name": "test_vit", "image_size": 160}),
    "open_clip text": text_tower,
    "open_clip pooled text": lambda: text_tower(embed_cls=True, output_tokens=True),
    "open_clip text, biased": lambda: text_tower(proj_bias=True),
}
DEPTHS = {
    "timm vit": (12, ["cls_token", "pos_embed", "patch_embed.proj.weight"], ["norm.weight"]),
    "timm convnext": (9, ["stem.0.weight"], ["head.norm.bias"]),
    "timm resnet": (8, ["conv1.0.weight", "bn1.bias"], []),
    "efficientnet": (16, ["conv_stem.weight", "bn1.bias"], ["conv_head.weight", "bn2.bias"]),
    "open_clip": (3, ["class_embedding", "positional_embedding", "ln_pre.bias"], ["ln_post.bias", "proj"]),
    "open_clip pooled": (3, ["class_embedding", "conv1.weight"], ["attn_pool.query", "ln_post.bias", "proj"]),
    "open_clip with timm": (6, ["trunk.pos_embed"], ["trunk.norm.bias", "head.proj.weight"]),
    "open_clip text": (3, ["positional_embedding", "token_embedding.weight"], ["ln_final.bias", "text_projection"]),
    "open_clip pooled text": (3, ["cls_emb", "positional_embedding"], ["ln_final.weight", "text_projection"]),
    "open_clip text, biased": (3, ["token_embedding.weight"], ["text_projection.weight", "text_projection.bias"]),
}  # fmt: skip


@pytest.fixture(params=ENCODERS)
def name(request):
    return request.param


def make(name):
    torch.manual_seed(0)
    encoder = ENCODERS[name]()
    with torch.no_grad():
        for key, parameter in encoder.named_parameters():
            if parameter.ndim == 1 and key.endswith(("weight", "gamma")):
                parameter.fill_(1.0)  # some branches begin at zero, and nothing in them would matter yet
    return Tower(encoder, nn.Linear(encoder.embed_dim, 4)).eval()


def batch_of(tower):
    draws = torch.Generator().manual_seed(0)
    if hasattr(tower.encoder, "text"):
        return {"tokens": torch.randint(1, 49407, (3, 16), generator=draws)}
    size = tower.encoder.view.size
    return {"image": torch.randint(256, (3, 3, size, size), generator=draws, dtype=torch.uint8)}


def ready(tower, learn, lora=None, **options):
    torch.manual_seed(1)
    return Learning(tower, learn, lora or Lora(), **options)


def step(learning):
    learning.train_mode(True)
    torch.manual_seed(2)
    learning.tower(batch_of(learning.tower)).sum(dim=0).prod().backward()
    with torch.no_grad():
        for parameter in learning.tower.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    learning.train_mode(False)


def test_every_parameter_has_its_place(name):
    encoder = make(name).encoder
    depths = {parameter.partition(".")[2]: depth for parameter, depth in encoder.depths().items()}
    count, before, after = DEPTHS[name]
    assert len(encoder.blocks()) == count == max(depths.values()) - bool(after)
    assert {depths[parameter] for parameter in before} == {0}
    assert {depths[parameter] for parameter in after} <= {count + 1}
    for number, block in enumerate(encoder.blocks(), start=1):
        inside = {id(p) for p in block.parameters()}
        assert {encoder.depths()[n] for n, p in encoder.named_parameters() if id(p) in inside} == {number}


def test_depths_are_timms_own():
    encoder = timm_tower()
    theirs = group_parameters(encoder.net, encoder.net.group_matcher(), reverse=True)
    ours = encoder.depths()
    assert theirs == {name: min(ours[f"net.{name}"], 12) for name in theirs}  # timm counts the norm to the last block


def test_the_last_blocks_learn_and_those_below_stand(name):
    tower = make(name)
    count, depths = len(tower.encoder.blocks()), tower.encoder.depths()
    before = {key: tensor.clone() for key, tensor in tower.encoder.state_dict().items()}
    learning = ready(tower, "last_2")
    step(learning)
    learning.finish()
    after = tower.encoder.state_dict()
    assert list(after) == list(before)
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    learns = {key for key in before if depths.get(key, 0) > count - 2}
    assert not (moved & depths.keys()) - learns  # bit for bit
    assert len(moved & depths.keys()) > 0.9 * len(learns)  # ReLUs may leave one without a gradient
    lowest = {id(block) for block in tower.encoder.blocks()[:-2]}
    still = [m for m in tower.encoder.modules() if id(m) in lowest]
    assert still and not any(key.startswith(tuple(_names(tower.encoder, still))) for key in moved)  # nor statistics


def _names(encoder, modules):
    wanted = {id(module) for module in modules}
    return [f"{key}." for key, module in encoder.named_modules() if id(module) in wanted]


def test_adapters_merge_into_plain_weights(name):
    rank = (1, 4)[list(ENCODERS).index(name) % 2]
    convolutional = name in ("timm resnet", "efficientnet")
    targets = r".*conv_pwl?|.*conv[12]" if convolutional else "all-linear"
    tower = make(name)
    batch, keys = batch_of(tower), set(tower.state_dict())
    with torch.no_grad():
        plain = tower(batch)
        learning = ready(tower, "lora", Lora(rank=rank, targets=targets))
        assert torch.allclose(tower(batch), plain, atol=1e-6)  # torch takes another kernel for frozen attention
        for parameter in learning.tower.encoder.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.03)
        adapted = tower(batch)
        assert not torch.allclose(adapted, plain, atol=1e-4)
        learning.finish()
        assert torch.allclose(tower(batch), adapted, atol=1e-6)
    assert set(tower.state_dict()) == keys
    assert all(parameter.requires_grad for parameter in tower.parameters())


@pytest.mark.parametrize(
    ("build", "targets", "adapted"),
    [
        (ENCODERS["open_clip"], r".*\.attn(\.out_proj)?", 3 * 2),
        (ENCODERS["open_clip text, biased"], "all-linear", 3 * 4 + 1),
        # Adds its biases to the weights' product by itself, without calling the layer.
        (lambda: timm_tower("eva02_tiny_patch14_224", 28), r".*\.attn\..*", 12 * 2),
    ],
)
def test_attention_is_adapted(build, targets, adapted):
    """All of its adapters learn, and change the embedding by themselves."""
    torch.manual_seed(0)
    encoder = build()
    tower = Tower(encoder, nn.Linear(encoder.embed_dim, 4)).eval()
    batch = batch_of(tower)
    with torch.no_grad():
        plain = encoder(batch)
    learning = ready(tower, "lora", Lora(targets=targets))
    step(learning)
    step(learning)  # A learns once B has left zero
    adapters = [p for p in encoder.parameters() if p.requires_grad]
    assert len(adapters) == 2 * adapted and all(p.grad.any() for p in adapters)
    with torch.no_grad():
        changed = encoder(batch)
        learning.finish()
        assert torch.allclose(encoder(batch), changed, atol=1e-6)
        assert not torch.allclose(changed, plain, atol=1e-6)


@pytest.mark.parametrize("learn", ["full", "last_2"])
def test_checkpointing_changes_no_gradient(name, learn):
    gradients = []
    for checkpointing in (False, True):
        learning = ready(make(name), learn, gradient_checkpointing=checkpointing)
        step(learning)
        state = learning.tower.state_dict()
        gradients.append({key: p.grad for key, p in learning.tower.named_parameters() if p.grad is not None} | state)
        learning.finish()
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.allclose(gradients[0][key], gradients[1][key], atol=1e-6) for key in gradients[0])


@pytest.mark.parametrize("learn", ["last_2", "full"])
def test_every_parameter_that_learns_is_in_one_group(name, learn):
    learning = ready(make(name), learn)
    parts = {f"anchor.{key}": part for key, part in learning.parts().items()}
    grouped = [id(p) for group in parameter_groups(parts, Optim(layer_decay=0.8)) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in learning.tower.parameters() if p.requires_grad)

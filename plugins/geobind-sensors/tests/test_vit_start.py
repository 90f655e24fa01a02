"""Beginning as another ViT. All source weights are random, written to a file as if they were somebody's."""

import json

import numpy as np
import open_clip
import pytest
import timm
import torch
from geobind_satellite.images import View
from geobind_sensors.vit import DynamicVitConfig
from geobind_sensors.vit.encoder import build as build_vit
from geobind_sensors.vit.start import Source, begin_as
from geobind_sensors.vit.weights import of_dynamic_vit
from pydantic import ValidationError
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

from geobind.errors import RecipeError, WeightsError

TEST_VIT = {"width": 64, "depth": 6, "heads": 2, "mlp_ratio": 3, "image_size": 160}
SMALL = {"width": 32, "depth": 2, "heads": 2, "patch": 8, "image_size": 32}
FITTED = "; kernels fitted to red, green and blue"
RGB = [0.665, 0.56, 0.49]
HALF = View(32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def shaken(net):
    """Biases, norms and scales begin at 0 and 1, and would hide mistakes."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return net.eval()


def build(**config):
    torch.manual_seed(3)
    return build_vit(DynamicVitConfig(**config)).eval()


def plain(**options):
    """A timm ViT for pictures as SMALL is, without a class token."""
    options = {"global_pool": "avg", "fc_norm": False, "class_token": False, "img_size": 32} | options
    return shaken(
        VisionTransformer(**{"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 0} | options)
    )


def begin(encoder, net, **source):
    weights = {"heads": 2, "activation": "gelu", "view": HALF, "phrase": "random weights"} | source
    return begin_as(encoder, Source(weights=net.state_dict(), **weights))


def kernels(encoder, wavelengths):
    """As a convolution has them: ``[d, C, k, k]``; and the bias."""
    found, bias = encoder.trunk.patch_embed.kernels(torch.tensor(wavelengths))
    return found.permute(3, 0, 1, 2), bias


@pytest.fixture
def picture():
    y, x = np.mgrid[0:32, 0:32]
    channels = [np.sin(x / 9) + np.cos(y / 5), np.sin((x + y) / 4), np.cos(x / 7) * np.sin(y / 3)]
    return (127 + 60 * np.stack(channels, axis=-1)).clip(0, 255).astype(np.uint8)


def sees(encoder, picture):
    return encoder.collate([encoder.preprocess(picture, train=False)])


def theirs_sees(picture, view=HALF):
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (view.mean, view.std))
    return (torch.from_numpy(picture).permute(2, 0, 1)[None] / 255 - mean) / std


@pytest.mark.parametrize("pool", ["mean", "map"])
@pytest.mark.parametrize("options", [{}, {"init_values": 0.5}, {"pre_norm": True}])
def test_a_picture_keeps_its_tokens_and_its_features(picture, pool, options):
    net = plain(**options, global_pool="avg" if pool == "mean" else "map")
    encoder = build(**SMALL, pool=pool, pre_norm=options.get("pre_norm", False))
    assert begin(encoder, net) == f"random weights{FITTED}"
    batch = sees(encoder, picture)
    turned = {"pixels": batch["pixels"].flip(1), "wavelengths": batch["wavelengths"].flip(0)}
    with torch.no_grad():
        wanted = net.forward_features(theirs_sees(picture))
        assert torch.allclose(encoder.tokens(batch), wanted, atol=1e-4)
        assert torch.allclose(encoder.tokens(turned), wanted, atol=1e-4)
        assert torch.allclose(encoder(batch), net(theirs_sees(picture)), atol=1e-4)


def test_kernels_between_the_colours_lie_between_theirs(picture):
    encoder = build(**SMALL)
    net = plain()
    begin(encoder, net, view=View(32, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)))
    with torch.no_grad():
        exact, bias = kernels(encoder, RGB)
        many, _ = kernels(encoder, [0.4, *RGB, 0.68, 0.842, 1.6, 2.2, 11.0, 100.0, 55_466.0])
    wanted = net.patch_embed.proj
    assert torch.allclose(exact, wanted.weight, atol=1e-5)
    assert torch.allclose(bias, wanted.bias, atol=1e-5)
    # The other bands in a batch move the kernels of the colours a little, and no band gets a kernel out of proportion.
    size = exact.flatten(2).norm(dim=(0, 2))
    assert torch.allclose(many[:, 1:4], exact, atol=0.2 * float(exact.abs().max()))
    assert float(many.flatten(2).norm(dim=(0, 2)).max()) < 1.5 * float(size.max())


def test_without_wavelengths_all_bands_get_the_mean_of_the_three_kernels(picture):
    encoder, net = build(**SMALL, wavelengths=False), plain()
    assert begin(encoder, net).endswith("; one kernel for all bands, the mean of its three")
    with torch.no_grad():
        found, _ = kernels(encoder, [0.49, 11.0])
    mean = (net.patch_embed.proj.weight * torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1) / 0.5).mean(dim=1)
    assert torch.allclose(found[:, 0], mean, atol=1e-4)
    assert torch.allclose(found[:, 1], mean, atol=1e-4)


def test_positions_and_patches_are_resampled():
    net = plain()
    encoder = build(**SMALL | {"image_size": 64, "patch": 4})
    begin(encoder, net)
    net.set_input_size(img_size=64, patch_size=4)
    assert torch.allclose(encoder.trunk.pos_embed, net.pos_embed, atol=1e-6)
    with torch.no_grad():
        found, _ = kernels(encoder, RGB)
    wanted = net.patch_embed.proj.weight * torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1) / 0.5
    assert torch.allclose(found, wanted, atol=1e-5)


def test_timm_by_name_and_file_less_its_class_token(tmp_path):
    net = shaken(timm.create_model("test_vit", pretrained=False))
    file = tmp_path / "vit.safetensors"
    save_file(net.state_dict(), file)
    encoder = build(**TEST_VIT, start={"type": "timm", "model": "test_vit", "pretrained": str(file)})
    assert of_dynamic_vit(encoder.config) == str(file)
    phrase = encoder.load_pretrained()
    assert phrase.startswith(str(file))
    assert phrase.endswith(f", without cls_token{FITTED}")
    picture = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    with torch.no_grad():
        alone = net.patch_embed(theirs_sees(picture)).flatten(1, 2) + net.pos_embed[:, 1:]
        assert torch.allclose(encoder.tokens(sees(encoder, picture)), net.norm(net.blocks(alone)), atol=1e-4)


def test_open_clips_own_transformer_less_its_class_token(tmp_path, picture):
    vision = {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 2, "ls_init_value": 0.5}
    text = {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1}
    model = {"embed_dim": 16, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
    preprocess = {"mean": HALF.mean, "std": HALF.std}
    clip = shaken(open_clip.CLIP(16, vision, text, quick_gelu=True))
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": preprocess}))
    save_file(clip.state_dict(), tmp_path / "open_clip_model.safetensors")
    start = {"type": "open_clip", "model": f"local-dir:{tmp_path}"}
    encoder = build(**SMALL, start=start, pre_norm=True, activation="quick_gelu")
    assert of_dynamic_vit(encoder.config) == str(tmp_path / "open_clip_model.safetensors")
    assert encoder.load_pretrained().endswith(f"without cls_token{FITTED}")
    visual = clip.visual
    with torch.no_grad():
        alone = visual.conv1(theirs_sees(picture)).flatten(2).mT + visual.positional_embedding[1:]
        wanted = visual.ln_post(visual.transformer(visual.ln_pre(alone)))
        assert torch.allclose(encoder.tokens(sees(encoder, picture)), wanted, atol=1e-4)
    with pytest.raises(RecipeError, match=r"Set pre_norm: true, activation: quick_gelu\."):
        build(**SMALL, start=start).load_pretrained()


@pytest.mark.parametrize(
    ("config", "fix"),
    [
        ({"width": 64, "heads": 4}, "Set width: 32, heads: 2"),
        ({"depth": 3}, "Set depth: 2"),
        ({"mlp_ratio": 2}, "Set mlp_ratio: 4.0"),
        ({"pool": "map"}, "Set pool: mean"),
    ],
)
def test_other_sizes_are_told_as_the_keys_to_set(config, fix):
    with pytest.raises(RecipeError, match=fix):
        begin(build(**SMALL | config), plain())


def test_the_mlp_ratio_that_is_told_is_the_one_that_fits():
    """113 hidden neurons of 32: rounded down to four places, the ratio would make 112 of them."""
    net = plain(mlp_ratio=113.5 / 32)
    with pytest.raises(RecipeError, match=r"Set mlp_ratio: 3\.5313\."):
        begin(build(**SMALL), net)
    assert begin(build(**SMALL, mlp_ratio=3.5313), net)


def test_what_is_no_plain_vit_is_told(tmp_path):
    start = {"type": "timm", "model": "test_convnext", "pretrained": str(tmp_path / "net.safetensors")}
    save_file(timm.create_model("test_convnext").state_dict(), tmp_path / "net.safetensors")
    with pytest.raises(RecipeError, match="'test_convnext' is a ConvNeXt, no plain ViT"):
        build(**SMALL, start=start).load_pretrained()
    with pytest.raises(WeightsError, match="1 unknown"):
        net = plain()
        net.extra = torch.nn.Parameter(torch.zeros(1))
        begin(build(**SMALL), net)


def test_random_weights_are_called_random():
    encoder = build(**SMALL)
    assert encoder.load_pretrained() == of_dynamic_vit(encoder.config) == "random"
    for start in (
        {"type": "timm", "model": "test_vit", "pretrained": False},
        {"type": "open_clip", "model": "RN50"},
        {"type": "open_clip", "model": "hf-hub:org/repo", "pretrained": "webli"},
    ):
        with pytest.raises(ValidationError):
            DynamicVitConfig(start=start)

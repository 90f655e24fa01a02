import json
import time

import open_clip
import pytest
import torch
from geobind_satellite import TINY_CLIP as TINY
from geobind_satellite import OpenClipImageConfig
from geobind_satellite.open_clip import build_image
from geobind_satellite.weights import of_open_clip
from safetensors.torch import save_file

from geobind.errors import RecipeError, WeightsError

TIMM_VISION = {"timm_model_name": "test_vit", "image_size": 160, "timm_pool": "", "timm_proj": "linear"}


@pytest.fixture(scope="module")
def clip() -> open_clip.CLIP:
    torch.manual_seed(0)
    return open_clip.CLIP(**TINY).eval()


@pytest.fixture
def checkpoint(clip, tmp_path):
    path = tmp_path / "clip.safetensors"
    save_file(clip.state_dict(), path)
    return path


def build(**config):
    return build_image(OpenClipImageConfig(**{"model": TINY, **config})).eval()


def embed(encoder, items):
    with torch.inference_mode():
        return encoder(encoder.collate([encoder.preprocess(item, train=False) for item in items]))


def test_the_tower_is_clips_own(clip, checkpoint, photo):
    tower = build(pretrained=str(checkpoint))
    assert tower.load_pretrained().startswith(f"{checkpoint} (SHA-256 ")
    theirs = clip.encode_image(open_clip.image_transform(32, False)(photo).unsqueeze(0))
    assert torch.allclose(embed(tower, [photo]), theirs, atol=1e-5)
    assert tower.embed_dim == theirs.shape[1]


@pytest.mark.parametrize("config", [{"image_size": 64}, {"model": {**TINY, "vision_cfg": TIMM_VISION}}])
def test_saved_is_loaded(photo, config):
    saved, fresh = build(**config), build(**config)
    assert not torch.equal(embed(saved, [photo]), embed(fresh, [photo]))
    fresh.load_state_dict(saved.state_dict())
    assert torch.equal(embed(saved, [photo]), embed(fresh, [photo]))


def test_dense_features_lie_as_the_picture_does(photo):
    tower = build()
    batch = tower.collate([tower.preprocess(photo, train=False)])
    assert tower.tokens(batch).shape == (1, 16, 32)


def test_without_weights_it_says_random():
    assert build().load_pretrained() == of_open_clip(build().config) == "random"


def test_a_larger_image_resamples_position_embeddings(clip, checkpoint, photo):
    tower = build(pretrained=str(checkpoint), image_size=64)
    tower.load_pretrained()
    assert tower.visual.positional_embedding.shape == (1 + 64, 32)
    assert torch.equal(tower.visual.positional_embedding[0], clip.visual.positional_embedding[0])
    assert torch.equal(tower.visual.conv1.weight, clip.visual.conv1.weight)
    assert embed(tower, [photo]).shape == (1, 16)


def test_a_timm_tower_resamples_them_too(tmp_path, photo):
    model = {**TINY, "vision_cfg": TIMM_VISION}
    published = open_clip.CustomTextCLIP(**model)
    save_file(published.state_dict(), tmp_path / "siglip.safetensors")
    tower = build(model=model, pretrained=str(tmp_path / "siglip.safetensors"), image_size=64)
    tower.load_pretrained()
    published.visual.set_input_size(64)
    assert torch.equal(tower.visual.trunk.pos_embed, published.visual.trunk.pos_embed)
    assert embed(tower, [photo]).shape == (1, 16)


@pytest.mark.parametrize(
    ("vision", "match"), [(TINY["vision_cfg"], "of 8 pixels.*64 or 72"), (TIMM_VISION, "of 16 pixels.*64 or 80")]
)
def test_an_image_size_of_broken_patches_is_refused(vision, match):
    with pytest.raises(RecipeError, match=match):
        build(model={**TINY, "vision_cfg": vision}, image_size=70)


def test_a_coca_tower_gives_its_pooled_features(photo):
    vision = {**TINY["vision_cfg"], "attentional_pool": True, "attn_pooler_queries": 4, "output_tokens": True}
    tower = build(model={**TINY, "vision_cfg": vision, "multimodal_cfg": {}})
    assert embed(tower, [photo]).shape == (1, 16)
    assert tower.tokens(tower.collate([tower.preprocess(photo, train=False)])).shape == (1, 16, 32)


def test_openai_weights_get_their_activation():
    tower = build_image(OpenClipImageConfig(model="RN50", pretrained="openai"))
    assert tower.clip.quick_gelu
    assert not build_image(OpenClipImageConfig(model="RN50")).clip.quick_gelu


def test_weights_given_by_path_are_fed_as_the_published_ones():
    siglip = build_image(OpenClipImageConfig(model="ViT-B-16-SigLIP", pretrained="/somewhere/siglip.safetensors"))
    assert (siglip.view.mean, siglip.view.fit) == ((0.5, 0.5, 0.5), "squash")


def test_a_hub_model_comes_out_of_the_cache(hub, clip, photo):
    files = hub("someone/tiny")
    card = {"model_cfg": TINY, "preprocess_cfg": {"mean": [0.1, 0.2, 0.3], "resize_mode": "squash"}}
    (files / "open_clip_config.json").write_text(json.dumps(card))
    save_file(clip.state_dict(), files / "open_clip_model.safetensors")
    tower = build(model="hf-hub:someone/tiny")
    assert of_open_clip(tower.config) == str(files / "open_clip_model.safetensors")
    assert tower.load_pretrained() == "OpenCLIP someone/tiny"
    assert torch.equal(tower.visual.proj, clip.visual.proj)
    assert (tower.view.mean, tower.view.fit) == ((0.1, 0.2, 0.3), "squash")


def test_a_model_folder_brings_its_weights(clip, tmp_path):
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY}))
    tower = build(model=f"local-dir:{tmp_path}")
    with pytest.raises(WeightsError, match="holds no weights"):
        tower.load_pretrained()
    torch.save(clip.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    tower.load_pretrained()
    assert torch.equal(tower.visual.proj, clip.visual.proj)


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"model": "RN50", "pretrained": "openai"}, r"hf download timm/resnet50_clip\.openai"),
        ({"model": "hf-hub:nobody/nothing"}, "nobody/nothing.* does not answer"),
    ],
)
def test_missing_weights_are_told_in_seconds(hub, config, match):
    started = time.monotonic()
    with pytest.raises(WeightsError, match=match):
        build(**config).load_pretrained()
    assert time.monotonic() - started < 10


def test_weights_that_are_not_here_are_not_asked_of_the_hub(hub, monkeypatch):
    monkeypatch.setattr("socket.create_connection", lambda *_, **__: pytest.fail("the hub was asked"))
    with pytest.raises(WeightsError, match=r"is not on this machine\. .*`hf download timm/resnet50_clip\.openai"):
        of_open_clip(OpenClipImageConfig(model="RN50", pretrained="openai"))
    with pytest.raises(WeightsError, match="neither a file nor a tag"):
        of_open_clip(OpenClipImageConfig(model="RN50", pretrained="/nowhere/clip.pt"))


def test_an_unknown_tag_names_the_nearest():
    with pytest.raises(WeightsError, match="neither a file nor a tag of 'RN50'.*Did you mean 'openai'"):
        build(model="RN50", pretrained="opena").load_pretrained()


def test_a_pickle_is_refused(tmp_path):
    torch.save({"visual": time.sleep}, tmp_path / "clip.pt")
    with pytest.raises(WeightsError, match="pickle"):
        build(pretrained=str(tmp_path / "clip.pt")).load_pretrained()


def test_a_checkpoint_that_lacks_a_tensor_is_refused_whole(clip, tmp_path):
    state = clip.state_dict()
    del state["visual.ln_post.weight"]
    state["visual.extra"] = torch.zeros(1)
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "clip.pt")
    tower = build(pretrained=str(tmp_path / "clip.pt"))
    before = tower.visual.proj.clone()
    with pytest.raises(WeightsError, match=r"1 missing \(first 'ln_post.weight'\); 1 unknown \(first 'extra'\)"):
        tower.load_pretrained()
    assert torch.equal(tower.visual.proj, before)


@pytest.mark.parametrize(
    ("model", "match"),
    [
        ("ViT-B-23", "no model 'ViT-B-23'.*ViT-B-32"),
        ({**TINY, "vision_cfg": {"patches": 3}}, "inline model cannot be built.*patches"),
        ({**TINY, "vision_cfg": {**TINY["vision_cfg"], "image_size": [32, 64]}}, "Only squares"),
        ("local-dir:/nowhere", "open_clip_config.json' does not exist"),
    ],
)
def test_a_model_that_makes_no_sense_is_told(model, match):
    with pytest.raises(RecipeError, match=match):
        build(model=model)

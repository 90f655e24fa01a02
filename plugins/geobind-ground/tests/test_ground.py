from pathlib import Path

import geobind_ground
import geobind_satellite
import numpy as np
import pytest
import torch
from PIL import Image

from geobind import DataError
from geobind.modality import load_object

SPECS = {spec.name: spec for spec in geobind_ground.geobind_encoders()}
GROUND = Path(__file__).resolve().parents[3] / "../shared/data/mini/ground"
needs_photos = pytest.mark.skipif(not GROUND.is_dir(), reason=f"the real photos in {GROUND} are absent")


@pytest.fixture(scope="module")
def tower():
    spec = SPECS["efficientnet_lite0"]
    encoder = load_object(spec.build)(spec.config(image_size=96)).eval()
    encoder.load_pretrained()
    return encoder


def embed(encoder, items):
    with torch.inference_mode():
        features = encoder(encoder.collate([encoder.preprocess(item, train=False) for item in items]))
    return torch.nn.functional.normalize(features, dim=1)


def test_every_image_tower_serves_ground_photos():
    assert {spec.name for spec in geobind_satellite.geobind_encoders()} == set(SPECS)
    assert {spec.modality for spec in SPECS.values()} == {"ground"}


@pytest.mark.parametrize("name", SPECS)
def test_photos_are_augmented_as_photos(name):
    model = {} if name == "efficientnet_lite0" else {"model": "any"}
    config = SPECS[name].config(**model)
    assert config.augment == "photo"
    base = next(spec.config for spec in geobind_satellite.geobind_encoders() if spec.name == name)
    assert isinstance(config, base)
    assert config.model_dump() == {**base(**model).model_dump(), "augment": "photo"}


def test_a_photo_is_never_turned_upside_down(tower):
    y = np.linspace(255, 0, 64, dtype=np.uint8)
    sky_above = Image.fromarray(np.repeat(np.repeat(y[:, None], 64, axis=1)[..., None], 3, axis=2))
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        view = tower.preprocess(sky_above, train=True, generator=generator)["image"].float()
        assert view[:, 0].mean() > view[:, -1].mean() + 50


@pytest.mark.shared
@needs_photos
def test_photos_of_one_scene_are_nearer_than_those_of_two(tower):
    coast, forest = (embed(tower, sorted((GROUND / "mit8" / s).glob("*.jpg"))[:12]) for s in ("coast", "forest"))
    within = torch.cat([(x @ x.T)[~torch.eye(len(x), dtype=torch.bool)] for x in (coast, forest)])
    assert within.mean() > (coast @ forest.T).mean() + 0.1


def test_a_missing_photo_is_named(tower):
    with pytest.raises(DataError, match=r"nowhere\.jpg' does not exist"):
        tower.preprocess("nowhere.jpg", train=False)

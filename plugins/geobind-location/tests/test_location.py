"""The location encoders: known answers, the sphere's seams, and the promises every encoder makes."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
import torch
from geobind_location import FourierConfig, GeoclipConfig, weights
from geobind_location.coordinates import preview
from geobind_location.fourier import Fourier
from geobind_location.geoclip import Geoclip
from hypothesis import given
from hypothesis import strategies as st

import geobind
from geobind import DataError, Encoder, PluginError, WeightsError
from geobind.data.geo import EARTH_RADIUS_KM

ZURICH, QUITO, NADI, POLE = (47.37, 8.54), (-0.18, -78.47), (-17.76, 177.44), (90.0, 12.0)
PLACES = [ZURICH, QUITO, NADI, POLE]
LAT, LON = st.floats(-90, 90), st.floats(-180, 180)


def embed(encoder: Encoder, items: list[Any]) -> torch.Tensor:
    with torch.no_grad():
        return encoder(encoder.collate([encoder.preprocess(item, train=False) for item in items]))


@pytest.fixture(scope="module")
def geoclip() -> Encoder:
    encoder = Geoclip(GeoclipConfig()).eval()
    assert encoder.load_pretrained() == "MP-16 (geoclip 1.3.0)"
    return encoder


@pytest.fixture(scope="module")
def fourier() -> Encoder:
    torch.manual_seed(0)
    return Fourier(FourierConfig(wavelengths_km=(10_000, 100, 10))).eval()


@pytest.fixture(params=["geoclip", "fourier"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return request.getfixturevalue(request.param)


def test_mixed_precision_keeps_the_place(encoder: Encoder) -> None:
    exact = embed(encoder, PLACES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = embed(encoder, PLACES).float()
    assert torch.cosine_similarity(exact, mixed).min() > 0.999


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ((95, 8), "latitude 95 is outside"),
        ((8, 195), "longitude 195 is outside"),
        ((math.nan, 8), "latitude nan is outside"),
        (("north", 8), "are not numbers"),
        ((47.0, 8.0, 400.0), "is not a location"),
        (47.0, "is not a location"),
        (np.zeros((2, 1)), "is not a location"),
    ],
)
def test_wrong_places_are_named(encoder: Encoder, item: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        encoder.preprocess(item, train=False)


def test_preview() -> None:
    assert preview(ZURICH) == "47.37° N, 8.54° E"
    assert preview(QUITO) == "0.18° S, 78.47° W"


# -- geoclip ---------------------------------------------------------------------------------------


def test_geoclip_equals_the_package(geoclip: Encoder) -> None:
    from geobind_location.geoclip_model.location_encoder import LocationEncoder  # type: ignore[import-not-found]

    theirs = LocationEncoder()
    assert not any(name.endswith(".b") for name, _ in geoclip.named_parameters()), "frequencies would be trained"
    ours = embed(geoclip, PLACES)
    with torch.no_grad():
        torch.testing.assert_close(ours, theirs(torch.tensor(PLACES)), atol=5e-5, rtol=1e-3)  # theirs is float32
    assert torch.equal(geoclip.state_dict()["encoder.LocEnc2.head.0.weight"], theirs.LocEnc2.head[0].weight)


def test_a_missing_extra_is_an_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("geobind_location.geoclip_model")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"geoclip cannot be imported.*pip install 'geobind-location\[geoclip\]'"):
        Geoclip(GeoclipConfig())


def test_its_image_tower_is_not_imported(geoclip: Encoder) -> None:
    """``import geoclip`` would bring torchvision, transformers and geopy."""
    assert "geoclip" not in sys.modules


def test_the_weights_lie_in_their_package(geoclip: Encoder) -> None:
    assert weights.of_geoclip(GeoclipConfig()).endswith(weights.FILE)
    assert weights.of_geoclip(GeoclipConfig(pretrained=False)) == "random"


def test_geoclip_refuses_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geobind_location.weights.VERSION", "9.9")
    with pytest.raises(WeightsError, match=r"pinned to geoclip 9\.9; found 1\.3\.0"):
        Geoclip(GeoclipConfig()).load_pretrained()


# -- fourier ---------------------------------------------------------------------------------------


@given(lat=LAT)
def test_the_date_line_is_no_seam(fourier: Encoder, lat: float) -> None:
    east, west = embed(fourier, [(lat, 180.0), (lat, -180.0)])
    torch.testing.assert_close(east, west, atol=1e-6, rtol=0)


@given(pole=st.sampled_from([-90.0, 90.0]), lons=st.tuples(LON, LON))
def test_a_pole_has_no_longitude(fourier: Encoder, pole: float, lons: tuple[float, float]) -> None:
    a, b = embed(fourier, [(pole, lon) for lon in lons])
    torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


@given(lat=LAT, lon=LON)
def test_places_are_on_the_sphere(fourier: Encoder, lat: float, lon: float) -> None:
    x, y, z = fourier.preprocess((lat, lon), train=False)["xyz"].tolist()
    assert math.hypot(x, y, z) == pytest.approx(1, abs=1e-12)
    assert math.degrees(math.asin(max(-1, min(1, z)))) == pytest.approx(lat, abs=1e-5)


def test_wavelengths_set_what_can_be_told_apart() -> None:
    """1 km away is another phase for waves of 4 km, and hardly any for waves of 4,000 km."""
    near = [ZURICH, (ZURICH[0] + 1 / 111.2, ZURICH[1])]

    def shift(wavelength: float) -> float:
        encoder = Fourier(FourierConfig(wavelengths_km=(wavelength,), features=512))
        a, b = (encoder.preprocess(place, train=False)["xyz"] @ encoder.frequencies.T for place in near)
        return float((a - b).std())

    assert shift(4) == pytest.approx(1 / 4, rel=0.1)  # standard deviation of cycles: distance over wavelength
    assert shift(4_000) == pytest.approx(1 / 4_000, rel=0.1)


def test_frequencies_come_from_the_seed_alone() -> None:
    def frequencies(seed: int) -> torch.Tensor:
        return Fourier(FourierConfig(seed=seed)).frequencies

    torch.manual_seed(1)
    first = frequencies(0)
    torch.manual_seed(2)
    assert torch.equal(first, frequencies(0))
    assert not torch.equal(first, frequencies(1))


def test_jitter_moves_only_in_training_and_only_by_the_generator() -> None:
    encoder = Fourier(FourierConfig(jitter_km=50))
    state = torch.get_rng_state()

    def draws(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.stack([encoder.preprocess(POLE, train=True, generator=generator)["xyz"] for _ in range(400)])

    still = encoder.preprocess(POLE, train=False)["xyz"]
    offsets = (draws(0) - still) * EARTH_RADIUS_KM
    assert offsets[:, 0].std() == pytest.approx(50, rel=0.1) and offsets[:, 1].std() == pytest.approx(50, rel=0.1)
    assert torch.equal(draws(3), draws(3)) and not torch.equal(draws(3), draws(4))
    assert torch.equal(torch.get_rng_state(), state)


def test_recipes_reach_the_encoders() -> None:
    from geobind.plugins import get_plugins

    choice = get_plugins().encoder("location", {"type": "fourier", "width": 8, "embed_dim": 3})
    assert choice.build().embed_dim == 3
    with pytest.raises(geobind.RecipeError, match="wavelengths_km"):
        get_plugins().encoder("location", {"type": "fourier", "wavelengths_km": []})

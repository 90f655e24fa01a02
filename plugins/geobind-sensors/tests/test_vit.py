"""The network: permutations, any number of bands, batches, gradients. Weights are random, images made up."""

import numpy as np
import pytest
import torch
from geobind_sensors.image import Band, SensorImage
from geobind_sensors.vit import DynamicVitConfig
from geobind_sensors.vit.encoder import build as build_vit
from geobind_sensors.vit.patches import DynamicPatchEmbed
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from geobind.errors import DataError

TINY = {"width": 32, "depth": 2, "heads": 2, "patch": 8, "image_size": 32}


def build(**config):
    torch.manual_seed(0)
    encoder = build_vit(DynamicVitConfig(**TINY | config)).eval()
    with torch.no_grad():  # kernels as large as those of a network that has learnt
        encoder.trunk.patch_embed.weight_generator.fc_weight.weight.mul_(20)
    return encoder


ENCODER = build()


def batch(wavelengths, seed=0, rows=2, size=32):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(rows, len(wavelengths), size, size, generator=generator)
    return {"pixels": pixels, "wavelengths": torch.tensor(wavelengths, dtype=torch.float32)}


def apart(a, b):
    return float((a - b).abs().max() / a.abs().max())


@settings(max_examples=15, deadline=None, database=None, derandomize=True)
@given(
    wavelengths=st.lists(
        st.one_of(st.floats(0.35, 15), st.sampled_from([55_465.0, 56_000.0])), min_size=1, max_size=8, unique=True
    ),
    seed=st.integers(0, 2**16),
)
def test_bands_and_their_wavelengths_may_stand_in_any_order(wavelengths, seed):
    given = batch(wavelengths, seed)
    order = torch.randperm(len(wavelengths), generator=torch.Generator().manual_seed(seed))
    turned = {"pixels": given["pixels"][:, order], "wavelengths": given["wavelengths"][order]}
    with torch.no_grad():
        assert apart(ENCODER(given), ENCODER(turned)) <= 1e-5
        assert apart(ENCODER.tokens(given), ENCODER.tokens(turned)) <= 1e-5


@settings(max_examples=15, deadline=None, database=None, derandomize=True)
@given(start=st.floats(0.4, 1.0), steps=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=7), seed=st.integers(0, 99))
def test_bands_alone_may_not(start, steps, seed):
    given = batch(np.cumsum([start, *steps]), seed)
    turned = {**given, "pixels": given["pixels"].roll(1, dims=1)}
    with torch.no_grad():
        assert apart(ENCODER(given), ENCODER(turned)) > 1e-3


def test_without_wavelengths_the_order_of_bands_means_nothing():
    encoder, given = build(wavelengths=False), batch((0.49, 0.56, 0.665, 11.0))
    with torch.no_grad():
        wanted = encoder(given)
        assert apart(wanted, encoder({**given, "pixels": given["pixels"].flip(1)})) <= 1e-5
        assert torch.equal(wanted, encoder({**given, "wavelengths": torch.tensor([1.0, 2.0, 3.0, 4.0])}))


@pytest.mark.parametrize("bands", [1, 3, 4, 12, 202])
def test_one_network_takes_any_number_of_bands(bands):
    given = batch(np.linspace(0.42, 2.45, bands))
    with torch.no_grad():
        features, tokens = ENCODER.features_and_tokens(given)
        assert torch.equal(features, ENCODER(given))
        assert torch.equal(tokens, ENCODER.tokens(given))
    assert features.shape == (2, ENCODER.embed_dim)
    assert tokens.shape == (2, 16, ENCODER.embed_dim)
    assert bool(features.isfinite().all())


@pytest.mark.parametrize(("size", "padding"), [(32, 0), (37, 0), (32, 1), (37, 1)])
def test_patches_are_a_convolution(size, padding):
    embed = DynamicPatchEmbed(size, 8, 32, padding=padding)
    embed.init_weights()
    given = batch((0.49, 0.56, 11.0), size=size)
    with torch.no_grad():
        kernels, bias = embed.kernels(given["wavelengths"])
        wanted = torch.nn.functional.conv2d(
            given["pixels"], kernels.permute(3, 0, 1, 2), bias, stride=8, padding=padding
        )
        assert torch.allclose(embed((given["pixels"], given["wavelengths"])), wanted.flatten(2).mT, atol=1e-6)


def test_tokens_lie_as_the_image_does():
    given = batch((0.49, 0.56))
    changed = given["pixels"].clone()
    changed[:, :, 8:16, 24:32] += 3  # the patch in the second row, at the right
    encoder = build(depth=1)
    encoder.trunk.blocks = torch.nn.Sequential()  # without attention a patch is seen by its own token alone
    with torch.no_grad():
        moved = (encoder.tokens(given) - encoder.tokens({**given, "pixels": changed})).abs().amax(dim=(0, 2)) > 1e-6
    assert moved.nonzero().flatten().tolist() == [4 + 3]


@pytest.mark.parametrize("pool", ["mean", "map"])
def test_single_is_batched(pool):
    encoder, given = build(pool=pool), batch((0.49, 0.56, 0.665), rows=5)
    with torch.no_grad():
        single = torch.cat([encoder({**given, "pixels": row[None]}) for row in given["pixels"]])
        assert apart(encoder(given), single) <= 1e-5
    if pool == "mean":
        assert torch.allclose(encoder.tokens(given).mean(dim=1), encoder(given), atol=1e-6)


def test_a_batch_has_one_list_of_bands():
    def sample(*wavelengths):
        bands = tuple(Band(str(number), wavelength, "1") for number, wavelength in enumerate(wavelengths))
        values = np.random.default_rng(0).random((len(bands), 9, 9), dtype=np.float32)
        return ENCODER.preprocess(SensorImage(values, bands), train=False)

    one, other, more = sample(0.49, 0.56), sample(0.56, 0.49), sample(0.49, 0.56, 0.665)
    assert ENCODER.batch_key(one) == ENCODER.batch_key(sample(0.49, 0.56)) != ENCODER.batch_key(other)
    collated = ENCODER.collate([one, one, one])
    assert {key: list(value.shape) for key, value in collated.items()} == {"pixels": [3, 2, 32, 32], "wavelengths": [2]}
    with pytest.raises(DataError, match=r"0\.49, 0\.56 µm \(2\) and 0\.56, 0\.49 µm \(2\)"):
        ENCODER.collate([one, other])
    with pytest.raises(DataError, match=r"0\.49, 0\.56 µm \(2\) and 0\.49, 0\.56, 0\.665 µm \(3\)"):
        ENCODER.collate([one, one, more])


def test_gradients_reach_the_generator_and_evaluation_sees_each_step():
    encoder, given = build(), batch((0.49, 0.56, 0.665, 0.842))
    optimizer = torch.optim.SGD(encoder.trunk.patch_embed.parameters(), lr=1.0)
    seen = []
    for _ in range(3):
        with torch.no_grad():
            seen.append(encoder.eval()(given))
        encoder.train()(given).square().sum().backward()
        assert all(bool(p.grad.any()) for p in encoder.trunk.patch_embed.parameters())
        optimizer.step()
        optimizer.zero_grad()
    assert apart(seen[0], seen[1]) > 1e-4
    assert apart(seen[1], seen[2]) > 1e-4


def test_depths_begin_with_the_patch_embedding():
    encoder = build(pool="map")
    depths = encoder.depths()
    assert len(encoder.blocks()) == 2
    assert {depth for name, depth in depths.items() if "patch_embed" in name or "pos_embed" in name} == {0}
    assert {depth for name, depth in depths.items() if "norm.weight" in name or "attn_pool" in name} == {3}


@pytest.mark.parametrize(
    ("size", "width", "depth", "heads", "hidden"),
    [
        ("tiny", 192, 12, 3, 768),
        ("small", 384, 12, 6, 1536),
        ("base", 768, 12, 12, 3072),
        ("large", 1024, 24, 16, 4096),
        ("so400m", 1152, 27, 16, 4304),
    ],
)
def test_sizes_are_those_of_timm(size, width, depth, heads, hidden):
    with torch.device("meta"):
        trunk = build_vit(DynamicVitConfig(size=size, image_size=32)).trunk
    block = trunk.blocks[-1]
    assert (trunk.embed_dim, len(trunk.blocks), block.attn.num_heads) == (width, depth, heads)
    assert block.mlp.fc1.weight.shape == (hidden, width)


@pytest.mark.parametrize(
    ("config", "words"), [({"heads": 3}, "cannot be shared by 3 heads"), ({"image_size": 7}, "less than a patch of 8")]
)
def test_sizes_that_make_no_sense_are_told(config, words):
    with pytest.raises(ValidationError, match=words):
        DynamicVitConfig(**TINY | config)

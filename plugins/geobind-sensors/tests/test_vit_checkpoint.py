"""GeoLangBind checkpoints. The weights here are made up, under the names and shapes of the published ones."""

import pytest
import torch
from geobind_sensors.vit import DynamicVitConfig
from geobind_sensors.vit import weights as vit_weights
from geobind_sensors.vit.encoder import build as build_vit
from geobind_sensors.vit.weights import of_dynamic_vit
from huggingface_hub import constants
from safetensors.torch import save_file

from geobind import weights
from geobind.errors import RecipeError, WeightsError

REPO = "earthflow/GeoLB-ViT-B-16-SigLIP"
LICENCE = "CC-BY-NC-4.0"
FILE = "open_clip_model.safetensors"
SMALL = {"width": 32, "depth": 2, "heads": 2, "patch": 8, "image_size": 32, "pool": "map"}
OTHERS = {"text.transformer.resblocks.0.ln_1.weight": [4], "text.token_embedding.weight": [9, 4]}
OTHERS |= {"logit_scale": [], "logit_bias": [], "visual.trunk.translators.0.weight": [4, 4]}


def layer(name, out, into):
    return {f"{name}.weight": [out, into], f"{name}.bias": [out]}


def norm(name, width):
    return {f"{name}.weight": [width], f"{name}.bias": [width]}


def published(width, depth, hidden, patch, grid):
    """Names and shapes of the image tower of a published checkpoint, written down from its code."""
    shapes = {"pos_embed": [1, grid * grid, width], **norm("norm", width)}
    for number in range(depth):
        block = f"blocks.{number}"
        shapes |= norm(f"{block}.norm1", width) | norm(f"{block}.norm2", width)
        shapes |= layer(f"{block}.attn.qkv", 3 * width, width) | layer(f"{block}.attn.proj", width, width)
        shapes |= layer(f"{block}.mlp.fc1", hidden, width) | layer(f"{block}.mlp.fc2", width, hidden)
    pool = "attn_pool"
    shapes |= {f"{pool}.latent": [1, 1, width], **norm(f"{pool}.norm", width)}
    shapes |= layer(f"{pool}.q", width, width) | layer(f"{pool}.kv", 2 * width, width)
    shapes |= layer(f"{pool}.proj", width, width)
    shapes |= layer(f"{pool}.mlp.fc1", hidden, width) | layer(f"{pool}.mlp.fc2", width, hidden)
    generator = "patch_embed.weight_generator"
    inner = f"{generator}.transformer_encoder.layers.0"
    shapes |= {f"{generator}.weight_tokens": [128, 128], f"{generator}.bias_token": [1, 128]}
    shapes |= {f"{inner}.self_attn.in_proj_weight": [384, 128], f"{inner}.self_attn.in_proj_bias": [384]}
    shapes |= layer(f"{inner}.self_attn.out_proj", 128, 128)
    shapes |= layer(f"{inner}.linear1", 2048, 128) | layer(f"{inner}.linear2", 128, 2048)
    shapes |= norm(f"{inner}.norm1", 128) | norm(f"{inner}.norm2", 128)
    shapes |= layer(f"{generator}.fc_weight", patch * patch * width, 128) | layer(f"{generator}.fc_bias", width, 128)
    shapes |= layer("patch_embed.fclayer.w1", 128, 128) | layer("patch_embed.fclayer.w2", 128, 128)
    return {f"visual.trunk.{name}": shape for name, shape in shapes.items()}


def made_up(shapes):
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) / 10 for name, shape in shapes.items()}


@pytest.fixture
def state():
    return made_up(published(32, 2, 128, 8, 4) | OTHERS)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that counts who asks, and has nothing."""
    asked = []
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def answers(timeout_s=3.0):
        asked.append("the hub")
        return False

    monkeypatch.setattr(weights, "hub_answers", answers)
    return asked


def build(checkpoint, config=SMALL, **start):
    torch.manual_seed(1)
    return build_vit(DynamicVitConfig(**config, start={"type": "geolb", "checkpoint": str(checkpoint), **start})).eval()


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        ({"size": "base"}, published(768, 12, 3072, 16, 14)),
        ({"size": "so400m", "patch": 14, "image_size": 384}, published(1152, 27, 4304, 14, 27)),
    ],
)
def test_the_published_sizes_are_ours(config, shapes):
    with torch.device("meta"):
        encoder = build("nowhere.pt", {**config, "pool": "map"})
    ours = {f"visual.{name}": list(value.shape) for name, value in encoder.state_dict().items()}
    assert ours == shapes


@pytest.mark.parametrize("form", ["safetensors", "bin", "folder"])
def test_a_checkpoint_is_taken_whole_and_the_rest_is_told(tmp_path, state, form):
    path = tmp_path / (FILE if form != "bin" else "open_clip_pytorch_model.bin")
    torch.save({"state_dict": state}, path) if form == "bin" else save_file(state, path)
    encoder = build(tmp_path if form == "folder" else path)
    assert of_dynamic_vit(encoder.config) == str(path)
    phrase = encoder.load_pretrained()
    assert phrase.startswith(f"{path} (SHA-256 ")
    assert phrase.endswith(
        f"({LICENCE}); tensors left out: 1 of logit_bias, 1 of logit_scale, 2 of text, 1 of visual.trunk.translators"
    )
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, state[f"visual.{name}"]), name


def test_padding_moves_the_patches_by_a_pixel(tmp_path, state):
    save_file(state, tmp_path / FILE)
    padded, cut = build(tmp_path / FILE), build(tmp_path / FILE, padding=0)
    padded.load_pretrained()
    cut.load_pretrained()
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    shifted = torch.nn.functional.pad(pixels, (1, 0, 1, 0))[..., :32, :32]
    wavelengths = torch.tensor([0.665, 0.56, 0.49])
    with torch.no_grad():
        tokens = padded.tokens({"pixels": pixels, "wavelengths": wavelengths})
        assert tokens.shape == (1, 16, 32)
        assert torch.allclose(tokens, cut.tokens({"pixels": shifted, "wavelengths": wavelengths}), atol=1e-5)


def test_positions_are_resampled_to_another_image_size(tmp_path, state):
    save_file(state, tmp_path / FILE)
    encoder = build(tmp_path / FILE, SMALL | {"image_size": 64})
    encoder.load_pretrained()
    assert encoder.trunk.pos_embed.shape == (1, 64, 32)


def test_a_missing_tensor_is_told_and_nothing_is_loaded(tmp_path, state):
    del state["visual.trunk.attn_pool.latent"]
    del state["visual.trunk.blocks.1.norm2.bias"]
    save_file(state, tmp_path / FILE)
    encoder = build(tmp_path / FILE, SMALL | {"pool": "mean"})
    before = encoder.state_dict()["trunk.pos_embed"].clone()
    with pytest.raises(WeightsError, match=r"1 missing \(first 'blocks\.1\.norm2\.bias'\)"):
        encoder.load_pretrained()
    assert torch.equal(encoder.state_dict()["trunk.pos_embed"], before)
    save_file({"text.weight": torch.zeros(1)}, tmp_path / FILE)
    with pytest.raises(WeightsError, match="holds no GeoLangBind image tower"):
        encoder.load_pretrained()


@pytest.mark.parametrize(
    ("config", "fix"),
    [
        ({"patch": 16}, "Set patch: 8"),
        ({"width": 64}, "Set width: 32"),
        ({"depth": 1}, "Set depth: 2"),
        ({"mlp_ratio": 3}, "Set mlp_ratio: 4.0"),
    ],
)
def test_other_sizes_are_told_as_the_keys_to_set(tmp_path, state, config, fix):
    save_file(state, tmp_path / FILE)
    with pytest.raises(RecipeError, match=fix):
        build(tmp_path / FILE, SMALL | config).load_pretrained()


def test_without_a_yes_to_the_licence_nothing_is_asked_of_the_hub(hub, monkeypatch):
    monkeypatch.setattr(vit_weights, "hub_cached", lambda *_: pytest.fail("the cache was asked"))
    monkeypatch.setattr("socket.create_connection", lambda *_, **__: pytest.fail("the hub was asked"))
    encoder = build(REPO)
    for ask in (encoder.load_pretrained, lambda: of_dynamic_vit(encoder.config)):
        with pytest.raises(WeightsError, match=r"CC-BY-NC-4\.0.*\{accept_licence: CC-BY-NC-4\.0\}"):
            ask()
    assert hub == []


def test_with_a_yes_the_hub_is_asked(hub, state):
    encoder = build(REPO, accept_licence=LICENCE)
    with pytest.raises(WeightsError, match=rf"the model hub does not answer\. .*`hf download {REPO} {FILE}`"):
        encoder.load_pretrained()
    assert hub == ["the hub"] * 2  # for either name that open_clip gives its file


def test_what_the_hub_brought_before_is_found(hub, state, tmp_path):
    folder = tmp_path / "hub" / f"models--{REPO.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    save_file(state, folder / "snapshots" / "abc" / FILE)
    encoder = build(REPO, accept_licence=LICENCE)
    assert of_dynamic_vit(encoder.config) == str(folder / "snapshots" / "abc" / FILE)
    assert encoder.load_pretrained().startswith(f"GeoLangBind {REPO} ({LICENCE}); tensors left out: ")
    assert hub == []


def test_a_path_that_is_not_there_is_told(tmp_path):
    for path in (tmp_path / "nowhere.safetensors", tmp_path, "weights/geolb.safetensors", "geolb.pt"):
        with pytest.raises(WeightsError, match="does not exist"):
            build(path).load_pretrained()

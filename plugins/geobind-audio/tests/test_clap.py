"""CLAP: the same numbers as laion-clap's own code, and a sentence for every checkpoint that does not serve."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from geobind_audio import RELEASED, TINY_HTSAT, ClapConfig, Htsat
from geobind_audio.clap import Clap, build
from geobind_audio.weights import of_clap
from pydantic import ValidationError
from safetensors.torch import load_file

from geobind import PluginError, RecipeError, WeightsError

pytestmark = pytest.mark.skipif(find_spec("laion_clap") is None, reason="laion-clap, an extra, is not installed")

SMALL = Htsat(**TINY_HTSAT)
REFERENCE = """
# laion-clap's own model and preprocessing, without its __init__.py, which asks a model hub. `get_audio_features` is
# taken out of a file that imports the whole package; the text tower is the smallest that needs no hub.
import ast, importlib.util, json, sys
from pathlib import Path
import numpy as np, torch, torch.nn.functional as F
from safetensors.torch import save_file
package = Path(importlib.util.find_spec("laion_clap").submodule_search_locations[0])
from geobind_audio.clap_module.model import CLAP
wanted = {"get_audio_features", "int16_to_float32", "float32_to_int16"}
tree = ast.parse((package / "training/data.py").read_text())
tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
exec(compile(tree, "data.py", "exec"))
settings = json.loads((package / "clap_module/model_configs/HTSAT-tiny.json").read_text())
text = {"context_length": 4, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1, "model_type": "transformer"}
torch.manual_seed(0)
model = CLAP(settings["embed_dim"], settings["audio_cfg"], text).eval()
for buffer in (model.audio_branch.bn0.running_mean, model.audio_branch.bn0.bias.data):
    buffer.normal_()
rng = np.random.default_rng(0)
waves = [rng.uniform(-1.1, 1.1, n).astype(np.float32) for n in (110_250, 480_000)]
features = [
    get_audio_features({}, torch.from_numpy(int16_to_float32(float32_to_int16(wave))).float(), 480_000,
                       "rand_trunc", "repeatpad", settings["audio_cfg"])
    for wave in waves
]
with torch.no_grad():
    embeddings = model.get_audio_embedding(features)
folder = Path(sys.argv[1])
save_file({"embeddings": embeddings, "short": torch.from_numpy(waves[0]), "full": torch.from_numpy(waves[1])},
          folder / "reference.safetensors")
state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
torch.save({"epoch": 1, "state_dict": state, "optimizer": {"lr": np.float64(1e-4)}}, folder / "clap.pt")
"""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint as LAION-CLAP saves it, two waveforms and their embeddings by its own code."""
    folder = tmp_path_factory.mktemp("clap")
    subprocess.run([sys.executable, "-W", "ignore", "-c", REFERENCE, str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def clap(reference: Path) -> Clap:
    encoder = build(ClapConfig(checkpoint=str(reference / "clap.pt"))).eval()
    assert encoder.load_pretrained() == "LAION-CLAP (clap.pt)"
    return encoder


def test_embeddings_equal_laion_claps(clap: Clap, reference: Path) -> None:
    expected = load_file(reference / "reference.safetensors")
    samples = [clap.preprocess((expected[name].numpy(), 48_000), train=False) for name in ("short", "full")]
    with torch.no_grad():
        embeddings = torch.nn.functional.normalize(clap(clap.collate(samples)), dim=1)
    torch.testing.assert_close(embeddings, expected["embeddings"], atol=1e-6, rtol=1e-5)


def test_the_blocks_of_all_stages_are_its_blocks(clap: Clap) -> None:
    depths = clap.depths()
    assert len(clap.blocks()) == 2 + 2 + 6 + 2
    assert depths["audio_branch.layers.1.blocks.0.norm1.weight"] == 3
    assert depths["audio_branch.layers.3.blocks.1.mlp.fc2.bias"] == 12
    assert depths["audio_projection.0.bias"] == 13


def test_constants_and_classifier_are_no_parameters(clap: Clap) -> None:
    names = [name for name, _ in clap.named_parameters()]
    assert not [name for name in names if "stft" in name or "melW" in name or "tscam" in name or ".head." in name]


def test_numpy_scalars_of_numpy_1_are_let_through(
    clap: Clap, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The released checkpoints hold the optimiser's numpy scalars under a name that numpy 2 has moved."""
    path = tmp_path / "old.pt"
    scalar = b"numpy.core.multiarray\nscalar"
    with zipfile.ZipFile(reference / "clap.pt") as new, zipfile.ZipFile(path, "w") as old:
        for name in new.namelist():
            content = new.read(name)
            if name.endswith("data.pkl"):
                content = content.replace(b"numpy._core.multiarray\nscalar", scalar)
                assert scalar in content
            old.writestr(name, content)
    monkeypatch.setattr(clap, "checkpoint", str(path))
    assert clap.load_pretrained() == "LAION-CLAP (old.pt)"


class Malice:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("this checkpoint ran code",)


def test_checkpoints_that_do_not_serve_are_named(
    clap: Clap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(content: object, message: str) -> None:
        path = tmp_path / "bad.pt"
        torch.save(content, path)
        monkeypatch.setattr(clap, "checkpoint", str(path))
        with pytest.raises(WeightsError, match=message):
            clap.load_pretrained()

    state = {f"module.{name}": tensor for name, tensor in clap.state_dict().items()}
    refuse([1, 2], "has no 'state_dict'")
    refuse({"state_dict": {}}, "does not fit HTSAT-tiny: .*Missing key")
    fusion = {"module.audio_branch.patch_embed.mel_conv2d.weight": torch.zeros(1)}
    refuse({"state_dict": state | fusion}, "does not fit HTSAT-tiny: .*Unexpected key.*mel_conv2d.*without fusion")
    name = "module.audio_projection.0.weight"
    refuse({"state_dict": state | {name: torch.zeros(512, 1024)}}, "size mismatch.*Choose the other `model`")
    refuse({"state_dict": state, "args": Malice()}, "could run code")
    assert "ran code" not in capsys.readouterr().out
    monkeypatch.setattr(clap, "checkpoint", "630k-nonsense.pt")
    with pytest.raises(WeightsError, match=r"weights file '630k-nonsense\.pt' does not exist"):
        clap.load_pretrained()


def test_a_released_checkpoint_without_a_network_is_a_sentence_at_once(
    clap: Clap, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("geobind.weights.hub_answers", lambda: False)
    monkeypatch.setattr(clap, "checkpoint", ClapConfig().checkpoint)
    begin = time.monotonic()
    with pytest.raises(
        WeightsError, match=r"lukewys/laion_clap/630k-audioset-best\.pt is not on this machine.*hf download"
    ):
        clap.load_pretrained()
    assert time.monotonic() - begin < 5
    monkeypatch.setattr("socket.create_connection", lambda *_, **__: pytest.fail("the hub was asked"))
    with pytest.raises(WeightsError, match="is not on this machine.*hf download lukewys/laion_clap"):
        of_clap(ClapConfig())


def test_where_a_checkpoint_of_ones_own_lies_is_told(reference: Path) -> None:
    assert of_clap(ClapConfig(checkpoint=str(reference / "clap.pt"))) == str(reference / "clap.pt")
    assert of_clap(ClapConfig(checkpoint=None)) == build(ClapConfig(model=SMALL, checkpoint=None)).load_pretrained()


def test_towers_of_another_size(clap: Clap) -> None:
    small = build(ClapConfig(model=SMALL, checkpoint=None))
    assert (small.seconds, len(small.blocks()), small.audio_branch.num_features) == (1, 4, 64)
    released = clap.audio_branch
    assert Htsat() == Htsat(width=released.embed_dim, depths=released.depths, heads=released.num_heads)
    for wrong in (Htsat(heads=(4, 8)), Htsat(width=6)):
        with pytest.raises(RecipeError, match="no HTS-AT has depths .* heads divide the stage's width"):
            build(ClapConfig(model=wrong, checkpoint=None))
    with pytest.raises(ValidationError, match="belongs to HTSAT-tiny"):
        ClapConfig(model=SMALL)


def test_laion_claps_own_packages_are_not_imported(clap: Clap) -> None:
    """``import laion_clap`` asks a model hub, and leaves two packages of common names among the top-level modules."""
    assert not {"laion_clap", "clap_module", "training"} & set(sys.modules)


def test_a_missing_extra_is_an_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("geobind_audio.clap_module")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"laion_clap cannot be imported.*pip install 'geobind-audio\[clap\]'"):
        build(ClapConfig(checkpoint=None))


def test_a_checkpoint_of_the_other_tower_is_refused_before_anything_is_built() -> None:
    with pytest.raises(ValidationError, match="belongs to HTSAT-base; set `model: HTSAT-base`"):
        ClapConfig(checkpoint="music_audioset_epoch_15_esc_90.14.pt")
    for checkpoint, model in RELEASED.items():
        assert ClapConfig(checkpoint=checkpoint, model=model).model == model  # type: ignore[arg-type]

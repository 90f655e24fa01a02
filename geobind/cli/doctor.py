"""``geobind doctor``: look at the environment and name the cure of what ails."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import typer

Finding = tuple[bool, str, str]
"""Whether it is fine, what was found, and the cure."""


def doctor() -> None:
    """Check Python, torch and torchvision, plugins and devices; exit with 1 when something ails."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("python", _python),
        ("torch", _torch),
        ("torchvision", _torchvision),
        ("device", _device),
        ("plugins", _plugins),
        ("model hub", _hub),
    ]
    ails = False
    for name, check in checks:
        fine, found, cure = check()
        ails |= not fine
        typer.echo(f"{'ok  ' if fine else 'AILS'} {name}: {found}" + (f"\n     cure: {cure}" if not fine else ""))
    if ails:
        raise typer.Exit(1)


def _python() -> Finding:
    fine = sys.version_info >= (3, 11)
    return fine, f"{platform.python_version()} on {platform.machine()}", "Install Python 3.11 or newer."


def _torch() -> Finding:
    try:
        import torch
    except Exception as error:
        return False, f"{type(error).__name__}: {error}", "`pip install torch`"
    return True, f"{torch.__version__}, {torch.get_num_threads()} threads", ""


def _torchvision() -> Finding:
    try:
        installed = version("torchvision")
    except PackageNotFoundError:
        return True, "absent (only image towers need it)", ""
    try:
        import torchvision  # noqa: F401
    except Exception as error:  # a CPU-only torch beside a CUDA-built torchvision raises RuntimeError
        cure = "torch and torchvision come from different builds: `pip install --force-reinstall torch torchvision`"
        return False, f"{installed} cannot be imported: {type(error).__name__}: {error}", cure
    return True, installed, ""


def _device() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return True, "CPU only", ""
    return True, ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())), ""


def _plugins() -> Finding:
    from geobind.plugins import get_plugins

    records = get_plugins().records
    bad = [f"{r.name} is {r.status}: {r.reason}" for r in records if r.status not in ("ok", "blocked")]
    if bad:
        return False, "; ".join(bad), "Mend, update or uninstall what is named."
    return True, ", ".join(r.name for r in records if r.status == "ok"), ""


def _hub() -> Finding:
    from geobind.weights import hub_answers

    return True, "answers" if hub_answers() else "does not answer; weights inside packages and local files work", ""

"""Python, cores, memory and folders."""

from __future__ import annotations

import math
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from geobind.cli.doctor.finding import Finding, ails, note, ok

OLDEST = (3, 11)
GB = 1e9
LITTLE_MEMORY = 2 * GB
LITTLE_DISK = 1 * GB
CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def python() -> Iterator[Finding]:
    """Version, platform, and whether the installed geobind is the one that runs."""
    from geobind import __version__

    apart = sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ
    where = f"environment {sys.prefix}" if apart else "no virtual environment"
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}, geobind {__version__}, {where}"
    if sys.version_info < OLDEST:
        yield ails("python", found, f"Install Python {OLDEST[0]}.{OLDEST[1]} or newer.")
        return
    yield ok("python", found)
    try:
        installed = version("geobind")
    except PackageNotFoundError:
        installed = "none"
    if installed != __version__:
        what = f"{__version__} runs, but {installed} is installed: its plugins and commands are of the other"
        yield ails("geobind", what, "`pip install --force-reinstall geobind`, or `pip install -e .` in its checkout.")


def processor() -> Iterator[Finding]:
    """Cores that may be used, and whether torch takes more threads than that."""
    import torch

    cores, threads = usable_cores(), torch.get_num_threads()
    found = f"{cores} core{'s' * (cores > 1)} for this process, torch takes {threads} thread{'s' * (threads > 1)}"
    if threads > cores:
        yield note("processor", f"{found}: they wait for each other", f"Set OMP_NUM_THREADS={cores}.")
    else:
        yield ok("processor", found)


def usable_cores() -> int:
    """Cores of the machine that the process may run on, or the share of them that a container gives it."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota, _, period = _first_line(CGROUP / "cpu.max").partition(" ")
    return min(cores, max(1, math.ceil(int(quota) / int(period)))) if quota.isdecimal() else cores


def memory() -> Iterator[Finding]:
    """Memory that is free, or left of what a container may take."""
    lines = MEMINFO.read_text(encoding="utf-8").splitlines() if MEMINFO.is_file() else []
    kilobytes = {line.partition(":")[0]: int(line.split()[1]) for line in lines if len(line.split()) > 1}
    if "MemAvailable" not in kilobytes:
        yield ok("memory", "not told by this system")
        return
    free, total = 1024 * kilobytes["MemAvailable"], 1024 * kilobytes["MemTotal"]
    limit, used = _first_line(CGROUP / "memory.max"), _first_line(CGROUP / "memory.current")
    if limit.isdecimal() and used.isdecimal():
        free, total = min(free, max(0, int(limit) - int(used))), min(total, int(limit))
    found = f"{free / GB:.1f} of {total / GB:.1f} GB free"
    if free < LITTLE_MEMORY:
        cure = "Close other programs, or bind with a smaller `optim.micro_batch`; `--dry-run` says what a stage needs."
        yield note("memory", found, cure)
    else:
        yield ok("memory", found)


def folders() -> Iterator[Finding]:
    """Whether the folders that geobind writes to can be written, and have space."""
    from geobind.cli.common import RUNS, SPACES
    from geobind.features.store import default_folder

    cache = "Set GEOBIND_CACHE to a folder of yours on a larger disk, or run `geobind cache clear`."
    here = "Work in a folder of yours with free space, or name others by --space and --runs."
    for name, folder, cure in (
        ("feature cache", default_folder(), cache),
        ("spaces", SPACES, here),
        ("runs", RUNS, here),
    ):
        folder = folder.resolve()
        nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
        try:
            with tempfile.TemporaryFile(dir=nearest) as file:
                file.write(b"geobind")
        except OSError as error:
            yield ails(name, f"{folder} cannot be written: {error.strerror or error}", cure)
            continue
        free = shutil.disk_usage(nearest).free
        found = f"{folder}, {free / GB:.1f} GB free"
        yield ails(name, found, cure) if free < LITTLE_DISK else ok(name, found)


def _first_line(file: Path) -> str:
    """The first line of a small file, or nothing where there is no such file."""
    try:
        return file.read_text(encoding="utf-8").partition("\n")[0]
    except OSError:
        return ""

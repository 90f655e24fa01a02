"""How long ``geobind stages list`` takes with many plugins installed: ``python benchmarks/listing.py``.

The plugins are made up, but are installed distributions like any other: each brings a modality, an encoder and a
dataset with documented keys, and a recipe, which ``stages list`` reads. Each figure is a process from start to end.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PLUGIN = '''"""A made-up plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

import geobind


class EncoderConfig(geobind.Config):
    """An encoder of nothing."""

    width: int = Field(64, ge=1)
    """Width of the first layer."""
    depth: int = Field(3, ge=1)
    """Number of layers."""
    pooling: Literal["mean", "max"] = "mean"
    """How positions are pooled."""
    weights: Path | None = None
    """Path of its weights; null for random ones."""


class DataConfig(geobind.Config):
    """A dataset of nothing."""

    path: Path = Path("data")
    """Folder of its files."""
    split: Literal["spatial", "random"] = "spatial"
    """How places are split."""
    seed: int = 0
    """Seed of the split."""


@geobind.hookimpl
def geobind_modalities() -> list[geobind.ModalitySpec]:
    return [geobind.ModalitySpec(name="{name}", item="array [64], kelvin", summary="A made-up modality")]


@geobind.hookimpl
def geobind_encoders() -> list[geobind.EncoderSpec]:
    return [geobind.EncoderSpec(name="{name}_net", modality="{name}", config=EncoderConfig, build="{module}.net:build")]


@geobind.hookimpl
def geobind_datasets() -> list[geobind.DatasetSpec]:
    return [geobind.DatasetSpec(name="{name}_data", config=DataConfig, build="{module}.data:build")]


@geobind.hookimpl
def geobind_recipes() -> list[geobind.RecipeSpec]:
    return [geobind.RecipeSpec(name="{name}", path=str(Path(__file__).with_name("recipe.yaml")))]
'''
RECIPE = """summary: A made-up recipe.
space: {{dim: 256}}
anchor:
  modality: satellite
  encoder: {{type: efficientnet_lite0}}
stages:
  - name: {name}
    modality: {name}
    train: {{modality: head}}
    encoder: {{type: {name}_net, width: 32}}
    dataset: {{type: {name}_data, path: pairs}}
    loss: {{type: infonce, direction: both}}
    optim: {{epochs: 10, batch_size: 128, lr: 1e-3}}
"""


def install(count: int, folder: Path) -> Path:
    """Write ``count`` made-up distributions as an installer would, and return the folder for the path."""
    for index in range(count):
        name, module = f"dummy{index:02}", f"geobind_dummy{index:02}"
        (folder / module).mkdir(parents=True)
        (folder / module / "__init__.py").write_text(PLUGIN.format(name=name, module=module))
        (folder / module / "recipe.yaml").write_text(RECIPE.format(name=name))
        about = folder / f"{module}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[geobind]\n{name} = {module}\n")
    return folder


def main() -> None:
    from paired import machine, paired, report  # here, since it imports torch and a test takes `install` from this file

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugins", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        dummies = str(install(options.plugins, Path(temporary) / "installed"))
        start = [sys.executable, "-m", "geobind"]

        def run(*command: str, path: str = "") -> None:
            environment = {**os.environ, "PYTHONPATH": path}
            subprocess.run(command, cwd=temporary, env=environment, check=True, stdout=subprocess.DEVNULL)

        many = f"with {options.plugins} more plugins"
        figures = paired(
            {
                "python -c pass": lambda: run(sys.executable, "-c", "pass"),
                "stages list": lambda: run(*start, "stages", "list"),
                f"stages list, {many}": lambda: run(*start, "stages", "list", path=dummies),
                f"plugins list, {many}": lambda: run(*start, "plugins", "list", path=dummies),
                f"--help, {many}": lambda: run(*start, "--help", path=dummies),
            },
            options.rounds,
        )
    print(machine("typer", "pydantic", "pluggy", "rich"))
    report(figures, "stages list")


if __name__ == "__main__":
    main()

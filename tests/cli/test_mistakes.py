"""A user's mistakes with real encoders, through the command line: one paragraph, exit code 2, nothing half-written."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

ROWS = 12


@pytest.fixture
def project(tmp_path):
    """A folder with a manifest of pictures, coordinates and sounds, and a recipe for it."""
    rng = np.random.default_rng(0)
    lines = ["satellite,audio,lat,lon,split"]
    soundfile = pytest.importorskip("soundfile")
    for row in range(ROWS):
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(tmp_path / f"{row}.jpg")
        soundfile.write(tmp_path / f"{row}.wav", rng.normal(0, 0.1, 16000), 16000)
        lines.append(f"{row}.jpg,{row}.wav,{row},{row * 2},train")
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    recipe = {
        "space": {"dim": 16},
        "anchor": {
            "modality": "satellite",
            "encoder": {"type": "efficientnet_lite0", "image_size": 32, "pretrained": False},
        },
        "defaults": {
            "dataset": {
                "type": "manifest",
                "path": "pairs.csv",
                "split": "split",
                "origin": "true location",
                "items": {
                    "satellite": {"column": "satellite"},
                    "audio": {"column": "audio"},
                    "location": {"lat": "lat", "lon": "lon"},
                },
            },
            "head": {"type": "linear"},
            "optim": {"epochs": 1, "batch_size": 4, "precision": "fp32"},
        },
        "stages": [
            {"name": "location", "modality": "location", "train": "heads", "encoder": {"type": "fourier"}},
            {
                "name": "audio",
                "modality": "audio",
                "train": {"modality": "head"},
                "encoder": {"type": "mel_cnn", "seconds": 1.0},
            },
        ],
    }
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def geobind(cwd, *args):
    return subprocess.run(
        [sys.executable, "-m", "geobind", *args], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def told(done):
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    paragraph = done.stderr[done.stderr.index("error: ") :].strip()
    assert "\n" not in paragraph
    return paragraph


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda p: edit(p / "pairs.csv", "5.jpg", "nothing.jpg"), r"nothing.jpg' does not exist .*pairs.csv:7, id '5'"),
        (lambda p: (p / "5.jpg").write_bytes((p / "5.jpg").read_bytes()[:300]), r"5.jpg' cannot be decoded"),
        (lambda p: edit(p / "pairs.csv", "5,10,train", "95,10,train"), r"latitude 95 .*pairs.csv:7, id '5'"),
        (lambda p: (p / "5.wav").write_bytes(b""), r"5.wav"),
        (lambda p: edit(p / "r.yaml", "split: split", "split: spilt"), r"no column 'spilt'.*Did you mean 'split'"),
        (lambda p: edit(p / "r.yaml", "image_size: 32", "image_siz: 32"), r"'image_siz'.*'image_size'.*r.yaml:\d+"),
        (lambda p: edit(p / "r.yaml", "type: fourier", "type: furier"), r"unknown encoder 'furier'.*'fourier'"),
        (lambda p: edit(p / "r.yaml", "modality: audio", "modality: odour"), r"unknown modality 'odour'.*audio"),
        (
            lambda p: (p / "pairs.csv").write_text((p / "pairs.csv").read_text().replace("train", "test")),
            r"no pairs of satellite and location in the split 'train': it holds 0 satellite and 0 location",
        ),
    ],
    ids=["missing", "truncated", "latitude", "audio", "column", "key", "encoder", "modality", "no-pairs"],
)
def test_bad_input_of_bind(project, spoil, match):
    spoil(project)
    paragraph = told(geobind(project, "bind", "--recipe", "r.yaml"))
    assert re.search(match, paragraph), paragraph
    parts = [path for path in project.rglob("*") if path.name.endswith(".part") or path.suffix == ".safetensors"]
    # The stage before a bad sound may be finished and written whole; nothing else is.
    assert not parts or {path.name.split("-")[0] for path in parts} == {"satellite", "location"}


def test_bad_spaces_of_evaluate(project):
    assert geobind(project, "bind", "--recipe", "r.yaml").returncode == 0
    evaluate = ("evaluate", "--all-pairs", "--split", "train", "--modalities", "satellite,audio")
    assert geobind(project, *evaluate).returncode == 0
    record = project / "spaces/r/space.json"
    good = record.read_text()

    values = json.loads(good)
    values["towers"]["audio"]["bound_to"] = "feedfeedfeedfeed"
    record.write_text(json.dumps(values))
    assert re.search("feedfeedfeedfeed|stale", told(geobind(project, *evaluate)))

    record.write_text(good)
    tower = project / "spaces/r" / values["towers"]["audio"]["file"]
    tower.write_bytes(pickle.dumps({"weights": [1, 2]}))
    assert "not a safetensors file but a pickle" in told(geobind(project, *evaluate))

    record.write_text(good[:200])
    told(geobind(project, *evaluate))

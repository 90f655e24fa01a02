import subprocess
import sys

import geobind_satellite
import pytest
from geobind_satellite import OpenClipImageConfig
from pydantic import ValidationError

from geobind.modality import load_object


def test_listing_imports_nothing_heavy():
    script = (
        "import sys, geobind_satellite as g; g.geobind_encoders(); g.geobind_modalities()\n"
        "print({'torch', 'numpy', 'PIL', 'open_clip', 'timm'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_everything_named_can_be_imported():
    for spec in geobind_satellite.geobind_encoders():
        assert callable(load_object(spec.build))
    for spec in geobind_satellite.geobind_modalities():
        assert callable(load_object(spec.preview))


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"model": "hf-hub:a/b", "pretrained": "openai"}, "brings its own weights"),
        ({"model": {"embed_dim": 4, "vision_cfg": {}}}, "lacks text_cfg"),
        ({"model": "ViT-B-32", "augment": "wild"}, "'satellite', 'photo' or 'none'"),
    ],
)
def test_configs_that_cannot_be_meant_are_refused(config, match):
    with pytest.raises(ValidationError, match=match):
        OpenClipImageConfig(**config)

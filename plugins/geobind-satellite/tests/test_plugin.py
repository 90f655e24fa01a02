import pytest
from geobind_satellite import OpenClipImageConfig
from pydantic import ValidationError


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

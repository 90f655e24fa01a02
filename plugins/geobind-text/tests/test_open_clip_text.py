import json
import time
from pathlib import Path

import open_clip
import pytest
import torch
from geobind_satellite import OpenClipConfig
from geobind_satellite.open_clip import build_text
from huggingface_hub import constants
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from geobind import weights
from geobind.errors import WeightsError

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 1},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
CAPTIONS = ["a beach", "a satellite image of dense forest near a river, in winter", "Köln"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty cache, which it returns, and a hub that does not answer."""
    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    weights.hub_answers.cache_clear()
    yield cache
    weights.hub_answers.cache_clear()


def build(**config):
    return build_text(OpenClipConfig(**{"model": TINY, **config})).eval()


def embed(encoder, items):
    with torch.inference_mode():
        return encoder(encoder.collate([encoder.preprocess(item, train=False) for item in items]))


@pytest.mark.parametrize("kind", [open_clip.CLIP, open_clip.CustomTextCLIP])
def test_the_tower_is_clips_own(kind, tmp_path):
    clip = kind(**TINY).eval()
    save_file(clip.state_dict(), tmp_path / "clip.safetensors")
    tower = build(pretrained=str(tmp_path / "clip.safetensors"))
    tower.load_pretrained()
    with torch.inference_mode():
        theirs = clip.encode_text(open_clip.tokenize(CAPTIONS, context_length=16))
    assert torch.allclose(embed(tower, CAPTIONS), theirs, atol=1e-5)


def test_the_image_side_is_not_kept():
    assert all(key.startswith("text.") for key in build().state_dict())


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"model": "ViT-B-16-SigLIP"}, r"ViT-B-16-SigLIP/tokenizer_config\.json.*does not answer"),
        ({"model": "roberta-ViT-B-32"}, r"roberta-base/config\.json.*does not answer"),
        ({"model": "RN50", "pretrained": "openai"}, r"hf download timm/resnet50_clip\.openai"),
    ],
)
def test_what_is_only_on_the_hub_is_told_in_seconds(hub, config, match):
    started = time.monotonic()
    with pytest.raises(WeightsError, match=match):
        build(**config).load_pretrained()
    assert time.monotonic() - started < 10


def folder_model(folder: Path, words: int) -> dict[str, str]:
    """A model folder with a tokenizer of its own, as SigLIP's have."""
    folder.mkdir()
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "a", "beach", *map(str, range(words - 4))])}
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    tokenizer = Tokenizer(WordLevel(vocabulary, special["unk_token"]))
    tokenizer.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    text = {**TINY["text_cfg"], "hf_tokenizer_name": "someone/else", "pool_type": "last", "no_causal_mask": True}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": {**TINY, "text_cfg": text}}))
    return {"model": f"local-dir:{folder}"}


def test_a_folders_tokenizer_is_used(tmp_path):
    tower = build(**folder_model(tmp_path / "model", 1200))
    assert tower.preprocess("a beach", train=False)["tokens"].tolist() == [2, 3, *[0] * 14]
    assert embed(tower, CAPTIONS).shape == (3, 16)


def test_a_tokenizer_without_its_vocabulary_is_refused(tmp_path):
    tower = build(**folder_model(tmp_path / "model", 5))  # as a dry run does
    for use in (tower.load_pretrained, tower.describe_preprocessing, lambda: tower.preprocess("a beach", train=False)):
        with pytest.raises(WeightsError, match="holds 5 tokens: its vocabulary is missing"):
            use()


def test_a_hugging_face_tower_needs_its_config_only(hub, tmp_path):
    files = hub / "models--someone--bert" / "snapshots" / "abc"
    files.mkdir(parents=True)
    (hub / "models--someone--bert" / "refs").mkdir()
    (hub / "models--someone--bert" / "refs" / "main").write_text("abc")
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    (files / "config.json").write_text(json.dumps({"model_type": "roberta", "vocab_size": 49408, **sizes}))
    text = {"hf_model_name": "someone/bert", "context_length": 16}
    tower = build(model={**TINY, "text_cfg": text})
    assert embed(tower, CAPTIONS).shape == (3, 16)
    # An old checkpoint, of a time when transformers saved the positions as well.
    positions = {"text.transformer.embeddings.position_ids": torch.arange(512)}
    save_file({**tower.state_dict(), **positions}, tmp_path / "clip.safetensors")
    filled = build(model={**TINY, "text_cfg": text}, pretrained=str(tmp_path / "clip.safetensors"))
    filled.load_pretrained()
    assert torch.equal(embed(filled, CAPTIONS), embed(tower, CAPTIONS))


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    wider = {**TINY, "text_cfg": {**TINY["text_cfg"], "width": 48}}
    save_file(open_clip.CLIP(**wider).state_dict(), tmp_path / "clip.safetensors")
    with pytest.raises(WeightsError, match="of another shape"):
        build(pretrained=str(tmp_path / "clip.safetensors")).load_pretrained()


def test_a_pickle_is_refused(tmp_path):
    torch.save({"text": time.sleep}, tmp_path / "clip.pt")
    with pytest.raises(WeightsError, match="pickle"):
        build(pretrained=str(tmp_path / "clip.pt")).load_pretrained()

